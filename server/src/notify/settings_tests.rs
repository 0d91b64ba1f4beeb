use super::super::check::MAX_TARGETS;
use super::*;
use std::fs;

fn load(text: &str) -> Result<Settings, SettingsError> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("secret"), "s3cret\n").expect("a secret");
    fs::write(folder.path().join("empty"), "\n").expect("a secret");
    fs::write(
        folder.path().join("slack"),
        "https://hooks.example.com/services/T0/B0/x\n",
    )
    .expect("a secret");
    let path = folder.path().join("notify.yaml");
    fs::write(&path, text).expect("the file");
    Settings::load(&path)
}

/// The problems, without the path of the test's own folder.
fn problems(text: &str) -> String {
    match load(text) {
        Ok(_) => "it holds".to_owned(),
        Err(SettingsError::Wrong { path, problems }) => {
            let folder = path.parent().expect("a folder").display().to_string();
            problems.join("\n").replace(&folder, "FOLDER")
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_part_of_a_file_that_holds_is_taken() {
    let settings = load(
        r"
consoleUrl: https://muster.example.com/
webhooks:
  - name: audit
    url: https://audit.example.com/muster
    secretFile: secret
  - name: pager
    url: http://pager.example.com/
    template: '{{ event.text }}'
    contentType: text/plain
    events: [plan_held]
    jobs: [web]
    apps: [shop]
spinnaker:
  - {name: gate, url: https://gate.example.com, source: fleet, secret: x, parameters: {stack: prod}}
slack:
  - {name: chat, urlFile: slack}
alertmanager:
  - {name: am, url: 'http://127.0.0.1:9093', labels: {team: fleet}}
forges:
  - {name: github, kind: github, repository: example/fleet, tokenFile: secret, pullRequests: true}
  - {name: gitlab, kind: gitlab, repository: group/sub/fleet, tokenFile: secret, context: fleet}
  - {name: gitea, kind: gitea, api: 'https://git.example.com/api/v1', repository: example/fleet, tokenFile: secret}
hooks:
  github: {secretFile: secret}
  gitlab: {signingSecret: whsec_MDEyMw==}
",
    )
    .unwrap();
    assert_eq!(
        settings.console_url.as_deref(),
        Some("https://muster.example.com")
    );
    let targets: Vec<(&str, String, usize)> = settings
        .events
        .iter()
        .map(|target| {
            (
                target.name.as_str(),
                target.url.to_string(),
                target.filter.kinds.len(),
            )
        })
        .collect();
    assert_eq!(
        targets,
        [
            ("audit", "https://audit.example.com/muster".to_owned(), 0),
            ("pager", "http://pager.example.com/".to_owned(), 1),
            (
                "gate",
                "https://gate.example.com/webhooks/webhook/fleet".to_owned(),
                1
            ),
            (
                "chat",
                "https://hooks.example.com/services/T0/B0/x".to_owned(),
                14
            ),
        ]
    );
    assert_eq!(
        settings.alerts[0].url.as_str(),
        "http://127.0.0.1:9093/api/v2/alerts"
    );
    let apis: Vec<&str> = settings
        .forges
        .iter()
        .map(|forge| forge.api.as_str())
        .collect();
    assert_eq!(
        apis,
        [
            "https://api.github.com/",
            "https://gitlab.com/api/v4",
            "https://git.example.com/api/v1"
        ]
    );
    // The line's end is none of the secret's.
    assert!(
        settings
            .hooks
            .github
            .is_some_and(|secret| secret.is(b"s3cret"))
    );
    assert!(settings.hooks.gitlab_signing.is_some());
    assert_eq!(settings.hooks.gitlab_token, None);
    assert_eq!(settings.hooks.gitea, None);
}

#[test]
fn every_fault_is_told_with_its_field_and_what_to_do() {
    let problems = problems(
        r"
consoleUrl: muster.example.com
webhooks:
  - {name: Audit, url: https://audit.example.com, secret: a, secretFile: secret}
  - {name: a, url: ftp://audit.example.com, secretFile: missing}
  - {name: a, url: http://audit.example.com, token: t, contentType: text/plain}
  - {name: b, url: https://audit.example.com, template: '{% if %}', events: [plan_hold]}
spinnaker:
  - {name: c, url: https://gate.example.com, source: a/b, secretFile: empty}
slack:
  - {name: d}
alertmanager:
  - {name: e, url: http://am.example.com, labels: {severity: x, a-b: y}}
forges:
  - {name: f, kind: gitea, repository: fleet}
  - {name: g, kind: github, repository: fleet, token: t, pullRequests: true}
  - {name: h, kind: github, repository: a/b, token: t, pullRequests: true}
hooks:
  gitea: {}
  gitlab: {}
",
    );
    // The list of all kinds of events grows.
    let start = problems
        .find("; write one of `leadership_taken`")
        .expect("the list");
    let end = start + problems[start..].find('\n').expect("the next");
    let problems = format!("{}; write one of …{}", &problems[..start], &problems[end..]);
    insta::assert_snapshot!(problems);
}

#[test]
fn what_is_no_such_file_is_told_with_its_place() {
    for (text, words) in [
        ("webhook: []\n", "webhook"),
        ("webhooks:\n  - name: a\n", "url"),
        (
            "forges:\n  - {name: a, kind: svn, repository: a/b}\n",
            "svn",
        ),
        ("webhooks: [\n", "notify.yaml is not understood"),
    ] {
        let error = load(text).unwrap_err();
        assert!(matches!(error, SettingsError::Syntax { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(words), "{text}: {error}");
        assert!(error.contains("docs/notifications.md"), "{error}");
    }
    let missing = Settings::load(Path::new("/nowhere/notify.yaml")).unwrap_err();
    assert!(matches!(missing, SettingsError::Read { .. }), "{missing}");
}

#[test]
fn a_mistake_beside_a_secret_does_not_tell_the_secret() {
    let text = "webhooks:\n  - name: a\n    url: https://example.com/hook\n    secret: hunter2hunter2\n    tokn: abc\n";
    let error = load(text).unwrap_err();
    assert!(matches!(error, SettingsError::Syntax { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("tokn") && error.contains('5'), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_file_with_too_many_targets_is_not_taken() {
    let target = |number: usize| format!("  - {{name: t{number}, url: 'https://a.example.com'}}\n");
    let file = |count: usize| {
        let targets: String = (0..count).map(target).collect();
        format!("webhooks:\n{targets}")
    };
    assert_eq!(problems(&file(MAX_TARGETS)), "it holds");
    assert_eq!(
        problems(&file(MAX_TARGETS + 1)),
        "the file: it names 51 targets, and there can be 50"
    );
}
