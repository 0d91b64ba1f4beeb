//! The repository, with real git: what is read, what is not, and what must not be followed.

mod git_repo;

use git_repo::{Repo, Withheld, serve_http, serve_http_but};
use muster::git::{
    CommitError, Content, Followed, Looks, MAX_FILE_BYTES, NewCommit, Poller, Reading, Remote,
    commit, read, read_reference,
};
use muster_schemas::event::RepositoryTrouble;
use muster_schemas::ids::CommitId;
use muster_schemas::spec::{RequiredSignatures, Signatures};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

fn paths(reading: &Reading) -> Vec<&str> {
    reading
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect()
}

fn content<'r>(reading: &'r Reading, path: &str) -> &'r [u8] {
    let file = reading.files.iter().find(|file| file.path == path);
    &file.unwrap_or_else(|| panic!("{path} was not read")).bytes
}

fn told(reading: &Reading) -> Vec<(&str, &str)> {
    let diagnostics = reading.diagnostics.iter();
    diagnostics
        .map(|diagnostic| (diagnostic.code.as_str(), diagnostic.path.as_str()))
        .collect()
}

/// Reads the repository; a trouble fails the test.
fn reading(repo: &Repo) -> Reading {
    read(&repo.remote(), &Followed::default()).unwrap_or_else(|trouble| panic!("{trouble}"))
}

/// After a revision whose policy asks for no signatures.
fn after(applied: Option<&str>) -> Followed {
    Followed::unsigned(applied.map(CommitId::from))
}

/// Reads what must not be followed.
fn trouble(remote: &Remote, applied: Option<&str>) -> RepositoryTrouble {
    match read(remote, &after(applied)) {
        Ok(reading) => panic!("it was read: {:?}", reading.revision),
        Err(trouble) => trouble,
    }
}

#[test]
fn a_revision_is_read_from_its_objects() {
    let repo = Repo::new();
    repo.write("web.yaml", b"kind: Job\r\n# \xc3\xa4\r\n");
    repo.write("jobs/deep/er/batch.yml", b"a");
    repo.write("README.md", b"no spec");
    repo.write("yaml", b"no ending");
    repo.write(".github/workflow.yaml", b"for a tool");
    repo.write("jobs/.hidden.yaml", b"for an editor");
    repo.write("binary.yaml", b"\x00\xff\x7fELF");
    repo.write("empty.yaml", b"");
    let commit = repo.commit("Add the web job\n\nBecause.");
    let reading = reading(&repo);
    assert_eq!(
        paths(&reading),
        [
            "binary.yaml",
            "empty.yaml",
            "jobs/deep/er/batch.yml",
            "web.yaml"
        ]
    );
    assert_eq!(
        content(&reading, "web.yaml"),
        b"kind: Job\r\n# \xc3\xa4\r\n",
        "bytes are as in the commit"
    );
    assert_eq!(content(&reading, "binary.yaml"), b"\x00\xff\x7fELF");
    assert_eq!(told(&reading), []);
    let revision = &reading.revision;
    assert_eq!(revision.commit.as_str(), commit);
    assert_eq!(revision.author, "Ann Author <ann@example.com>");
    assert_eq!(revision.subject, "Add the web job");
    assert_eq!(revision.committed_at.to_string(), "2026-11-22T10:00:00Z");

    // What is not committed is not there, whatever lies in the work tree.
    repo.write("web.yaml", b"changed");
    repo.write("new.yaml", b"new");
    assert_eq!(reading.files.len(), self::reading(&repo).files.len());
}

#[test]
fn a_bare_repository_and_a_file_url_are_read_too() {
    let repo = Repo::new();
    repo.write("web.yaml", b"a");
    let commit = repo.commit("one");
    let bare = repo.clone_bare();
    for url in [bare.clone(), format!("file://{bare}")] {
        let remote = Remote {
            url,
            ..repo.remote()
        };
        let reading = read(&remote, &after(Some(&commit))).expect("it reads");
        assert_eq!(reading.revision.commit.as_str(), commit);
        assert!(!remote.mirror.exists(), "it is read where it is");
    }
}

#[test]
fn entries_that_are_not_read_are_told_and_the_others_go_on() {
    let repo = Repo::new();
    repo.write("good.yaml", b"good");
    repo.write("large.yaml", &vec![b'#'; MAX_FILE_BYTES + 1]);
    repo.write("just-fits.yaml", &vec![b'#'; MAX_FILE_BYTES]);
    repo.write(
        "lfs.yaml",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
    );
    repo.link("link.yaml", "/etc/passwd");
    repo.link("jobs", "../elsewhere");
    repo.link("logo.png", "other.png");
    let deep = "d/".repeat(33);
    repo.write(&format!("{deep}too-deep.yaml"), b"a");
    repo.write(&format!("{}fits.yaml", "e/".repeat(32)), b"a");
    repo.write("with\ttab.yaml", b"a");
    repo.write_bytes_name(b"not-utf8-\xff.yaml", b"a");
    repo.write_bytes_name(b"not-utf8-\xff.txt", b"no spec, so nobody minds");
    repo.stage();
    let other = "1234567890123456789012345678901234567890";
    repo.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{other},vendor"),
    ]);
    repo.commit_staged("everything odd");

    let reading = reading(&repo);
    let fits = format!("{}fits.yaml", "e/".repeat(32));
    assert_eq!(
        paths(&reading),
        [fits.as_str(), "good.yaml", "just-fits.yaml"]
    );
    let mut found = told(&reading);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("bad-path", "not-utf8-\u{fffd}.yaml"),
            ("bad-path", "with\\ttab.yaml"),
            ("file-too-large", "large.yaml"),
            ("lfs-pointer", "lfs.yaml"),
            ("submodule", "vendor"),
            ("symlink", "jobs"),
            ("symlink", "link.yaml"),
            ("too-deep", deep.trim_end_matches('/')),
        ]
    );
    let mut sentences: Vec<String> = reading
        .diagnostics
        .iter()
        .map(|diagnostic| {
            format!(
                "{}: {}; {}",
                diagnostic
                    .path
                    .replace(deep.trim_end_matches('/'), "[deep]"),
                diagnostic.message,
                diagnostic.help
            )
        })
        .collect();
    sentences.sort_unstable();
    insta::assert_snapshot!(sentences.join("\n"));
}

/// Trees that git itself would not make, but that an object database takes.
#[test]
fn names_that_no_checkout_makes_are_told() {
    let repo = Repo::new();
    let blob = repo.object("blob", b"kind: Job");
    let inner = repo.object("tree", &git_repo::tree(&[("100644", b"x.yaml", &blob)]));
    let tree = repo.object(
        "tree",
        &git_repo::tree(&[
            ("40000", b"..", &inner),
            ("40000", b".git", &inner),
            ("100644", b"../../up.yaml", &blob),
            ("100644", b"a\\b.yaml", &blob),
            ("100644", b"good.yaml", &blob),
            // A tree by its object, a file by its mode.
            ("100644", b"mixed.yaml", &inner),
        ]),
    );
    repo.commit_tree(&tree);
    let reading = reading(&repo);
    assert_eq!(paths(&reading), ["good.yaml"]);
    let mut found = told(&reading);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("bad-path", ".."),
            ("bad-path", "../../up.yaml"),
            ("bad-path", "a\\\\b.yaml"),
            ("not-a-file", "mixed.yaml"),
        ]
    );
}

/// A handful of objects that spell out ten thousand million paths.
#[test]
fn a_tree_that_names_itself_many_times_is_bounded() {
    let repo = Repo::new();
    let blob = repo.object("blob", b"kind: Job");
    let mut tree = repo.object("tree", &git_repo::tree(&[("100644", b"x.txt", &blob)]));
    for _ in 0..10 {
        let names: Vec<String> = (0..10).map(|name| format!("d{name}")).collect();
        let entries: Vec<_> = names
            .iter()
            .map(|name| ("40000", name.as_bytes(), tree.as_str()))
            .collect();
        tree = repo.object("tree", &git_repo::tree(&entries));
    }
    repo.commit_tree(&tree);
    let began = Instant::now();
    let trouble = trouble(&repo.remote(), None);
    assert!(
        matches!(&trouble, RepositoryTrouble::Unreadable { message, .. } if message.contains("more than 1000000 files")),
        "{trouble}"
    );
    println!("a million entries refused after {:.1?}", began.elapsed());
}

#[test]
fn ten_thousand_files_are_read_and_twenty_thousand_and_one_are_not() {
    let repo = Repo::new();
    repo.import(10_000);
    let began = Instant::now();
    let read_all = reading(&repo);
    println!("10,000 files read in {:.1?}", began.elapsed());
    assert_eq!(read_all.files.len(), 10_000);
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );

    let repo = Repo::new();
    repo.import(20_001);
    let trouble = trouble(&repo.remote(), None);
    assert!(
        matches!(trouble, RepositoryTrouble::Unreadable { .. }),
        "{trouble}"
    );
}

/// Without a look at the file first, libgit2 would never come back from it.
#[test]
fn an_object_that_ends_too_early_is_told() {
    for revision in ["HEAD:jobs/web.yaml", "HEAD:jobs", "HEAD^{tree}", "HEAD"] {
        let repo = Repo::new();
        repo.write("jobs/web.yaml", "some text\n".repeat(100).as_bytes());
        let applied = repo.commit("one");
        repo.write("jobs/web.yaml", "other words\n".repeat(100).as_bytes());
        repo.commit("two");
        let id = repo.git(&["rev-parse", revision]);
        for part in [2, 3, 20] {
            repo.cut_object(&id, part);
            let trouble = trouble(&repo.remote(), Some(&applied));
            assert!(
                matches!(&trouble, RepositoryTrouble::Unreadable { message, .. } if message.contains(&id)),
                "{revision}: {trouble}"
            );
        }
    }
}

#[test]
fn history_has_to_go_on_from_the_applied_revision() {
    let repo = Repo::new();
    repo.write("web.yaml", b"1");
    let first = repo.commit("one");
    repo.write("web.yaml", b"2");
    let second = repo.commit("two");
    let remote = repo.remote();
    for applied in [&first, &second] {
        read(&remote, &after(Some(applied))).expect("equal or later is fine");
    }
    let unrelated = |applied: &str, head: &str| {
        let trouble = trouble(&remote, Some(applied));
        assert_eq!(
            trouble,
            RepositoryTrouble::UnrelatedHistory {
                commit: head.into(),
                applied: applied.into()
            }
        );
    };
    repo.git(&["reset", "-q", "--hard", &first]);
    unrelated(&second, &first); // set back
    repo.git(&["checkout", "-q", "--orphan", "fresh"]);
    repo.write("web.yaml", b"3");
    let other = repo.commit("another beginning");
    repo.git(&["branch", "-f", "main", &other]);
    unrelated(&second, &other); // replaced
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    repo.git(&["gc", "-q", "--prune=now"]);
    unrelated(&second, &other); // and the old objects are gone
    unrelated("not a commit id", &other);
    assert_eq!(
        read(&remote, &Followed::default())
            .expect("without one applied any is fine")
            .revision
            .commit
            .as_str(),
        other
    );
}

#[test]
fn a_repository_with_nothing_to_follow() {
    let repo = Repo::new();
    let none = RepositoryTrouble::NoBranch {
        branch: "main".into(),
    };
    assert_eq!(trouble(&repo.remote(), None), none, "no commit");
    repo.write("web.yaml", b"1");
    let commit = repo.commit("one");
    let remote = Remote {
        branch: "release".into(),
        ..repo.remote()
    };
    let no_release = RepositoryTrouble::NoBranch {
        branch: "release".into(),
    };
    assert_eq!(trouble(&remote, None), no_release);

    repo.lose_object(&commit);
    let lost = trouble(&repo.remote(), None);
    assert!(
        matches!(&lost, RepositoryTrouble::Unreadable { .. }),
        "{lost}"
    );
    std::fs::remove_dir_all(repo.path()).unwrap();
    let gone = trouble(&repo.remote(), None).to_string();
    assert_eq!(
        gone.replace(&repo.remote().url, "[path]"),
        "the repository cannot be reached: there is nothing at [path]; check the address"
    );
    std::fs::create_dir(repo.path()).unwrap();
    let empty = trouble(&repo.remote(), None).to_string();
    assert!(empty.ends_with("is not a git repository"), "{empty}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_elsewhere_is_mirrored() {
    let repo = Repo::new();
    repo.write("web.yaml", b"1");
    let first = repo.commit("one");
    let url = serve_http(repo.path()).await;
    let remote = Remote {
        url,
        ..repo.remote()
    };
    let look = async |applied: Option<&str>| {
        let (remote, followed) = (remote.clone(), after(applied));
        tokio::task::spawn_blocking(move || read(&remote, &followed))
            .await
            .expect("no panic")
    };
    let reading = look(None)
        .await
        .unwrap_or_else(|trouble| panic!("{trouble}"));
    assert_eq!(reading.revision.commit.as_str(), first);
    assert!(remote.mirror.join("objects").is_dir());

    repo.write("web.yaml", b"2");
    let second = repo.commit("two");
    let reading = look(Some(&first))
        .await
        .unwrap_or_else(|trouble| panic!("{trouble}"));
    assert_eq!(content(&reading, "web.yaml"), b"2");

    // A mirror that lost its objects, or is no repository any more, is only a cache.
    for harm in ["objects/pack", "HEAD"] {
        let place = remote.mirror.join(harm);
        if place.is_dir() {
            std::fs::remove_dir_all(&place).unwrap();
        } else {
            std::fs::write(&place, b"garbled").unwrap();
        }
        let reading = look(Some(&first))
            .await
            .unwrap_or_else(|trouble| panic!("{harm}: {trouble}"));
        assert_eq!(reading.revision.commit.as_str(), second, "{harm}");
    }

    repo.git(&["checkout", "-q", "--orphan", "fresh"]);
    let other = repo.commit("another beginning");
    repo.git(&["branch", "-f", "main", &other]);
    match look(Some(&second)).await {
        Err(RepositoryTrouble::UnrelatedHistory { commit, .. }) => {
            assert_eq!(commit.as_str(), other);
        }
        Err(trouble) => panic!("{trouble}"),
        Ok(_) => panic!("a force-push was followed"),
    }
    repo.git(&["checkout", "-q", "--detach"]);
    repo.git(&["branch", "-q", "-D", "main"]);
    let gone = look(Some(&second)).await.err();
    assert!(
        matches!(gone, Some(RepositoryTrouble::NoBranch { .. })),
        "the mirror still has the branch, which counts for nothing: {gone:?}"
    );
    std::fs::remove_dir_all(repo.path()).unwrap();
    let gone = look(Some(&second)).await.err();
    assert!(
        matches!(gone, Some(RepositoryTrouble::Unreachable { .. })),
        "{gone:?}"
    );
}

/// A server that takes connections and never says a word. Without a bound this would last for ever.
#[test]
fn a_silent_server_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let repo = Repo::new();
    let remote = Remote {
        url: format!("http://{}/specs.git", listener.local_addr().unwrap()),
        ..repo.remote()
    };
    let began = Instant::now();
    let silent = trouble(&remote, None);
    println!("given up after {:.1?}: {silent}", began.elapsed());
    assert!(
        matches!(silent, RepositoryTrouble::Unreachable { .. }),
        "{silent}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
}

/// A poller at work, and what a test moves and sees of it.
struct Watched {
    out: mpsc::Receiver<Result<Reading, RepositoryTrouble>>,
    followed: watch::Sender<Followed>,
    read_at: watch::Receiver<Option<jiff::Timestamp>>,
    looks: watch::Receiver<Looks>,
    wake: Arc<Notify>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn watch_repo(repo: &Repo, interval: Duration) -> Watched {
    watch_remote(repo.remote(), interval)
}

fn watch_remote(remote: Remote, interval: Duration) -> Watched {
    let (out_sender, out) = mpsc::channel(4);
    let (followed, followed_receiver) = watch::channel(Followed::default());
    let (read_at_sender, read_at) = watch::channel(None);
    let (looks_sender, looks) = watch::channel(Looks::default());
    let wake = Arc::new(Notify::new());
    let shutdown = CancellationToken::new();
    let poller = Poller {
        remote,
        followed: followed_receiver,
        wake: wake.clone(),
        interval,
        out: out_sender,
        read_at: read_at_sender,
        looks: looks_sender,
        shutdown: shutdown.clone(),
    };
    Watched {
        out,
        followed,
        read_at,
        looks,
        wake,
        shutdown,
        task: tokio::spawn(poller.run()),
    }
}

impl Watched {
    async fn next(&mut self) -> Result<Reading, RepositoryTrouble> {
        tokio::time::timeout(Duration::from_secs(20), self.out.recv())
            .await
            .expect("the poller says something")
            .expect("the poller runs")
    }

    async fn commit(&mut self) -> String {
        match self.next().await {
            Ok(reading) => reading.revision.commit.to_string(),
            Err(trouble) => panic!("{trouble}"),
        }
    }

    async fn trouble(&mut self) -> RepositoryTrouble {
        match self.next().await {
            Ok(reading) => panic!("it was read: {:?}", reading.revision),
            Err(trouble) => trouble,
        }
    }

    /// Waits until the repository was looked at again, and asserts that there was nothing to say.
    async fn quiet(&mut self, looks: u32) {
        for _ in 0..looks {
            tokio::time::timeout(Duration::from_secs(20), self.read_at.changed())
                .await
                .expect("it looks again")
                .expect("the poller runs");
        }
        assert!(self.out.try_recv().is_err(), "there was nothing new");
    }
}

#[tokio::test]
async fn what_each_look_found_is_told_also_where_nothing_is_new() {
    let repo = Repo::new();
    let mut watched = watch_repo(&repo, Duration::from_secs(3600));
    let mut looks = watched.looks.clone();
    let mut look = async |number: u64| {
        let ended = looks.wait_for(|looks| looks.ended >= number);
        let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
        let looks = ended.expect("it ends").expect("the poller runs").clone();
        assert_eq!((looks.begun, looks.ended), (number, number));
        looks.found.expect("it found something")
    };
    let trouble = look(1).await.unwrap_err();
    assert!(matches!(trouble, RepositoryTrouble::NoBranch { .. }));
    assert_eq!(watched.trouble().await, trouble);

    repo.write("web.yaml", b"1");
    let head = repo.commit("one");
    watched.wake.notify_one();
    assert_eq!(look(2).await.unwrap().as_str(), head);
    assert_eq!(watched.commit().await, head);
    // The same head again, and then the same trouble again: nothing is sent, and it is told all the same.
    watched.wake.notify_one();
    assert_eq!(look(3).await.unwrap().as_str(), head);
    std::fs::rename(repo.path(), repo.path().with_extension("away")).unwrap();
    for number in [4, 5] {
        watched.wake.notify_one();
        let trouble = look(number).await.unwrap_err();
        assert!(matches!(trouble, RepositoryTrouble::Unreachable { .. }));
    }
    watched.trouble().await;
    assert!(watched.out.try_recv().is_err(), "it is sent once");
    watched.shutdown.cancel();
    watched.task.await.unwrap();
}

#[tokio::test]
async fn the_poller_tells_what_changes_and_nothing_else() {
    let repo = Repo::new();
    let mut watched = watch_repo(&repo, Duration::from_millis(150));
    let empty = watched.trouble().await;
    assert!(matches!(empty, RepositoryTrouble::NoBranch { .. }));
    assert!(watched.read_at.borrow().is_none(), "it was never read");

    repo.write("web.yaml", b"1");
    let first = repo.commit("one");
    assert_eq!(watched.commit().await, first);
    watched.followed.send_replace(after(Some(&first)));
    watched.quiet(3).await;

    repo.write("web.yaml", b"2");
    let second = repo.commit("two");
    assert_eq!(watched.commit().await, second);
    watched.followed.send_replace(after(Some(&second)));

    let hidden = repo.path().with_extension("away");
    std::fs::rename(repo.path(), &hidden).unwrap();
    let gone = watched.trouble().await;
    assert!(matches!(gone, RepositoryTrouble::Unreachable { .. }));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(
        watched.out.try_recv().is_err(),
        "the same trouble is told once"
    );
    std::fs::create_dir(repo.path()).unwrap();
    let other = watched.trouble().await;
    assert_ne!(gone, other, "other trouble is told");
    std::fs::remove_dir(repo.path()).unwrap();
    std::fs::rename(&hidden, repo.path()).unwrap();
    // In the moment without a directory there may be the first trouble once more.
    loop {
        match watched.next().await {
            Err(_) => {}
            Ok(reading) => {
                assert_eq!(reading.revision.commit.as_str(), second, "it is well again");
                break;
            }
        }
    }
    repo.git(&["reset", "-q", "--hard", &first]);
    let back = watched.trouble().await;
    assert!(matches!(back, RepositoryTrouble::UnrelatedHistory { .. }));

    watched.shutdown.cancel();
    watched.task.await.expect("it ends");
}

/// And a newer commit is seen as soon as somebody says that it is there.
#[tokio::test]
async fn a_repository_that_cannot_be_reached_is_asked_less_and_less_often() {
    let forge = wiremock::MockServer::start().await;
    wiremock::Mock::given(wiremock::matchers::any())
        .respond_with(wiremock::ResponseTemplate::new(503))
        .mount(&forge)
        .await;
    let home = tempfile::tempdir().unwrap();
    let remote = Remote {
        url: format!("{}/specs.git", forge.uri()),
        branch: "main".into(),
        ssh_key: None,
        mirror: home.path().join("mirror"),
    };
    let asked = async || forge.received_requests().await.unwrap().len();
    // It would be asked thirty times at this pace.
    let mut watched = watch_remote(remote, Duration::from_millis(100));
    let gone = watched.trouble().await;
    assert!(matches!(gone, RepositoryTrouble::Unreachable { .. }));
    let of_one_look = asked().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let looks = asked().await / of_one_look;
    assert!((3..=8).contains(&looks), "{looks}");

    let before = asked().await;
    watched.wake.notify_one();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(asked().await > before, "a wake is followed at once");
    watched.shutdown.cancel();
    watched.task.await.expect("it ends");
}

#[tokio::test]
async fn a_wake_is_followed_at_once() {
    let repo = Repo::new();
    repo.write("web.yaml", b"1");
    let first = repo.commit("one");
    let mut watched = watch_repo(&repo, Duration::from_secs(3600));
    assert_eq!(watched.commit().await, first);
    repo.write("web.yaml", b"2");
    let second = repo.commit("two");
    let began = Instant::now();
    watched.wake.notify_one();
    assert_eq!(watched.commit().await, second);
    println!("from the wake to the reading: {:.1?}", began.elapsed());
    watched.shutdown.cancel();
    watched.task.await.expect("it ends");
}

/// Commits on a bare repository here, and over http on one elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_made_on_the_head_that_was_read_and_on_no_other() {
    let repo = Repo::new();
    repo.write("web.yaml", b"1");
    repo.write("notes/README.md", b"kept");
    let first = repo.commit("one");
    repo.write("web.yaml", b"2");
    repo.write("new.yaml", b"n");
    let second = repo.commit("two");
    let bare = repo.clone_bare();
    let of_bare = |arguments: &[&str]| {
        let mut all = vec!["--git-dir", bare.as_str()];
        all.extend(arguments);
        repo.git(&all)
    };
    of_bare(&["config", "http.receivepack", "true"]);
    let url = serve_http(PathBuf::from(&bare)).await;
    let over_http = url.trim_end_matches("/.git").to_owned();
    for url in [bare.clone(), over_http] {
        of_bare(&["update-ref", "refs/heads/main", &second]);
        let remote = Remote {
            url: url.clone(),
            ..repo.remote()
        };
        let make = async |parent: &str, content: Content| {
            let new = NewCommit {
                parent: CommitId::from(parent),
                content,
                author: "ann <script>".to_owned(),
                message: "Deploy web: 3\n\nMuster-Deploy: d\n".to_owned(),
            };
            let remote = remote.clone();
            tokio::task::spawn_blocking(move || commit(&remote, &new, None))
                .await
                .expect("no panic")
        };
        let file = |bytes: &[u8]| {
            Content::Files(vec![
                ("web.yaml".to_owned(), bytes.to_vec()),
                ("deep/er.yaml".to_owned(), b"d".to_vec()),
            ])
        };
        // Onto an older head nothing is committed.
        let moved = make(&first, file(b"3")).await;
        assert!(matches!(moved, Err(CommitError::HeadMoved)), "{moved:?}");
        assert_eq!(of_bare(&["rev-parse", "main"]), second);

        let third = make(&second, file(b"3")).await.unwrap();
        assert_eq!(of_bare(&["rev-parse", "main"]), third.as_str(), "{url}");
        assert_eq!(of_bare(&["show", "main:web.yaml"]), "3");
        assert_eq!(of_bare(&["show", "main:deep/er.yaml"]), "d");
        assert_eq!(of_bare(&["show", "main:notes/README.md"]), "kept");
        assert_eq!(of_bare(&["show", "main:new.yaml"]), "n");
        let about = of_bare(&["log", "-1", "--format=%an|%cn|%P|%s|%(trailers)", "main"]);
        assert_eq!(
            about,
            format!("ann script|Muster|{second}|Deploy web: 3|Muster-Deploy: d")
        );
        let again = make(third.as_str(), file(b"3")).await;
        assert!(
            matches!(again, Err(CommitError::NothingChanges)),
            "{again:?}"
        );

        // All of an earlier commit, and of none that is not the branch's own.
        let back = Content::AllOf(CommitId::from(first.as_str()));
        let fourth = make(third.as_str(), back).await.unwrap();
        assert_eq!(of_bare(&["rev-parse", "main"]), fourth.as_str());
        assert_eq!(
            of_bare(&["rev-parse", "main^{tree}"]),
            repo.git(&["rev-parse", &format!("{first}^{{tree}}")])
        );
        let stray = of_bare(&["commit-tree", &format!("{second}^{{tree}}"), "-m", "stray"]);
        let stray = Content::AllOf(CommitId::from(stray.as_str()));
        let refused = make(fourth.as_str(), stray).await;
        assert!(
            matches!(refused, Err(CommitError::NotInHistory(_))),
            "{refused:?}"
        );
    }
    // A repository with a working tree would be left out of step with it.
    let new = NewCommit {
        parent: CommitId::from(second.as_str()),
        content: Content::Files(vec![("web.yaml".to_owned(), b"9".to_vec())]),
        author: "ann".to_owned(),
        message: "no".to_owned(),
    };
    let refused = commit(&repo.remote(), &new, None);
    assert!(
        matches!(&refused, Err(CommitError::Refused(why)) if why.contains("working tree")),
        "{refused:?}"
    );
}

#[test]
fn the_commit_behind_each_removed_file_is_named() {
    let repo = Repo::new();
    for file in ["a.yaml", "b.yaml", "c.yaml", "kept.yaml", "note.txt"] {
        repo.write(file, file.as_bytes());
    }
    let applied = repo.commit("all");
    repo.git(&["rm", "-q", "a.yaml", "note.txt"]);
    let without_a = repo.commit("without a");
    repo.git(&["rm", "-q", "b.yaml"]);
    repo.commit("without b");
    repo.write("b.yaml", b"back");
    repo.commit("b is back");
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.git(&["rm", "-q", "c.yaml"]);
    let without_c = repo.commit("without c");
    repo.git(&["checkout", "-q", "main"]);
    repo.write("kept.yaml", b"changed");
    repo.commit("kept is changed");
    repo.git(&["merge", "-q", "--no-ff", "-m", "merge side", "side"]);
    let reading =
        read(&repo.remote(), &after(Some(&applied))).unwrap_or_else(|trouble| panic!("{trouble}"));
    let removed: Vec<(&str, &str)> = reading
        .removed_by
        .iter()
        .map(|(path, by)| (path.as_str(), by.subject.as_str()))
        .collect();
    // The merge brings the removal to the branch; the commit on the side is the one that made it.
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert_eq!(reading.removed_by["a.yaml"].commit.as_str(), without_a);
    assert_eq!(
        reading.removed_by["a.yaml"].author,
        "Ann Author <ann@example.com>"
    );
    let c = &reading.removed_by["c.yaml"];
    assert!(
        c.commit.as_str() == without_c || c.subject == "merge side",
        "{c:?}"
    );
    // Without an applied revision, or with the head applied, there is nothing to tell.
    for applied in [None, Some(reading.revision.commit.clone())] {
        let reading = read(&repo.remote(), &Followed::unsigned(applied))
            .unwrap_or_else(|trouble| panic!("{trouble}"));
        assert!(reading.removed_by.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_beside_the_branches_is_read_and_changes_no_branch() {
    let repo = Repo::new();
    repo.write("web.yaml", b"one");
    let main = repo.commit("Add web");
    repo.git(&["checkout", "-q", "--detach"]);
    repo.write("other.yaml", b"two");
    repo.commit("Propose another");
    repo.git(&["update-ref", "refs/pull/7/head", "HEAD"]);
    repo.git(&["checkout", "-q", "main"]);
    let url = serve_http(repo.path()).await;
    for remote in [
        repo.remote(),
        Remote {
            url,
            ..repo.remote()
        },
    ] {
        tokio::task::spawn_blocking(move || {
            let pull = read_reference(&remote, "refs/pull/7/head", &Followed::default())
                .expect("it is there");
            assert_eq!(pull.revision.subject, "Propose another");
            assert_eq!(paths(&pull), ["other.yaml", "web.yaml"]);
            let none = read_reference(&remote, "refs/pull/8/head", &Followed::default()).err();
            let branch = "refs/pull/8/head".to_owned();
            assert_eq!(none, Some(RepositoryTrouble::NoBranch { branch }));
            read(&remote, &Followed::default()).expect("the branch is there")
        })
        .await
        .map(|branch| {
            assert_eq!(branch.revision.commit.as_str(), main);
            assert_eq!(paths(&branch), ["web.yaml"]);
        })
        .expect("no panic");
    }
}

/// A forge that takes a request for a pull request and never answers it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_does_not_come_keeps_no_commit_waiting() {
    let repo = Repo::new();
    repo.write("web.yaml", b"one");
    repo.commit("Add web");
    repo.git(&["checkout", "-q", "--detach"]);
    repo.write("other.yaml", b"two");
    let commit = repo.commit("Propose another");
    repo.git(&["update-ref", "refs/pull/7/head", "HEAD"]);
    repo.git(&["checkout", "-q", "main"]);
    let (asked, mut is_asked) = mpsc::unbounded_channel();
    let withheld = Some(Withheld { commit, asked });
    let url = serve_http_but(repo.path(), withheld).await;
    let remote = Remote {
        url,
        ..repo.remote()
    };
    let slow = remote.clone();
    let pull = tokio::task::spawn_blocking(move || {
        read_reference(&slow, "refs/pull/7/head", &Followed::default()).map(|_| ())
    });
    is_asked.recv().await.expect("it is asked for");
    for round in 0..3 {
        repo.write("web.yaml", format!("{round}").as_bytes());
        let head = repo.commit("Change web");
        let remote = remote.clone();
        let read = tokio::task::spawn_blocking(move || read(&remote, &Followed::default()));
        let reading = read.await.expect("no panic").expect("the branch is read");
        assert_eq!(reading.revision.commit.as_str(), head);
        assert!(
            !pull.is_finished(),
            "the branch waited for the pull request"
        );
    }
    // It is given up in the end.
    let pull = pull.await.expect("no panic");
    assert!(
        matches!(pull, Err(RepositoryTrouble::Unreachable { .. })),
        "{pull:?}"
    );
}

/// Where every commit since the applied one has to be signed, that one has to be there, whatever the pull request is based on.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_is_compared_with_an_applied_revision_that_it_is_not_based_on() {
    let repo = Repo::new();
    repo.write("web.yaml", b"one");
    repo.commit("Add web");
    repo.git(&["checkout", "-q", "--detach"]);
    repo.write("other.yaml", b"two");
    repo.commit("Propose another");
    repo.git(&["update-ref", "refs/pull/7/head", "HEAD"]);
    repo.git(&["checkout", "-q", "main"]);
    repo.write("web.yaml", b"three");
    let applied = repo.commit("Change web");
    let remote = Remote {
        url: serve_http(repo.path()).await,
        ..repo.remote()
    };
    let followed = Followed {
        applied: Some(CommitId(applied)),
        signatures: Some(Signatures {
            require: RequiredSignatures::Every,
            signers: Vec::new(),
        }),
    };
    let pull =
        tokio::task::spawn_blocking(move || read_reference(&remote, "refs/pull/7/head", &followed));
    let pull = pull.await.expect("no panic").expect("it is read");
    assert_eq!(pull.signed.commits.len(), 1, "what the pull request brings");
}

/// Each round the branch has moved, and the mirror has so many packs that it is made anew: whoever comes first takes it away.
#[tokio::test(flavor = "multi_thread")]
async fn threads_that_share_a_mirror_do_not_get_into_each_others_way() {
    let repo = Repo::new();
    repo.write("web.yaml", b"a");
    repo.commit("one");
    let url = serve_http(repo.path()).await;
    let remote = Remote {
        url,
        ..repo.remote()
    };
    for round in 0..5 {
        for number in 0..20 {
            let name = format!("round-{round}/{number}.yaml");
            repo.write(&name, name.as_bytes());
        }
        let commit = repo.commit("more");
        let packs = remote.mirror.join("objects/pack");
        if packs.is_dir() {
            for number in 0..=500 {
                std::fs::write(packs.join(format!("{number}.pack")), b"").unwrap();
            }
        }
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let remote = remote.clone();
                tokio::task::spawn_blocking(move || {
                    muster::git::read(&remote, &Followed::default())
                        .map(|reading| (reading.revision.commit, reading.files.len()))
                })
            })
            .collect();
        for thread in threads {
            let read = thread.await.expect("no panic");
            let read = read.unwrap_or_else(|trouble| panic!("round {round}: {trouble}"));
            assert_eq!(read, (CommitId(commit.clone()), 1 + 20 * (round + 1)));
        }
    }
}
