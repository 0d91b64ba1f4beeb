//! One plan in all the forms that it is told in: the API's answer, and what `muster plan` prints as JSON, as Markdown and as text. The
//! console's page is compared with the text in `playwright/tests/plan.spec.ts`.

mod git_repo;
mod plane;

use git_repo::Repo;
use muster_schemas::api::PlanPreview;
use plane::Plane;
use serde_json::json;
use std::process::Output;

/// An image by its digest, so that no registry is asked.
fn service(name: &str, desired: u32, image: u32, more: &str) -> String {
    format!(
        "apiVersion: muster/v1\nkind: Job\nname: {name}\nowner: team@example.com\n\
         image: registry.example.com/app@sha256:{image:064x}\n{more}resources: {{cpu: 0.1, memory: 16MiB}}\n\
         service:\n  capacity: {{desired: {desired}}}\n"
    )
}

/// The bytes of the API's answer.
async fn answer(plane: &Plane, token: &str, revision: &str) -> String {
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let answer = client
        .post(format!("http://{}/api/v1/plan", plane.config.listen))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(json!({"revision": revision}).to_string())
        .send()
        .await
        .expect("an answer");
    let status = answer.status();
    let text = answer.text().await.expect("an answer's text");
    assert!(status.is_success(), "{status}: {text}");
    text
}

/// What `muster plan` prints.
async fn printed(plane: &Plane, token: &str, arguments: &[&str]) -> String {
    let output: Output = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"))
        .arg("plan")
        .args(arguments)
        .env("MUSTER_URL", format!("http://{}", plane.config.listen))
        .env("MUSTER_TOKEN", token)
        .env("NO_COLOR", "1")
        .output()
        .await
        .expect("muster runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(2),
        "one of its documents is refused: {error}"
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// JSON without the blanks between its parts, and otherwise byte for byte as it was.
fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for letter in json.chars() {
        if in_text {
            compact.push(letter);
            match letter {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_text = false,
                _ => {}
            }
        } else if !letter.is_ascii_whitespace() {
            in_text = letter == '"';
            compact.push(letter);
        }
    }
    compact
}

/// The answer without the time at which it was worked out: each asking is at another.
fn without_its_time(json: &str) -> String {
    const NAME: &str = "\"made_at\":\"";
    let begin = json.find(NAME).expect("a plan says when it was made") + NAME.len();
    let length = json[begin..].find('"').expect("a text ends");
    format!("{}{}", &json[..begin], &json[begin + length..])
}

/// A section of the text, from below its title to the empty line after it.
fn section<'t>(text: &'t str, title: &str) -> &'t str {
    let title = format!("\n{title}\n");
    let begin = text
        .find(&title)
        .unwrap_or_else(|| panic!("no {title} in\n{text}"));
    let rest = &text[begin + title.len()..];
    rest.find("\n\n").map_or(rest, |end| &rest[..=end])
}

#[test]
fn only_blanks_between_the_parts_are_left_out() {
    assert_eq!(
        compact("{\n  \"a b\": [1, \"\\\" c\"]\n}\n"),
        "{\"a b\":[1,\"\\\" c\"]}"
    );
    assert_eq!(section("A\n\nB\n  c\n  d\n\nE\n  f\n", "B"), "  c\n  d\n");
    assert_eq!(section("A\n\nB\n  c\n", "B"), "  c\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_the_plan_of_the_api_byte_for_byte() {
    let repo = Repo::new();
    repo.write(
        "policy.yaml",
        b"apiVersion: muster/v1\nkind: Policy\nname: default\nprune: true\n",
    );
    repo.write(
        "web.yaml",
        service("web", 2, 1, "env: {STEP: one}\n").as_bytes(),
    );
    repo.write("old.yaml", service("old", 1, 1, "").as_bytes());
    let first = repo.commit("what holds");
    let home = tempfile::tempdir().expect("a folder");
    let config = plane::config(&home.path().join("control"), &repo.remote().url);
    let plane = Plane::start(config).await;
    plane
        .until("the first commit is applied", |fleet| {
            fleet["revision"]["commit"] == first.as_str()
        })
        .await;

    // A proposal with all that a plan can say: changes of fields that are numbers, texts and more than that, a new job, one that goes,
    // and a document that is refused. It is on another branch, so nobody follows it.
    repo.git(&["checkout", "-q", "-b", "proposal"]);
    let more = "env: {STEP: one, GREETING: \"two  blanks, a \\\" and an é\"}\n\
                constraints: {hard: {zones: [b, a]}}\n";
    repo.write("web.yaml", service("web", 3, 2, more).as_bytes());
    repo.write("new.yaml", service("new", 1, 1, "").as_bytes());
    repo.git(&["rm", "-q", "old.yaml"]);
    repo.write(
        "broken.yaml",
        b"apiVersion: muster/v1\nkind: Job\nname: broken\nimgae: x\n",
    );
    let proposal = repo.commit("a proposal");
    let token = std::fs::read_to_string(plane.config.home.join("token")).expect("a token");
    let token = token.trim();
    let rev = ["--rev", proposal.as_str()];

    let body = answer(&plane, token, &proposal).await;
    let json = printed(&plane, token, &[&rev[..], &["-o", "json"]].concat()).await;
    assert_eq!(without_its_time(&compact(&json)), without_its_time(&body));

    let preview: PlanPreview = serde_json::from_str(&body).expect("a plan");
    let markdown = printed(&plane, token, &[&rev[..], &["--markdown"]].concat()).await;
    assert_eq!(markdown, preview.markdown);

    let text = printed(&plane, token, &rev).await;
    let changes = section(&text, "Changes");
    assert_eq!(changes, preview.plan.changes_text());

    // All of them tell each field with what it was and will be.
    for line in [
        "    service.capacity.desired: 2 -> 3\n",
        "    env.GREETING: (none) -> two  blanks, a \" and an é\n",
    ] {
        assert!(changes.contains(line), "no {line:?} in\n{changes}");
    }
    let words: Vec<(&str, &str)> = preview
        .plan
        .changes
        .iter()
        .map(|change| (change.action.as_str(), change.job.as_str()))
        .collect();
    assert_eq!(
        words,
        [("create", "new"), ("prune", "old"), ("update", "web")]
    );
    for change in &preview.plan.changes {
        let head = format!("  {} {}", change.action, change.job);
        assert!(changes.contains(&head), "no {head:?} in\n{changes}");
        let head = format!("### {} `{}`", change.action, change.job);
        assert!(markdown.contains(&head), "no {head:?} in\n{markdown}");
        for field in &change.fields {
            let line = format!("    {}\n", field.line());
            assert!(changes.contains(&line), "no {line:?} in\n{changes}");
            for (sign, value) in [('-', &field.from), ('+', &field.to)] {
                if let Some(value) = value {
                    let line = format!("\n{sign} {}: {value}\n", field.path);
                    assert!(markdown.contains(&line), "no {line:?} in\n{markdown}");
                }
            }
        }
    }
    assert_eq!(
        preview.plan.refused.first().map(|one| one.path.as_str()),
        Some("broken.yaml")
    );
    for told in [&text, &markdown] {
        assert!(
            told.contains("broken.yaml:") && told.contains("imgae"),
            "{told}"
        );
    }
    plane.stop().await;
}

/// A registry that takes connections and never says a word.
async fn silent_registry() -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let asked = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
    let count = std::sync::Arc::clone(&asked);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            kept.push(connection);
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_plans_are_worked_out_at_a_time_and_readers_look_up_few_images() {
    let repo = Repo::new();
    repo.write("web.yaml", service("web", 2, 1, "").as_bytes());
    repo.commit("web");
    let home = tempfile::tempdir().expect("a folder");
    let plane = Plane::start(plane::config(
        &home.path().join("control"),
        &repo.path().display().to_string(),
    ))
    .await;
    let (status, made) = plane.post("/api/v1/tokens", json!({"name": "bob"})).await;
    assert!(status.is_success(), "{made}");
    let token = made["token"].as_str().expect("a token").to_owned();
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let url = format!("http://{}/api/v1/plan", plane.config.listen);
    let (registry, asked) = silent_registry().await;
    let files: Vec<_> = (0..30)
        .map(|number| {
            let digest = format!("registry.example.com/app@sha256:{number:064x}");
            let text = service(&format!("job-{number}"), 0, number, "");
            let text = text.replace(&digest, &format!("{registry}/app:{number}"));
            json!({"path": format!("{number}.yaml"), "content": text})
        })
        .collect();
    let ask = || {
        let request = client
            .post(&url)
            .bearer_auth(&token)
            .header("content-type", "application/json")
            .body(json!({"files": files}).to_string());
        tokio::spawn(async move {
            let answer = request.send().await.expect("an answer");
            let status = answer.status();
            let waits = answer.headers().contains_key("retry-after");
            let text = answer.text().await.expect("a text");
            let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            (status.as_u16(), waits, body)
        })
    };
    // Each waits for the registry for longer than one more waits for them.
    let four: Vec<_> = (0..4).map(|_| ask()).collect();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let (status, waits, refused) = ask().await.expect("no panic");
    assert_eq!(
        (status, waits, refused["code"].as_str()),
        (429, true, Some("too-many-previews")),
        "{refused}"
    );
    for one in four {
        let (status, _, preview) = one.await.expect("no panic");
        assert_eq!(status, 200, "{preview}");
        let refused = preview["plan"]["refused"].as_array().expect("a list");
        let left_out = refused.iter().filter(|problem| {
            let message = problem["message"].as_str().unwrap_or_default();
            message.contains("was not looked up")
        });
        assert_eq!(left_out.count(), 20, "{preview:#}");
    }
    // A client may connect more than once for an image; for all of them it would at least so often.
    let asked = asked.load(std::sync::atomic::Ordering::SeqCst);
    assert!((1..4 * 30).contains(&asked), "{asked}");
    plane.stop().await;
}
