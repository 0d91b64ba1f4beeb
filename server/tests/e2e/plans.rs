//! A plan is seen before it is made, by the command that people and pipelines type, and compared with what came of it.

use super::poll::{eventually, secs, so};
use super::specs::{Service, policy};
use super::stack::Stack;
use muster_schemas::api::{PlanPreview, PlanStatus};
use std::process::{Command, Output};

/// `muster plan` with these arguments.
fn muster_plan(stack: &Stack, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_muster"))
        .arg("plan")
        .args(arguments)
        .env("MUSTER_URL", stack.api.url())
        .env("MUSTER_TOKEN", stack.api.token())
        .output()
        .unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.code(), text)
}

#[test]
fn a_plan_is_seen_before_it_is_made_and_compared_with_what_came_of_it() {
    let stack = Stack::start();
    let (mut web, large) = (Service::new("web", 2), Service::new("large", 7));
    stack.repo.write("policy.yaml", &policy(true));
    stack.repo.write(&large.file(), &large.yaml());
    let first = stack.push(&web, "Add web and large");
    stack.wait_until_settled(&web, 1);
    stack.wait_until_settled(&large, 1);
    let tree = stack.repo.folder().display().to_string();
    let seq = stack.api.fleet().unwrap().seq;

    // Nothing is asked for that is not there.
    for arguments in [&["--worktree", tree.as_str()][..], &[], &["--rev", &first]] {
        let (code, text) = said(&muster_plan(&stack, arguments));
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
    }
    // A revision that is not there, and a control plane that is not there, are no answers.
    let (code, text) = said(&muster_plan(&stack, &["--rev", "nowhere"]));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("no revision `nowhere`"), "{text}");

    // What is not committed yet: more of web, and a new image.
    web.desired = 3;
    web.version = 2;
    stack.repo.write(&web.file(), &web.yaml());
    let output = muster_plan(&stack, &["--worktree", &tree, "-o", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output).1);
    let preview: PlanPreview = serde_json::from_slice(&output.stdout).unwrap();
    let predicted = preview.plan.prediction.clone().unwrap();
    assert_eq!((predicted.started, predicted.stopped), (3, 2));
    assert!(predicted.starts.iter().all(|start| start.host == "host-0"));
    let (code, markdown) = said(&muster_plan(&stack, &["--worktree", &tree, "--markdown"]));
    assert_eq!(code, Some(1));
    assert!(
        markdown.contains("### update `web` (1 start, 2 replaced)")
            && markdown.contains("- service.capacity.desired: 2")
            && markdown.contains("+ service.capacity.desired: 3")
            && markdown.contains("stops on host-0: replaced by version 2"),
        "{markdown}"
    );

    // What would take too much away is told by its exit code, and so is what is wrong with a document.
    stack.repo.remove(&large.file());
    let (code, text) = said(&muster_plan(&stack, &["--worktree", &tree]));
    assert_eq!(code, Some(3), "{text}");
    stack.repo.write(
        "typo.yaml",
        "apiVersion: muster/v1\nkind: Job\nname: typo\nimgae: x\n",
    );
    let (code, text) = said(&muster_plan(&stack, &["--worktree", &tree]));
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("prune large") && text.contains("did you mean `image`?"),
        "{text}"
    );
    assert_eq!(
        stack.api.fleet().unwrap().seq,
        seq,
        "asking changes nothing"
    );

    // The same, committed: its plan has the prediction, and what came of it beside it.
    stack.repo.git(&["checkout", "-q", "--", &large.file()]);
    stack.repo.remove("typo.yaml");
    stack.push(&web, "More of web");
    stack.wait_until_settled(&web, 2);
    let plan = eventually(secs(20), "the plan has come about", || {
        let plan = stack.api.plans()?.first().cloned().ok_or("no plan")?;
        let outcome = plan.outcome.clone().ok_or("not applied")?;
        so((outcome.started, outcome.stopped) == (3, 2), || {
            format!("{outcome:?}")
        })?;
        so(plan.prediction.is_some(), || "not predicted".to_owned())?;
        Ok(plan)
    });
    assert_eq!(plan.status, PlanStatus::Applied);
    let made = plan.prediction.unwrap();
    assert_eq!((made.started, made.stopped), (3, 2));
    assert_eq!(plan.outcome.unwrap().as_predicted, 3);
}
