//! Commit statuses and comments, at stand-ins of the three forges that know their token and nobody else's.

use crate::rig::{Rig, commit, eventually, json, requests, wait_for};
use muster::notify::{ForgeKind, Offered, PullRequest};
use muster_schemas::event::{Event, RepositoryTrouble};
use muster_schemas::ids::{CommitId, PlanId};
use serde_json::{Value, json as value};
use wiremock::matchers::{header, method, path, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// A forge that takes what `kind` does, from who has the token.
async fn forge(kind: ForgeKind) -> (MockServer, String) {
    let server = MockServer::start().await;
    let (name, token, statuses) = match kind {
        ForgeKind::Github => (
            "authorization",
            "Bearer a token",
            "^/repos/example/fleet/statuses/[0-9a-f]+$",
        ),
        ForgeKind::Gitea => (
            "authorization",
            "token a token",
            "^/api/v1/repos/example/fleet/statuses/[0-9a-f]+$",
        ),
        ForgeKind::Gitlab => (
            "private-token",
            "a token",
            "^/api/v4/projects/example%2Ffleet/statuses/[0-9a-f]+$",
        ),
    };
    Mock::given(method("POST"))
        .and(path_regex(statuses))
        .and(header(name, token))
        .respond_with(ResponseTemplate::new(201).set_body_json(value!({"id": 1})))
        .mount(&server)
        .await;
    Mock::given(wiremock::matchers::any())
        .respond_with(ResponseTemplate::new(401))
        .with_priority(9)
        .mount(&server)
        .await;
    let base = match kind {
        ForgeKind::Github => "",
        ForgeKind::Gitea => "/api/v1",
        ForgeKind::Gitlab => "/api/v4",
    };
    let file = format!(
        "consoleUrl: https://muster.example.com\nforges:\n  - name: forge\n    kind: {}\n    api: {}{base}\n    repository: example/fleet\n    token: a token\n",
        kind.word(),
        server.uri()
    );
    (server, file)
}

/// What was told, as commit and state.
fn told(requests: &[wiremock::Request]) -> Vec<(String, String)> {
    requests
        .iter()
        .map(|request| {
            let commit = request
                .url
                .path()
                .rsplit('/')
                .next()
                .expect("a commit")
                .to_owned();
            (
                commit,
                json(request)["state"].as_str().expect("a state").to_owned(),
            )
        })
        .collect()
}

fn states(all: &[(u32, &str)]) -> Vec<(String, String)> {
    let states = all.iter();
    states
        .map(|(number, state)| (commit(*number), (*state).to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_pending_then_a_success_each_once_at_every_forge() {
    for kind in [ForgeKind::Github, ForgeKind::Gitea, ForgeKind::Gitlab] {
        let (server, file) = forge(kind).await;
        let mut rig = Rig::new(&file);
        // The newest commit is told at once: `web` has one task of two, so it is on its way.
        rig.start();
        let first = wait_for(&server, 1).await;
        assert_eq!(
            told(&first),
            [("c0ffee".to_owned(), "pending".to_owned())],
            "{kind:?}"
        );
        rig.hold(7);
        wait_for(&server, 2).await;
        rig.cell.say(Event::PlanApplied {
            plan: PlanId::from(format!("{:064x}", 7)),
        });
        let requests = wait_for(&server, 3).await;
        let all = told(&requests);
        assert_eq!(all[1..], states(&[(7, "pending"), (7, "success")]));

        let held = json(&requests[1]);
        let context = match kind {
            ForgeKind::Github | ForgeKind::Gitea => &held["context"],
            ForgeKind::Gitlab => &held["name"],
        };
        assert_eq!(context, "muster/test");
        assert_eq!(
            held["target_url"],
            format!("https://muster.example.com/plans/{:064x}", 7)
        );
        let description = held["description"].as_str().expect("a text");
        assert!(
            description.starts_with("plan 000000000000 is held: "),
            "{description}"
        );
        // A restart tells nothing twice.
        rig.end().await;
        rig.start();
        rig.hold(8);
        let requests = wait_for(&server, 4).await;
        assert_eq!(told(&requests)[3..], states(&[(8, "pending")]));
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_plan_and_a_revision_not_to_follow_are_failures() {
    let (server, file) = forge(ForgeKind::Gitlab).await;
    let mut rig = Rig::new(&file);
    rig.hold(7);
    rig.start();
    eventually("it is told", async || {
        told(&requests(&server).await).ends_with(&states(&[(7, "pending")]))
    })
    .await;
    rig.cell.say(Event::PlanRefused {
        plan: PlanId::from(format!("{:064x}", 7)),
        reason: "too much".to_owned(),
    });
    rig.cell.say(Event::RepositoryTroubled {
        trouble: RepositoryTrouble::Empty {
            commit: CommitId(commit(9)),
        },
    });
    eventually("both are told", async || {
        let told = told(&requests(&server).await);
        states(&[(7, "failed"), (9, "failed")])
            .iter()
            .all(|state| told.contains(state))
    })
    .await;
    let requests = requests(&server).await;
    let refused = json(&requests[requests.len() - 2]);
    assert_eq!(
        refused["description"],
        "plan 000000000000 was refused by control: too much"
    );
    assert_eq!(
        json(&requests[requests.len() - 1])["target_url"],
        "https://muster.example.com/plans"
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_is_away_is_told_later_and_a_commit_that_it_lacks_holds_up_no_other() {
    let (server, file) = forge(ForgeKind::Github).await;
    // The first commit is not at this forge, which then is away for a while.
    Mock::given(path("/repos/example/fleet/statuses/c0ffee"))
        .respond_with(ResponseTemplate::new(422))
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(502))
        .up_to_n_times(3)
        .with_priority(2)
        .mount(&server)
        .await;
    let mut rig = Rig::new(&file);
    rig.start();
    wait_for(&server, 1).await;
    rig.apply(7);
    let seventh = format!("/repos/example/fleet/statuses/{}", commit(7));
    eventually("it is told", async || {
        let requests = requests(&server).await;
        requests
            .iter()
            .filter(|request| request.url.path() == seventh)
            .count()
            >= 4
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let told = told(&requests(&server).await);
    let of_seventh: Vec<_> = told.iter().filter(|(of, _)| *of == commit(7)).collect();
    assert_eq!(
        of_seventh.len(),
        4,
        "three times in vain and once with success: {told:?}"
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_has_one_comment_which_is_written_anew() {
    for kind in [ForgeKind::Github, ForgeKind::Gitea, ForgeKind::Gitlab] {
        let (server, file) = forge(kind).await;
        let file = format!(
            "{file}    pullRequests: true\nhooks:\n  {}:\n    secret: a key\n",
            kind.word()
        );
        let (list, edit, one) = match kind {
            ForgeKind::Github => (
                "/repos/example/fleet/issues/7/comments",
                "PATCH",
                "/repos/example/fleet/issues/comments/41",
            ),
            ForgeKind::Gitea => (
                "/api/v1/repos/example/fleet/issues/7/comments",
                "PATCH",
                "/api/v1/repos/example/fleet/issues/comments/41",
            ),
            ForgeKind::Gitlab => (
                "/api/v4/projects/example%2Ffleet/merge_requests/7/notes",
                "PUT",
                "/api/v4/projects/example%2Ffleet/merge_requests/7/notes/41",
            ),
        };
        Mock::given(method("POST"))
            .and(path(list))
            .respond_with(ResponseTemplate::new(201).set_body_json(value!({"id": 41})))
            .mount(&server)
            .await;
        Mock::given(method(edit))
            .and(path(one))
            .respond_with(ResponseTemplate::new(200).set_body_json(value!({"id": 41})))
            .mount(&server)
            .await;
        let comments = async || -> Vec<(String, Value)> {
            let requests = requests(&server).await;
            let requests = requests
                .iter()
                .filter(|request| !request.url.path().contains("/statuses/"));
            requests
                .map(|request| (request.method.to_string(), json(request)["body"].clone()))
                .collect()
        };
        let pull = || PullRequest {
            kind,
            repository: "example/fleet".to_owned(),
            project: None,
            number: 7,
        };
        let mut rig = Rig::new(&file);
        rig.start();
        // Another repository of the same forge is not ours to comment on.
        let other = PullRequest {
            repository: "example/other".to_owned(),
            ..pull()
        };
        assert_eq!(rig.pull_request(&other), Offered::NotOurs);
        assert_eq!(rig.pull_request(&pull()), Offered::Taken);
        eventually("there is a comment", async || comments().await.len() == 1).await;
        let reference = match kind {
            ForgeKind::Github | ForgeKind::Gitea => "refs/pull/7/head",
            ForgeKind::Gitlab => "refs/merge-requests/7/head",
        };
        let text = |made: u32| value!(format!("## The plan of {reference}, after {made}\n"));
        assert_eq!(comments().await, [("POST".to_owned(), text(1))]);
        let file = rig.home.path().join("notify/forge.comments.json");
        eventually("it is remembered", async || file.exists()).await;
        rig.end().await;

        rig.hold(8);
        rig.start();
        assert_eq!(rig.pull_request(&pull()), Offered::Taken);
        eventually("it is written anew", async || comments().await.len() == 2).await;
        assert_eq!(comments().await[1], (edit.to_owned(), text(2)));

        // Somebody removed it.
        Mock::given(method(edit))
            .and(path(one))
            .respond_with(ResponseTemplate::new(404))
            .with_priority(1)
            .mount(&server)
            .await;
        assert_eq!(rig.pull_request(&pull()), Offered::Taken);
        eventually("there is a new one", async || comments().await.len() == 4).await;
        assert_eq!(comments().await[3], ("POST".to_owned(), text(2)));
        rig.end().await;
    }
}

/// A pull request's comment at GitHub or Gitea.
async fn takes_comments(server: &MockServer, after: std::time::Duration) {
    let taken = ResponseTemplate::new(201).set_body_json(value!({"id": 41}));
    Mock::given(method("POST"))
        .and(path_regex(
            "^(/api/v1)?/repos/example/fleet/issues/[0-9]+/comments$",
        ))
        .respond_with(taken.set_delay(after))
        .mount(server)
        .await;
}

async fn comments(server: &MockServer) -> Vec<String> {
    let requests = requests(server).await;
    requests
        .iter()
        .filter(|request| request.url.path().ends_with("/comments"))
        .map(|request| json(request)["body"].as_str().expect("a text").to_owned())
        .collect()
}

fn pull(kind: ForgeKind, number: u64) -> PullRequest {
    PullRequest {
        kind,
        repository: "example/fleet".to_owned(),
        project: None,
        number,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_hangs_and_a_plan_that_does_hold_up_no_other() {
    let (hangs, file) = forge(ForgeKind::Github).await;
    let (answers, other) = forge(ForgeKind::Gitea).await;
    // Longer than anybody waits here, and shorter than a request may take.
    takes_comments(&hangs, std::time::Duration::from_secs(14)).await;
    takes_comments(&answers, std::time::Duration::ZERO).await;
    let other = other.split_once("forges:\n").expect("forges").1;
    let other = other.replace("name: forge", "name: other");
    let file = format!(
        "{file}    pullRequests: true\n{other}    pullRequests: true\nhooks:\n  github:\n    secret: a key\n  gitea:\n    secret: a key\n"
    );
    let mut rig = Rig::new(&file);
    rig.bounds.plan = std::time::Duration::from_secs(2);
    rig.start();
    let began = std::time::Instant::now();
    rig.pull_request(&pull(ForgeKind::Github, 7));
    eventually("the first forge hangs", async || {
        comments(&hangs).await.len() == 1
    })
    .await;
    // Its plan is never done, which keeps the one after it from nothing.
    rig.pull_request(&pull(ForgeKind::Gitea, 404));
    rig.pull_request(&pull(ForgeKind::Gitea, 405));
    eventually("the other forge has both", async || {
        comments(&answers).await.len() == 2
    })
    .await;
    let told = comments(&answers).await;
    assert!(told[0].starts_with("Muster could not plan"), "{told:?}");
    assert!(
        told[1].starts_with("## The plan of refs/pull/405/head"),
        "{told:?}"
    );
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
    rig.end().await;
}
