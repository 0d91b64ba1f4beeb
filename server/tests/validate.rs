//! `muster validate` on real files and real git.

use clap::Parser;
use muster::cli::validate::{Outcome, ValidateArgs, validate};
use muster_core::specs::Look;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ValidateArgs,
}

/// Runs `muster validate` with these words; the outcome and what it wrote.
fn run(words: &[&str]) -> (anyhow::Result<Outcome>, String) {
    let line = Line::parse_from(std::iter::once("validate").chain(words.iter().copied()));
    let mut out = Vec::new();
    let outcome = validate(&line.args, Look::Plain, &mut out);
    (outcome, String::from_utf8(out).unwrap())
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn job(name: &str, rest: &str) -> String {
    format!(
        "apiVersion: muster/v1\nkind: Job\nname: {name}\nowner: a-team@example.com\nimage: web:1\nbatch: {{}}\n{rest}"
    )
}

#[test]
fn files_that_hold() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "jobs/a.yaml", &job("a", ""));
    write(
        folder.path(),
        "jobs/deep/b.yml",
        &format!("{}---\n{}", job("b", ""), job("c", "")),
    );
    write(folder.path(), ".hidden/bad.yaml", "a: [\n");
    write(folder.path(), "notes.txt", "a: [\n");
    let (outcome, said) = run(&[folder.path().to_str().unwrap()]);
    assert_eq!(outcome.unwrap(), Outcome::Valid);
    assert_eq!(said, "3 documents in 2 files: all good\n");
}

#[test]
fn files_that_do_not_hold() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "a.yaml", &job("a", "commnad: [sh]\n"));
    write(folder.path(), "b.yaml", &job("b", ""));
    write(folder.path(), "large.yaml", &"#".repeat((1 << 20) + 1));
    std::os::unix::fs::symlink("b.yaml", folder.path().join("link.yaml")).unwrap();
    std::os::unix::fs::symlink("/", folder.path().join("everything")).unwrap();
    let (outcome, said) = run(&[folder.path().to_str().unwrap()]);
    assert_eq!(outcome.unwrap(), Outcome::Invalid);
    let said = said.replace(folder.path().to_str().unwrap(), "specs");
    insta::assert_snapshot!(said);
}

/// Files of a part of a repository may name what stands in another part; of a whole one they may not.
#[test]
fn what_a_job_depends_on_may_stand_in_another_part_of_the_repository() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "jobs/a.yaml", &job("a", "dependsOn: [b]\n"));
    let part = folder.path().join("jobs");
    let whole = folder.path().to_str().unwrap();
    let (outcome, said) = run(&[part.to_str().unwrap()]);
    assert_eq!(outcome.unwrap(), Outcome::Valid, "{said}");
    git_well(folder.path(), &["init", "--quiet"]);
    let (outcome, said) = run(&[whole]);
    assert_eq!(outcome.unwrap(), Outcome::Invalid);
    assert!(said.contains("there is no job `b` [unknown-job]"), "{said}");
    git_well(folder.path(), &["add", "."]);
    git_well(folder.path(), &["commit", "--quiet", "-m", "Add a"]);
    let (outcome, _) = run(&["--git-dir", &format!("{whole}/.git"), "--rev", "HEAD"]);
    assert_eq!(outcome.unwrap(), Outcome::Invalid);
    write(folder.path(), "other/b.yaml", &job("b", ""));
    let (outcome, said) = run(&[whole]);
    assert_eq!(outcome.unwrap(), Outcome::Valid, "{said}");
}

#[test]
fn json_is_for_programs() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "a.yaml", &job("a", "tier: critcal\n"));
    let (outcome, said) = run(&["--json", folder.path().join("a.yaml").to_str().unwrap()]);
    assert_eq!(outcome.unwrap(), Outcome::Invalid);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["valid"], false);
    assert_eq!(said["files"], 1);
    assert_eq!(said["diagnostics"][0]["code"], "unknown-word");
    assert_eq!(said["diagnostics"][0]["line"], 7);
    assert_eq!(said["diagnostics"][0]["job"], "a");
}

#[test]
fn what_cannot_be_read_is_no_verdict() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "notes.txt", "x");
    let nowhere = folder.path().join("nowhere");
    let notes = folder.path().join("notes.txt");
    for words in [
        vec![nowhere.to_str().unwrap()],
        vec![notes.to_str().unwrap()],
        vec!["--git-dir", nowhere.to_str().unwrap(), "--rev", "main"],
        vec!["--git-dir", nowhere.to_str().unwrap(), "--rev=--all"],
    ] {
        let (outcome, said) = run(&words);
        assert!(outcome.is_err(), "{words:?}: {said}");
    }
}

fn git(folder: &Path, words: &[&str]) -> Output {
    Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
        .args(words)
        .current_dir(folder)
        .output()
        .expect("git is installed")
}

fn git_well(folder: &Path, words: &[&str]) {
    let output = git(folder, words);
    assert!(
        output.status.success(),
        "git {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_commit_is_read_from_its_objects() {
    let folder = TempDir::new().unwrap();
    git_well(folder.path(), &["init", "-q", "-b", "main"]);
    write(folder.path(), "jobs/a.yaml", &job("a", ""));
    write(folder.path(), ".github/ci.yaml", "a: [\n");
    git_well(folder.path(), &["add", "."]);
    git_well(folder.path(), &["commit", "-qm", "one"]);
    let git_dir = folder.path().join(".git");
    let words = ["--git-dir", git_dir.to_str().unwrap(), "--rev", "main"];
    // What is not committed does not count.
    write(folder.path(), "jobs/a.yaml", "a: [\n");
    let (outcome, said) = run(&words);
    assert_eq!(outcome.unwrap(), Outcome::Valid, "{said}");
    assert_eq!(said, "1 document in 1 file: all good\n");

    std::os::unix::fs::symlink("a.yaml", folder.path().join("jobs/link.yaml")).unwrap();
    write(folder.path(), "jobs/ü ö.yaml", &job("a", ""));
    write(folder.path(), "jobs/a.yaml", &job("a", ""));
    write(folder.path(), "large.yaml", &"#".repeat((1 << 20) + 1));
    git_well(folder.path(), &["add", "."]);
    let head = String::from_utf8(git(folder.path(), &["rev-parse", "HEAD"]).stdout).unwrap();
    let submodule = format!("160000,{},vendor", head.trim());
    git_well(
        folder.path(),
        &["update-index", "--add", "--cacheinfo", &submodule],
    );
    git_well(folder.path(), &["commit", "-qm", "two"]);
    let (outcome, said) = run(&words);
    assert_eq!(outcome.unwrap(), Outcome::Invalid);
    insta::assert_snapshot!(said);
}

/// The hook as it is shipped, with the real program.
#[test]
fn the_hook_refuses_a_bad_push() {
    let folder = TempDir::new().unwrap();
    let (bare, clone) = (folder.path().join("specs.git"), folder.path().join("clone"));
    git_well(
        folder.path(),
        &["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()],
    );
    let hook = bare.join("hooks/pre-receive");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../example-repo/hooks/pre-receive");
    std::fs::create_dir_all(bare.join("hooks")).unwrap();
    std::fs::copy(shipped, &hook).unwrap();
    git_well(
        &bare,
        &["config", "muster.command", env!("CARGO_BIN_EXE_muster")],
    );
    git_well(
        folder.path(),
        &["clone", "-q", bare.to_str().unwrap(), "clone"],
    );

    let push = |text: &str, branch: &str| {
        write(&clone, "jobs/web.yaml", text);
        git_well(&clone, &["add", "."]);
        git_well(&clone, &["commit", "-qm", "change"]);
        git(
            &clone,
            &["push", "-q", "origin", &format!("HEAD:refs/heads/{branch}")],
        )
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let good = push(&job("web", ""), "main");
    assert!(good.status.success(), "{}", said(&good));

    let bad = push(&job("web", "commnad: [sh]\n"), "main");
    assert!(!bad.status.success(), "{}", said(&bad));
    for line in [
        "jobs/web.yaml:7:1: there is no field `commnad` [unknown-field]",
        "help: did you mean `command`?",
        "The push is refused",
    ] {
        assert!(
            said(&bad).contains(line),
            "{line} is not in:\n{}",
            said(&bad)
        );
    }
    let head = || String::from_utf8(git(&bare, &["rev-parse", "main"]).stdout).unwrap();
    let before = head();
    let other = git(&clone, &["push", "-q", "origin", "HEAD:refs/heads/draft"]);
    assert!(
        other.status.success(),
        "other branches are not checked: {}",
        said(&other)
    );

    let mended = push(&job("web", "command: [sh]\n"), "main");
    assert!(mended.status.success(), "{}", said(&mended));
    assert_ne!(before, head());

    git_well(&bare, &["config", "muster.command", "/nowhere/muster"]);
    let unchecked = push(&job("web", "command: [sh, -c]\n"), "main");
    assert!(!unchecked.status.success());
    assert!(
        said(&unchecked).contains("git config muster.command"),
        "{}",
        said(&unchecked)
    );
}
