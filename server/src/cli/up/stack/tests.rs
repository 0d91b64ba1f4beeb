use super::*;
use crate::cli::up::down;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A home with a program that stands for ours.
fn settings(home: &tempfile::TempDir) -> Settings {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let program = home.path().join("program");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/up/stack/fake.py");
    std::fs::write(
        &program,
        format!("#!/bin/sh\nexec python3 '{script}' \"$@\"\n"),
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let settings = Settings {
        home: home.path().to_owned(),
        listen: free(),
        agent_listen: free(),
        registry: "127.0.0.1:5000".to_owned(),
        cell: "test".to_owned(),
        notify: None,
        program,
    };
    settings.make_folders().unwrap();
    settings
}

fn calls(settings: &Settings, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(settings.home.join(format!("{name}.calls"))).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn both_processes_run_until_it_is_told_to_end() {
    let home = tempfile::tempdir().unwrap();
    let settings = settings(&home);
    for start in 0..2 {
        let told = CancellationToken::new();
        let mut stack = Stack::new(settings.clone(), told.clone());
        let client = stack.start_serve().await.unwrap();
        let env = crate::cli::env_file::read(&settings.env_file()).unwrap();
        assert_eq!(env["MUSTER_TOKEN"], "secret");
        assert_eq!(env["MUSTER_URL"], settings.url());
        assert_eq!(PathBuf::from(&env["MUSTER_REPO"]), settings.repository());

        stack.start_agent(&client);
        let connected = stack
            .host_reachable(&client, Duration::from_secs(20))
            .await
            .unwrap();
        assert!(connected);
        // It enrols once; a later start knows its host.
        let call = calls(&settings, "agent").pop().unwrap();
        assert_eq!(
            call.contains("--join t1 https://127.0.0.1"),
            start == 0,
            "{call}"
        );
        assert!(call.contains("--exit-with-parent"), "{call}");

        told.cancel();
        assert!(matches!(stack.until_told().await, Err(Interrupted::Told)));
        stack.end().await;
        assert!(!client.is_ready(LOOK_TIMEOUT).await);
        let pid = std::fs::read_to_string(settings.home.join("agent.up")).unwrap();
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        assert!(
            rustix::process::test_kill_process(pid).is_err(),
            "the agent is gone"
        );
        std::fs::remove_file(settings.home.join("agent.up")).unwrap();
    }
}

#[tokio::test]
async fn a_control_plane_that_only_dies_is_given_up_with_its_log_named() {
    let home = tempfile::tempdir().unwrap();
    let settings = settings(&home);
    std::fs::write(settings.home.join("serve.fails"), "").unwrap();
    let mut stack = Stack::new(settings.clone(), CancellationToken::new());
    let Err(Interrupted::GaveUp(failure)) = stack.start_serve().await else {
        panic!("it is given up");
    };
    stack.end().await;
    assert_eq!(calls(&settings, "serve").len(), 3);
    assert!(failure.message.contains("died 3 times"), "{failure}");
    assert!(failure.hint.contains("serve.log"), "{}", failure.hint);
    let log = std::fs::read_to_string(settings.log("serve")).unwrap();
    assert!(log.contains("the journal is damaged"), "{log}");
}

#[tokio::test]
async fn what_a_stack_left_running_is_stopped_by_one_that_is_started_for_it() {
    let home = tempfile::tempdir().unwrap();
    let settings = settings(&home);
    let mut stack = Stack::new(settings.clone(), CancellationToken::new());
    let result = down::down_alone(&mut stack, "the end of the day", Duration::from_secs(20)).await;
    stack.end().await;
    assert!(result.is_ok(), "{result:?}");
    let reason = std::fs::read_to_string(settings.home.join("down.reason")).unwrap();
    assert_eq!(reason, "the end of the day");
    assert!(
        settings.home.join("agent.up").exists(),
        "without an agent nothing stops"
    );
}
