use super::*;
use jiff::Timestamp;
use muster_core::fleet::Attempt;
use muster_schemas::ids::{AttemptId, HostId, JobId};
use muster_schemas::state::{Ended, Outcome};
use std::sync::{Arc, Mutex};

/// Both streams, each line with the one that it went to.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<String>>);

impl Out for Written {
    fn out(&mut self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(&format!("1 {text}"));
        Ok(())
    }

    fn err(&mut self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(&format!("2 {text}"));
        Ok(())
    }
}

fn job(size: u32) -> JobSpec {
    let text = format!(
        r#"{{"name":"web","owner":"a","image":"web:1","service":{{"capacity":{{"desired":{size}}}}},
            "ports":[{{"name":"http","port":8080,"hostPort":80}},{{"name":"admin","port":9000}}],
            "readiness":{{"http":{{"port":"http","path":"/healthz"}}}},"liveness":{{"tcp":{{"port":"http"}}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn tell(size: u32) -> (Tell, Written) {
    let written = Written::default();
    let mut tell = Tell::new(
        &job(size),
        "registry.example.com/web@sha256:00",
        false,
        false,
    );
    tell.out = Box::new(written.clone());
    (tell, written)
}

const ATTEMPT: AttemptId = AttemptId(uuid::Uuid::from_u128(7));

fn status(phase: Phase) -> AttemptStatus {
    AttemptStatus {
        attempt: ATTEMPT,
        sequence: 0,
        phase,
        container: Some("0123456789abcdef".into()),
        ip: Some("192.0.2.9".into()),
        started_at: Some(Timestamp::UNIX_EPOCH),
        ready: None,
        live: None,
        probe_message: None,
        drift: Vec::new(),
        hardening: Some(Hardening {
            no_new_privileges: true,
            capabilities: Vec::new(),
            read_only_root: true,
            seccomp: "default".into(),
            apparmor: "none".into(),
            user_namespace: false,
            pids_limit: Some(512),
            memory_limit: Some(128 << 20),
            cpu_limit_millis: Some(250),
            user: "1000:1000".into(),
        }),
    }
}

/// Tells these statuses of one attempt, one after the other.
fn told(statuses: &[AttemptStatus]) -> String {
    let (mut tell, written) = tell(1);
    let task = TaskId::new(JobId::from("web"), 0);
    let mut fleet = Fleet::default();
    let attempt = Attempt {
        id: ATTEMPT,
        task,
        number: 2,
        host: HostId(uuid::Uuid::nil()),
        version: 1,
        placed_at: Timestamp::UNIX_EPOCH,
        accepted_at: None,
        running_at: None,
        first_healthy_at: None,
        healthy_since: None,
        status: None,
        asked: None,
        drifted: std::collections::BTreeMap::new(),
        put_back: Vec::new(),
        put_back_at: None,
        stop: None,
        ended: None,
        retired: false,
    };
    fleet.attempts.insert(attempt);
    for status in statuses {
        let record = Record {
            seq: 1,
            at: Timestamp::UNIX_EPOCH,
            epoch: 1,
            actor: muster_schemas::state::Actor::Agent("laptop".into()),
            event: Event::AttemptReported {
                status: status.clone(),
            },
        };
        tell.record(&fleet, &record);
        fleet
            .attempts
            .change(&ATTEMPT, |attempt| attempt.status = Some(status.clone()));
    }
    written.0.lock().unwrap().clone()
}

#[test]
fn a_service_is_told_from_its_pull_to_its_end() {
    let running = status(Phase::Running);
    let ready = AttemptStatus {
        ready: Some(true),
        live: Some(true),
        ..running.clone()
    };
    let failing = |message: &str| AttemptStatus {
        ready: Some(false),
        probe_message: Some(message.into()),
        ..ready.clone()
    };
    let ended = Ended {
        outcome: Outcome::Failed,
        exit_code: Some(137),
        signal: Some(9),
        oom: true,
        at: Timestamp::UNIX_EPOCH,
        message: "killed for want of memory (limit 128 MiB)".into(),
        system_error: false,
    };
    let text = told(&[
        status(Phase::Pulling {
            done: 1 << 20,
            total: 4 << 20,
        }),
        status(Phase::Creating),
        running.clone(),
        ready.clone(),
        failing("GET /healthz answered 404"),
        failing("nothing listens on port 8080"),
        failing("nothing listens on port 8080"),
        AttemptStatus {
            live: Some(false),
            ..failing("nothing listens on port 8080")
        },
        status(Phase::Ended(ended)),
    ]);
    insta::assert_snapshot!(text, @r##"
    2 muster: web.0: pulling the image: 1 MiB of 4 MiB
    2 muster: web.0: runs as container 0123456789ab, attempt 2
    2 muster: web.0: limits: 0.25 CPUs, 128 MiB of memory and none in swap, 64 MiB of /dev/shm
    2 muster: web.0: in force: user 1000:1000, no capabilities, no new privileges, read-only root, seccomp default, AppArmor none, no user namespace, 512 processes
    2 muster: web.0: port http is at 127.0.0.1:80 and 192.0.2.9:8080
    2 muster: web.0: port admin is at 192.0.2.9:9000
    2 muster: web.0: its readiness probe has not answered yet (GET /healthz on port http)
    2 muster: web.0: healthy: its readiness probe answers (GET /healthz on port http)
    2 muster: web.0: alive: its liveness probe answers (a connection to port http)
    2 muster: web.0: not healthy: its readiness probe fails (GET /healthz answered 404)
    2 muster: web.0: not healthy: its readiness probe fails (nothing listens on port 8080)
    2 muster: web.0: not alive: its liveness probe fails (nothing listens on port 8080)
    2 muster: web.0: killed for want of memory (limit 128 MiB)
    "##);
}

#[test]
fn one_that_ends_at_once_is_told_in_full() {
    let ended = Ended {
        outcome: Outcome::Succeeded,
        exit_code: Some(0),
        signal: None,
        oom: false,
        at: Timestamp::UNIX_EPOCH,
        message: "exited with 0".into(),
        system_error: false,
    };
    let text = told(&[AttemptStatus {
        ip: None,
        ..status(Phase::Ended(ended))
    }]);
    insta::assert_snapshot!(text, @r##"
    2 muster: web.0: runs as container 0123456789ab, attempt 2
    2 muster: web.0: limits: 0.25 CPUs, 128 MiB of memory and none in swap, 64 MiB of /dev/shm
    2 muster: web.0: in force: user 1000:1000, no capabilities, no new privileges, read-only root, seccomp default, AppArmor none, no user namespace, 512 processes
    2 muster: web.0: exited with 0
    "##);
}

#[test]
fn lines_of_several_tasks_say_whose_they_are() {
    let line = |stream, text: &str| LogLine {
        at: Timestamp::UNIX_EPOCH,
        stream,
        text: text.to_owned(),
    };
    for (size, expected) in [
        (1, "1 hello\n2 oh\n"),
        (2, "1 web.1 | hello\n2 web.1 ! oh\n"),
    ] {
        let (mut tell, written) = tell(size);
        let task = TaskId::new(JobId::from("web"), 1);
        tell.line(&task, &line(LogStream::Stdout, "hello"));
        tell.line(&task, &line(LogStream::Stderr, "oh"));
        assert_eq!(*written.0.lock().unwrap(), expected);
    }
}

#[test]
fn what_differs_is_told_before_it_starts() {
    let (mut tell, written) = tell(2);
    let differences = [
        Difference::Tasks { here: 2, fleet: 3 },
        Difference::Place {
            host: "laptop".into(),
        },
    ];
    tell.begin(&differences, "docker 28.2.2 (API 1.50), Linux 6.1");
    insta::assert_snapshot!(written.0.lock().unwrap(), @r##"
    2 muster: service web, 2 tasks, image registry.example.com/web@sha256:00
    2 muster: on docker 28.2.2 (API 1.50), Linux 6.1
    2 muster: otherwise than in the fleet:
    2 muster:   2 of its 3 tasks run here (--task-count)
    2 muster:   MUSTER_CELL is muster-run, MUSTER_HOST is laptop
    "##);
}
