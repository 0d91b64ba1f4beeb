use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let example = folder.path().join("example");
        fs::create_dir_all(example.join("hooks")).unwrap();
        fs::create_dir_all(example.join(".vscode")).unwrap();
        fs::write(
            example.join("web.yaml"),
            "image: 127.0.0.1:5000/example/web:1\n",
        )
        .unwrap();
        fs::write(example.join(".vscode/settings.json"), "{}\n").unwrap();
        fs::write(example.join(".gitignore"), "*.log\n").unwrap();
        fs::write(example.join("kept.log"), [0xff, 0x00]).unwrap();
        fs::write(
            example.join("hooks/pre-receive"),
            "#!/bin/sh\nexec \"$(git config muster.command)\" validate\n",
        )
        .unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn prepare(&self, registry: &str) -> Seeded {
        let example = self.path("example");
        prepare(
            &self.path("it's repo.git"),
            Some(&example),
            registry,
            &self.path("an env"),
        )
        .unwrap()
    }

    /// Runs git as a user would, in a clone of the repository; answers what it prints.
    fn in_clone(&self, arguments: &[&str]) -> String {
        let clone = self.path("clone");
        if !clone.exists() {
            let status = Command::new("git")
                .args(["clone", "--quiet"])
                .arg(self.path("it's repo.git"))
                .arg(&clone)
                .status()
                .unwrap();
            assert!(status.success());
        }
        let output = Command::new("git")
            .current_dir(&clone)
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args(arguments)
            // The hook is to use curl, or to find nothing, as each test says; not this test program.
            .env("MUSTER_PROGRAM", "no-such-program")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {text}");
        text
    }

    fn push(&self) -> String {
        self.in_clone(&["commit", "--quiet", "--allow-empty", "-m", "A change"]);
        self.in_clone(&["push", "--quiet"])
    }
}

#[test]
fn an_empty_repository_is_seeded_once_with_the_stacks_registry() {
    let home = Home::new();
    assert_eq!(home.prepare("127.0.0.1:5999"), Seeded::Example);
    let files = home.in_clone(&["ls-files"]);
    assert_eq!(
        files.lines().collect::<Vec<_>>(),
        [
            ".gitignore",
            ".vscode/settings.json",
            "hooks/pre-receive",
            "kept.log",
            "web.yaml"
        ]
    );
    let clone = home.path("clone");
    assert_eq!(
        fs::read_to_string(clone.join("web.yaml")).unwrap(),
        "image: 127.0.0.1:5999/example/web:1\n"
    );
    assert_eq!(fs::read(clone.join("kept.log")).unwrap(), [0xff, 0x00]);
    assert_eq!(home.in_clone(&["branch", "--show-current"]).trim(), "main");
    let left = ["seed", "seed.index"].map(|name| home.path("it's repo.git").join(name).exists());
    assert_eq!(left, [false, false]);

    home.in_clone(&["rm", "--quiet", "web.yaml"]);
    home.push();
    assert_eq!(home.prepare("127.0.0.1:5999"), Seeded::NotNeeded);
    assert_eq!(
        home.in_clone(&["rev-list", "--count", "origin/main"])
            .trim(),
        "2"
    );
}

#[test]
fn without_an_example_it_is_empty_and_seeded_later() {
    let home = Home::new();
    let repository = home.path("it's repo.git");
    let seeded = prepare(&repository, None, EXAMPLE_REGISTRY, &home.path("an env")).unwrap();
    assert_eq!(seeded, Seeded::Empty);
    assert_eq!(home.prepare(EXAMPLE_REGISTRY), Seeded::Example);
}

#[test]
fn an_interrupted_seeding_is_done_again() {
    let home = Home::new();
    let repository = home.path("it's repo.git");
    prepare(&repository, None, EXAMPLE_REGISTRY, &home.path("an env")).unwrap();
    fs::create_dir(repository.join("seed")).unwrap();
    fs::write(repository.join("seed/stale.yaml"), "").unwrap();
    assert_eq!(home.prepare(EXAMPLE_REGISTRY), Seeded::Example);
    assert!(!home.in_clone(&["ls-files"]).contains("stale"));
}

#[test]
fn refusing_pushes_is_there_as_a_sample_only() {
    let home = Home::new();
    home.prepare(EXAMPLE_REGISTRY);
    let hooks = home.path("it's repo.git").join("hooks");
    let sample = fs::read_to_string(hooks.join("pre-receive.sample")).unwrap();
    assert!(sample.contains("muster.command"));
    let program = std::env::current_exe().unwrap();
    assert_eq!(
        home.in_clone(&["--git-dir", "../it's repo.git", "config", "muster.command"])
            .trim(),
        program.to_str().unwrap()
    );
    assert!(!hooks.join("pre-receive").exists());
}

/// A server that takes one request and answers it, or does not; the request's text comes through the channel.
fn server(answers: bool) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).unwrap();
        if answers {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                .unwrap();
        }
        sender
            .send(String::from_utf8_lossy(&request[..length]).into_owned())
            .unwrap();
        // The connection stays open while the hook waits.
        std::thread::sleep(Duration::from_secs(10));
    });
    (url, receiver)
}

fn write_env(home: &Home, url: &str) {
    let values = [("MUSTER_URL", url), ("MUSTER_TOKEN", "it's secret")];
    crate::cli::env_file::write(&home.path("an env"), &values).unwrap();
}

#[test]
fn a_push_wakes_the_control_plane() {
    let home = Home::new();
    home.prepare(EXAMPLE_REGISTRY);
    let (url, requests) = server(true);
    write_env(&home, &url);
    let said = home.push();
    let request = requests.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(
        request.starts_with("POST /api/v1/repository/refresh "),
        "{request}"
    );
    assert!(
        request.contains("Authorization: Bearer it's secret"),
        "{request}"
    );
    assert!(!said.contains("was not told"), "{said}");
}

#[test]
fn a_push_succeeds_whatever_becomes_of_the_control_plane() {
    let home = Home::new();
    home.prepare(EXAMPLE_REGISTRY);
    assert!(
        home.push().contains("cannot be read"),
        "without an env file"
    );

    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    write_env(&home, &format!("http://{closed}"));
    assert!(home.push().contains("does not answer"), "nobody there");

    let (url, _requests) = server(false);
    write_env(&home, &url);
    let began = Instant::now();
    assert!(home.push().contains("does not answer"), "somebody silent");
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}
