//! Samples of a service's health while something happens to it: what the API says, and what the containers answer.

use super::api::Api;
use super::poll::secs;
use muster_schemas::state::TaskState;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(50);

/// The port that the example web server listens on.
pub const PORT: u16 = 8080;

/// One look at a service.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Running and healthy tasks by the API.
    pub by_api: usize,
    /// Containers whose `/healthz` answered.
    pub by_asking: usize,
    /// How long the look took. A task counts for a rollout only after the minimum healthy time; while a look takes less, no
    /// task can come to count and another be stopped within it unseen.
    pub took: Duration,
}

/// Samples until it is told to finish.
pub struct Sampler {
    done: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Sampler {
    pub fn start(api: &Api, job: &'static str) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (api, ended) = (api.clone(), Arc::clone(&done));
        let thread = std::thread::spawn(move || {
            let mut samples = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                samples.push(sample(&api, job));
                std::thread::sleep(EVERY.saturating_sub(began.elapsed()));
            }
            samples
        });
        Self { done, thread }
    }

    pub fn finish(self) -> Vec<Sample> {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn sample(api: &Api, job: &str) -> Sample {
    let began = Instant::now();
    let tasks = api.tasks(job).unwrap();
    let by_api = tasks
        .iter()
        .filter(|task| task.state == TaskState::Running && task.healthy)
        .count();
    let asked: Vec<JoinHandle<bool>> = tasks
        .iter()
        .filter_map(|task| task.ip.clone())
        .map(|ip| std::thread::spawn(move || ask(&ip, "/healthz").is_ok()))
        .collect();
    let answers = asked.into_iter().map(|asked| asked.join().unwrap());
    Sample {
        by_api,
        by_asking: answers.filter(|answered| *answered).count(),
        took: began.elapsed(),
    }
}

/// What a container serves at a path; an error unless it is a 200.
pub fn ask(ip: &str, path: &str) -> Result<String, String> {
    let address = SocketAddr::new(ip.parse().map_err(|_| format!("no address: {ip}"))?, PORT);
    let asked = || {
        let mut stream = TcpStream::connect_timeout(&address, secs(2))?;
        stream.set_read_timeout(Some(secs(2)))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let answer = asked().map_err(|error| format!("{address}{path}: {error}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.trim().to_owned()),
        _ => Err(format!("{address}{path}: {answer}")),
    }
}
