//! Signed commits, with real git, keys made by `ssh-keygen` and `gpg`, and a whole control plane.

mod git_repo;
mod plane;

use git_repo::Repo;
use muster::git::{
    Content, Followed, Looks, NewCommit, Poller, SigningKey, SigningKeyError, commit, read,
};
use muster_core::signatures::{Signed, SignerKey};
use muster_core::specs::{self, SpecFile};
use muster_schemas::event::SignatureFault;
use muster_schemas::ids::CommitId;
use muster_schemas::spec::{RequiredSignatures, Signatures, Signer};
use plane::{Plane, alert, pages};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Keys in a folder of their own, and a key ring of `gpg`'s that is nobody else's.
struct Keys {
    directory: TempDir,
}

impl Keys {
    fn new() -> Self {
        let keys = Self {
            directory: tempfile::tempdir().expect("a folder"),
        };
        std::fs::create_dir(keys.ring()).unwrap();
        std::fs::set_permissions(keys.ring(), PermissionsExt::from_mode(0o700)).unwrap();
        // Git calls it with its own options: the ring has to come from here.
        let script = format!(
            "#!/bin/sh\nexec gpg --homedir '{}' --batch --pinentry-mode loopback --passphrase '' \"$@\"\n",
            keys.ring().display()
        );
        std::fs::write(keys.gpg_program(), script).unwrap();
        std::fs::set_permissions(keys.gpg_program(), PermissionsExt::from_mode(0o700)).unwrap();
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn ring(&self) -> PathBuf {
        self.path("ring")
    }

    fn gpg_program(&self) -> PathBuf {
        self.path("gpg")
    }

    fn gpg(&self, arguments: &[&str]) -> String {
        run(Command::new(self.gpg_program())
            .arg("--quiet")
            .args(arguments))
    }

    /// An SSH key: the file of its private half, and its public half.
    fn ssh(&self, name: &str, kind: &[&str]) -> (PathBuf, String) {
        let path = self.path(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", "", "-C", name, "-f"]).arg(&path);
        run(command.args(kind));
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        (path, public.trim().to_owned())
    }

    /// An OpenPGP key: its fingerprint and its public half.
    fn gpg_key(&self, name: &str, kind: &str, usage: &str, expires: &str) -> (String, String) {
        self.gpg(&["--quick-generate-key", name, kind, usage, expires]);
        (self.fingerprint(name), self.export(name))
    }

    fn fingerprint(&self, name: &str) -> String {
        let listed = self.gpg(&["--with-colons", "--list-keys", name]);
        let line = listed.lines().find(|line| line.starts_with("fpr:"));
        let fingerprint = line.and_then(|line| line.split(':').nth(9));
        fingerprint.expect("a fingerprint").to_owned()
    }

    fn export(&self, name: &str) -> String {
        self.gpg(&["--armor", "--export", name])
    }
}

impl Drop for Keys {
    /// `gpg` starts an agent for each key ring, which would stay.
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.ring())
            .args(["--kill", "all"])
            .status();
    }
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("these tests need {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ssh_signer(name: &str, public: &str) -> Signer {
    Signer {
        name: name.to_owned(),
        ssh: Some(public.to_owned()),
        gpg: None,
        policy: false,
        not_after: None,
    }
}

fn gpg_signer(name: &str, armored: &str) -> Signer {
    Signer {
        ssh: None,
        gpg: Some(armored.to_owned()),
        ..ssh_signer(name, "")
    }
}

fn followed(applied: &str, require: RequiredSignatures, signers: Vec<Signer>) -> Followed {
    Followed {
        applied: Some(CommitId::from(applied)),
        signatures: Some(Signatures { require, signers }),
    }
}

/// Commits the work tree, signed with an SSH key.
fn commit_with_ssh(repo: &Repo, key: &Path, message: &str) -> String {
    repo.stage();
    let key = format!("user.signingKey={}", key.display());
    repo.git(&[
        "-c",
        "gpg.format=ssh",
        "-c",
        &key,
        "commit",
        "-q",
        "--allow-empty",
        "-S",
        "-m",
        message,
    ]);
    repo.git(&["rev-parse", "HEAD"])
}

/// Commits the work tree, signed with an OpenPGP key.
fn commit_with_gpg(repo: &Repo, keys: &Keys, fingerprint: &str, message: &str) -> String {
    repo.stage();
    let program = format!("gpg.program={}", keys.gpg_program().display());
    let key = format!("user.signingKey={fingerprint}");
    repo.git(&[
        "-c",
        &program,
        "-c",
        &key,
        "commit",
        "-q",
        "--allow-empty",
        "-S",
        "-m",
        message,
    ]);
    repo.git(&["rev-parse", "HEAD"])
}

fn signed(repo: &Repo, followed: &Followed) -> Signed {
    read(&repo.remote(), followed)
        .unwrap_or_else(|trouble| panic!("{trouble}"))
        .signed
}

/// What was found of the head alone.
fn head(repo: &Repo, followed: &Followed) -> Result<String, SignatureFault> {
    let mut commits = signed(repo, followed).commits;
    assert_eq!(commits.len(), 1);
    let head = commits.remove(0);
    assert_eq!(head.commit.as_str(), repo.git(&["rev-parse", "HEAD"]));
    assert_eq!(head.author, "Ann Author <ann@example.com>");
    head.key
}

#[test]
fn signatures_by_all_kinds_of_keys_are_found() {
    let keys = Keys::new();
    let repo = Repo::new();
    let applied = repo.commit("one");
    for (name, kind) in [
        ("ed25519", &["-t", "ed25519"][..]),
        ("ecdsa", &["-t", "ecdsa", "-b", "384"]),
        ("rsa", &["-t", "rsa", "-b", "3072"]),
    ] {
        let (private, public) = keys.ssh(name, kind);
        let expected = run(Command::new("ssh-keygen").arg("-lf").arg(&private));
        let expected = expected.split(' ').nth(1).expect("a fingerprint");
        commit_with_ssh(&repo, &private, "signed");
        let signers = vec![ssh_signer(name, &public)];
        let followed = followed(&applied, RequiredSignatures::Head, signers.clone());
        assert_eq!(head(&repo, &followed).as_deref(), Ok(expected), "{name}");
        let key = SignerKey::of(&signers[0]).expect("a key");
        assert_eq!(key.fingerprint(), expected, "{name}");
    }
    for (name, kind, usage) in [
        ("primary@example.com", "ed25519", "sign"),
        ("rsa@example.com", "rsa3072", "sign"),
        ("subkey@example.com", "ed25519", "cert"),
    ] {
        let (fingerprint, mut armored) = keys.gpg_key(name, kind, usage, "1y");
        if usage == "cert" {
            keys.gpg(&["--quick-add-key", &fingerprint, "ed25519", "sign", "1y"]);
            armored = keys.export(name);
        }
        commit_with_gpg(&repo, &keys, &fingerprint, "signed");
        let signers = vec![gpg_signer(name, &armored)];
        let followed = followed(&applied, RequiredSignatures::Head, signers);
        // A key is known by its primary part, whichever part signed.
        assert_eq!(head(&repo, &followed), Ok(fingerprint), "{name}");
    }
}

#[test]
fn what_is_not_signed_is_told_with_its_reason() {
    let keys = Keys::new();
    let repo = Repo::new();
    let applied = repo.commit("one");
    let (ann, ann_public) = keys.ssh("ann", &["-t", "ed25519"]);
    let (listed, armored) = keys.gpg_key("listed@example.com", "ed25519", "sign", "1y");
    let (stranger, _) = keys.gpg_key("stranger@example.com", "ed25519", "sign", "1y");
    let signers = vec![
        ssh_signer("ann", &ann_public),
        gpg_signer("listed", &armored),
    ];
    let followed = followed(&applied, RequiredSignatures::Head, signers);
    let found = |repo: &Repo| head(repo, &followed);
    let invalid = |found: &Result<String, SignatureFault>| {
        matches!(found, Err(SignatureFault::Invalid { .. }))
    };

    repo.commit("unsigned");
    assert_eq!(found(&repo), Err(SignatureFault::Missing));

    commit_with_gpg(&repo, &keys, &stranger, "by a key that is not listed");
    let unknown = SignatureFault::UnknownKey { key: stranger };
    assert_eq!(found(&repo), Err(unknown));

    // The signature of another commit, by each kind of key.
    for by in ["ssh", "gpg"] {
        repo.write("web.yaml", by.as_bytes());
        match by {
            "ssh" => commit_with_ssh(&repo, &ann, "what ann signed"),
            _ => commit_with_gpg(&repo, &keys, &listed, "what ann signed"),
        };
        assert!(found(&repo).is_ok(), "{by}");
        let object = repo.git(&["cat-file", "commit", "HEAD"]);
        let object = object.replace("what ann signed", "what ann never saw");
        let forged = repo.object("commit", format!("{object}\n").as_bytes());
        repo.git(&["update-ref", "refs/heads/main", &forged]);
        let forged = found(&repo);
        assert!(invalid(&forged), "{by}: {forged:?}");
    }

    // A signature that was made for something else than git.
    repo.git(&["reset", "-q", "--hard", &applied]);
    repo.commit("meant for mail");
    let object = format!("{}\n", repo.git(&["cat-file", "commit", "HEAD"]));
    let file = keys.path("object");
    std::fs::write(&file, &object).unwrap();
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-q", "-Y", "sign", "-n", "mail", "-f"])
        .arg(&ann);
    run(sign.arg(&file));
    let signature = std::fs::read_to_string(file.with_extension("sig")).unwrap();
    put_signed(&repo, &object, &signature);
    let other = found(&repo);
    assert!(invalid(&other), "{other:?}");
    // The same for git counts: it is the purpose that was wrong, and nothing else.
    let mut sign = Command::new("ssh-keygen");
    std::fs::remove_file(file.with_extension("sig")).unwrap();
    sign.args(["-q", "-Y", "sign", "-n", "git", "-f"]).arg(&ann);
    run(sign.arg(&file));
    let signature = std::fs::read_to_string(file.with_extension("sig")).unwrap();
    put_signed(&repo, &object, &signature);
    assert!(found(&repo).is_ok());

    put_signed(&repo, &object, "I, ann, sign this.\n");
    let words = found(&repo);
    assert!(invalid(&words), "{words:?}");
}

/// Makes a commit's bytes the head, with this for its signature.
fn put_signed(repo: &Repo, object: &str, signature: &str) {
    let (head, message) = object.split_once("\n\n").expect("a commit has a message");
    let signature = signature.trim_end().replace('\n', "\n ");
    let bytes = format!("{head}\ngpgsig {signature}\n\n{message}");
    let id = repo.object("commit", bytes.as_bytes());
    repo.git(&["update-ref", "refs/heads/main", &id]);
}

#[test]
fn a_key_whose_time_is_over_does_not_count() {
    let keys = Keys::new();
    let repo = Repo::new();
    let applied = repo.commit("one");
    let (fingerprint, _) = keys.gpg_key("short@example.com", "ed25519", "sign", "1y");
    commit_with_gpg(&repo, &keys, &fingerprint, "while it counted");
    keys.gpg(&["--quick-set-expire", &fingerprint, "seconds=1"]);
    std::thread::sleep(Duration::from_secs(2));
    let signers = vec![gpg_signer("short", &keys.export("short@example.com"))];
    let found = head(
        &repo,
        &followed(&applied, RequiredSignatures::Head, signers),
    );
    assert!(
        matches!(&found, Err(SignatureFault::Invalid { message }) if message.contains("is over")),
        "{found:?}"
    );
}

#[test]
fn every_commit_that_a_merge_brings_is_looked_at() {
    let keys = Keys::new();
    let repo = Repo::new();
    let (ann, public) = keys.ssh("ann", &["-t", "ed25519"]);
    repo.commit("long ago, unsigned");
    let applied = repo.commit("applied, unsigned");
    repo.git(&["checkout", "-q", "-b", "side"]);
    let side = repo.commit("on the side, unsigned");
    repo.git(&["checkout", "-q", "main"]);
    let first = commit_with_ssh(&repo, &ann, "signed");
    let key = format!("user.signingKey={}", ann.display());
    repo.git(&[
        "-c",
        "gpg.format=ssh",
        "-c",
        &key,
        "merge",
        "-q",
        "--no-ff",
        "-S",
        "-m",
        "merge",
        "side",
    ]);
    let merge = repo.git(&["rev-parse", "HEAD"]);
    let signers = vec![ssh_signer("ann", &public)];
    let found = signed(
        &repo,
        &followed(&applied, RequiredSignatures::Every, signers.clone()),
    );
    assert!(!found.more);
    assert_eq!(
        found.commits[0].commit.as_str(),
        merge,
        "the head comes first"
    );
    let mut all: Vec<(&str, bool)> = found
        .commits
        .iter()
        .map(|commit| (commit.commit.as_str(), commit.key.is_ok()))
        .collect();
    all.sort_unstable();
    let mut expected = vec![
        (merge.as_str(), true),
        (first.as_str(), true),
        (side.as_str(), false),
    ];
    expected.sort_unstable();
    assert_eq!(all, expected);
    // Only the head is asked for, or nothing, or the head is what is applied.
    let of_head = signed(
        &repo,
        &followed(&applied, RequiredSignatures::Head, signers.clone()),
    );
    assert_eq!(of_head.commits.len(), 1);
    let unasked = signed(
        &repo,
        &Followed::unsigned(Some(CommitId::from(applied.as_str()))),
    );
    assert_eq!(unasked, Signed::default());
    let nothing_new = signed(&repo, &followed(&merge, RequiredSignatures::Every, signers));
    assert!(nothing_new.commits.is_empty());
    assert!(nothing_new.asked.is_some());
}

#[tokio::test]
async fn the_poller_reads_again_when_other_signatures_are_asked_for() {
    let keys = Keys::new();
    let repo = Repo::new();
    let (_, public) = keys.ssh("ann", &["-t", "ed25519"]);
    let applied = repo.commit("one");
    repo.commit("two");
    let (out, mut readings) = mpsc::channel(4);
    let (tell, told) = watch::channel(Followed::unsigned(Some(CommitId::from(applied.as_str()))));
    let shutdown = CancellationToken::new();
    let poller = Poller {
        remote: repo.remote(),
        followed: told,
        wake: Arc::new(Notify::new()),
        interval: Duration::from_secs(3600),
        out,
        read_at: watch::channel(None).0,
        looks: watch::channel(Looks::default()).0,
        shutdown: shutdown.clone(),
    };
    let task = tokio::spawn(poller.run());
    let mut next = async || {
        let reading = tokio::time::timeout(Duration::from_secs(20), readings.recv()).await;
        match reading.expect("it says something").expect("it runs") {
            Ok(reading) => reading.signed,
            Err(trouble) => panic!("{trouble}"),
        }
    };
    assert_eq!(next().await, Signed::default());
    let asked = followed(
        &applied,
        RequiredSignatures::Head,
        vec![ssh_signer("ann", &public)],
    );
    tell.send_replace(asked.clone());
    let again = next().await;
    assert_eq!(again.asked, asked.signatures);
    assert_eq!(again.commits[0].key, Err(SignatureFault::Missing));
    shutdown.cancel();
    task.await.expect("it ends");
}

#[test]
fn what_muster_commits_is_signed_so_that_git_and_muster_agree() {
    let keys = Keys::new();
    let repo = Repo::new();
    repo.write("web.yaml", b"1");
    let first = repo.commit("one");
    let bare = repo.clone_bare();
    let remote = muster::git::Remote {
        url: bare.clone(),
        ..repo.remote()
    };
    let (private, public) = keys.ssh("muster", &["-t", "ed25519"]);
    let key = SigningKey::read(&private).expect("a key");
    assert_eq!(key.public(), public);
    let new = NewCommit {
        parent: CommitId::from(first.as_str()),
        content: Content::Files(vec![("web.yaml".to_owned(), b"2".to_vec())]),
        author: "ann".to_owned(),
        message: "Deploy web\n\nMuster-Actor: ann\n".to_owned(),
    };
    let made = commit(&remote, &new, Some(&key)).expect("it is committed");
    let allowed = keys.path("allowed");
    std::fs::write(&allowed, format!("muster@localhost {public}\n")).unwrap();
    let allowed = format!("gpg.ssh.allowedSignersFile={}", allowed.display());
    repo.git(&[
        "--git-dir",
        &bare,
        "-c",
        &allowed,
        "verify-commit",
        made.as_str(),
    ]);
    let signers = vec![ssh_signer("muster", &public)];
    let found = read(
        &remote,
        &followed(&first, RequiredSignatures::Every, signers),
    )
    .unwrap_or_else(|trouble| panic!("{trouble}"));
    assert_eq!(
        found.signed.commits[0].key.as_deref(),
        Ok(key.fingerprint())
    );
}

#[test]
fn a_signing_key_that_cannot_be_used_says_why() {
    let keys = Keys::new();
    let (private, _) = keys.ssh("open", &["-t", "ed25519"]);
    std::fs::set_permissions(&private, PermissionsExt::from_mode(0o644)).unwrap();
    let error = SigningKey::read(&private).expect_err("others can read it");
    assert!(matches!(error, SigningKeyError::Open { .. }), "{error}");
    let (locked, _) = keys.ssh("locked", &["-t", "ed25519"]);
    let mut command = Command::new("ssh-keygen");
    run(command
        .args(["-q", "-p", "-N", "a passphrase", "-f"])
        .arg(&locked));
    let error = SigningKey::read(&locked).expect_err("it has a passphrase");
    assert!(
        matches!(error, SigningKeyError::Passphrase { .. }),
        "{error}"
    );
    let (weak, _) = keys.ssh("weak", &["-t", "rsa", "-b", "1024"]);
    let error = SigningKey::read(&weak).expect_err("it is too short");
    assert!(error.to_string().contains("1024 bits"), "{error}");
    let error = SigningKey::read(&weak.with_extension("pub"));
    assert!(error.is_err());
    let error = SigningKey::read(&keys.path("none")).expect_err("it is not there");
    assert!(matches!(error, SigningKeyError::Read { .. }), "{error}");
}

/// What a policy says of keys is checked as the rest of it, with the line.
#[test]
fn a_key_that_cannot_be_read_is_told_with_its_line() {
    let keys = Keys::new();
    let (_, armored) = keys.gpg_key("good@example.com", "ed25519", "sign", "1y");
    let (_, no_signer) = keys.gpg_key("crypt@example.com", "ed25519", "cert", "1y");
    let (_, ssh) = keys.ssh("ann", &["-t", "ed25519"]);
    let block = |text: &str| {
        let lines: Vec<String> = text
            .trim_end()
            .lines()
            .map(|line| format!("        {line}"))
            .collect();
        lines.join("\n").replace("        \n", "\n")
    };
    let diagnostics = |signers: &str| -> Vec<(String, u32, String)> {
        let text = format!(
            "apiVersion: muster/v1\nkind: Policy\nname: default\nsignatures:\n  require: every\n  signers:{signers}\n"
        );
        let read = specs::read(&[SpecFile {
            path: "policy.yaml".to_owned(),
            bytes: text.into_bytes().into(),
        }]);
        assert_eq!(read.specs.is_empty(), !read.diagnostics.is_empty());
        let found = read.diagnostics.into_iter();
        found
            .map(|problem| (problem.code, problem.line, problem.message))
            .collect()
    };
    let good = format!(
        "\n    - name: ann\n      ssh: {ssh}\n      policy: true\n      notAfter: 2027-06-30T00:00:00Z\n    - name: good\n      gpg: |\n{}",
        block(&armored)
    );
    assert_eq!(diagnostics(&good), []);
    for (signers, code, line, words) in [
        (" []".to_owned(), "out-of-range", 6, "nobody is a signer"),
        (
            "\n    - name: ann\n      ssh: ssh-ed25519 AAAAB3Nz ann".to_owned(),
            "bad-value",
            8,
            "cannot be read",
        ),
        (
            format!("\n    - name: crypt\n      gpg: |\n{}", block(&no_signer)),
            "bad-value",
            8,
            "cannot sign",
        ),
        (
            format!("\n    - name: ann\n      ssh: {ssh}\n    - name: bob\n      ssh: {ssh} bob"),
            "duplicate-value",
            10,
            "another signer has this key",
        ),
        (
            format!("\n    - name: ann\n      ssh: {ssh}\n      gpg: {ssh}"),
            "contradiction",
            9,
            "either `ssh` or `gpg`",
        ),
        (
            "\n    - name: ann".to_owned(),
            "contradiction",
            7,
            "either `ssh` or `gpg`",
        ),
        (
            format!("\n    - name: ann\n      ssh: {ssh}\n      notAfter: soon"),
            "bad-value",
            9,
            "",
        ),
    ] {
        let found = diagnostics(&signers);
        assert!(
            matches!(&found[..], [(found_code, found_line, message)]
                if found_code == code && *found_line == line && message.contains(words)),
            "{signers}: {found:?}"
        );
    }
}

/// Feature 18 of the reference through the whole control plane, and what Muster itself commits.
#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_commit_changes_nothing_and_muster_signs_what_it_commits() {
    let keys = Keys::new();
    let repo = Repo::new();
    let (ann, ann_public) = keys.ssh("ann", &["-t", "ed25519"]);
    let (muster, muster_public) = keys.ssh("muster", &["-t", "ed25519"]);
    let policy = |prune: bool, signers: &[&str]| {
        let signers: String = signers
            .iter()
            .enumerate()
            .map(|(number, key)| format!("    - name: signer-{number}\n      ssh: {key}\n"))
            .collect();
        format!(
            "apiVersion: muster/v1\nkind: Policy\nname: default\nprune: {prune}\nsignatures:\n  require: every\n  signers:\n{signers}"
        )
    };
    repo.write("policy.yaml", policy(false, &[&ann_public]).as_bytes());
    let first = repo.commit("ask for signatures");
    let bare = repo.clone_bare();
    let push = |force: bool| {
        let refspec = if force { "+main:main" } else { "main:main" };
        repo.git(&["push", "-q", &bare, refspec]);
    };
    let home = tempfile::tempdir().expect("a folder");
    let config = plane::config(home.path(), &bare);
    let plane = Plane::start(config).await;
    let applied = |commit: &str| {
        let commit = commit.to_owned();
        move |fleet: &serde_json::Value| {
            fleet["revision"]["commit"] == commit.as_str() && pages(fleet).is_empty()
        }
    };
    plane
        .until("the first revision is taken", applied(&first))
        .await;

    repo.write("policy.yaml", policy(true, &[&ann_public]).as_bytes());
    let unsigned = repo.commit("nobody signed this");
    push(false);
    let fleet = plane
        .until("it pages", |fleet| pages(fleet) == ["repository-unsigned"])
        .await;
    assert_eq!(fleet["revision"]["commit"], first.as_str());
    let message = alert(&fleet, "repository-unsigned");
    for words in [
        &unsigned[..],
        "Ann Author",
        "it has no signature",
        "git commit -S",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    // Whoever asks for the plan before pushing is told the same.
    let asked = serde_json::json!({ "revision": unsigned });
    let (status, preview) = plane.post("/api/v1/plan", asked).await;
    assert_eq!(status, 200, "{preview}");
    assert_eq!(preview["would_be_held"], true, "{preview}");
    let hold = preview["plan"]["holds"][0].as_str().expect("a sentence");
    assert!(
        hold.starts_with("it would not be followed at all") && hold.contains("it has no signature"),
        "{hold}"
    );
    // Nor does a signed commit on top of it help, where every one has to be signed.
    commit_with_ssh(&repo, &ann, "signed, on top");
    push(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let fleet = plane.fleet().await;
    assert_eq!(fleet["revision"]["commit"], first.as_str());
    assert!(alert(&fleet, "repository-unsigned").contains(&unsigned));
    repo.git(&["reset", "-q", "--hard", &first]);
    repo.write("policy.yaml", policy(true, &[&ann_public]).as_bytes());
    let second = commit_with_ssh(&repo, &ann, "ann signed this");
    push(true);
    plane
        .until("a signed commit ends it", applied(&second))
        .await;
    let plans = plane.get("/api/v1/plans?limit=1").await;
    assert_eq!(plans["items"][0]["signed_by"], "signer-0", "{plans}");

    // What was never on the branch is nothing to go back to, although the repository still has it.
    let aside = serde_json::json!({ "to": unsigned, "reason": "it looks fine" });
    let (status, refused) = plane.post("/api/v1/rollback", aside).await;
    assert_eq!(status, 404, "{refused}");
    assert!(
        refused.to_string().contains("not in the history"),
        "{refused}"
    );

    // Muster has no key: it says what to do, and commits nothing.
    let back = serde_json::json!({ "to": first, "reason": "too much" });
    let (status, refused) = plane.post("/api/v1/rollback", back.clone()).await;
    assert_eq!(status, 409, "{refused}");
    assert!(
        refused.to_string().contains("--signing-key FILE"),
        "{refused}"
    );
    // It has one that nobody listed.
    let mut config = plane.stop().await;
    config.signing_key = Some(muster);
    let plane = Plane::start(config).await;
    let (status, refused) = plane.post("/api/v1/rollback", back).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused.to_string().contains(&muster_public), "{refused}");
    assert_eq!(repo.git(&["--git-dir", &bare, "rev-parse", "main"]), second);
    // Once it is listed, its roll-back is followed like any signed commit.
    let both = [&ann_public[..], &muster_public[..]];
    repo.write("policy.yaml", policy(false, &both).as_bytes());
    let third = commit_with_ssh(&repo, &ann, "muster may sign");
    push(false);
    plane.until("it is a signer", applied(&third)).await;
    repo.write("policy.yaml", policy(true, &both).as_bytes());
    let fourth = commit_with_ssh(&repo, &ann, "prune");
    push(false);
    plane.until("it prunes", applied(&fourth)).await;
    let back = serde_json::json!({ "to": third, "reason": "too much" });
    let (status, answer) = plane.post("/api/v1/rollback", back).await;
    assert_eq!(status, 200, "{answer}");
    let made = answer["commit"].as_str().expect("a commit").to_owned();
    plane
        .until("the roll-back is followed", applied(&made))
        .await;
    // On top of a commit that is not followed, Muster puts no signature of its own.
    repo.git(&["fetch", "-q", &bare, "main"]);
    repo.git(&["reset", "-q", "--hard", "FETCH_HEAD"]);
    repo.write("policy.yaml", b"{}");
    let unsigned = repo.commit("nobody signed this either");
    push(false);
    plane
        .until("it pages", |fleet| pages(fleet) == ["repository-unsigned"])
        .await;
    let back = serde_json::json!({ "to": fourth, "reason": "over it" });
    let (status, refused) = plane.post("/api/v1/rollback", back).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused.to_string().contains(&unsigned), "{refused}");
    plane.stop().await;
}
