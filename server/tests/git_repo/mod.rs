//! Repositories for tests, made by the real git, and a server of them.

#![allow(dead_code, reason = "each test file uses a part of it")]

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use muster::git::Remote;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// A repository with a work tree, on the branch `main`, and room beside it.
pub struct Repo {
    directory: TempDir,
}

impl Repo {
    pub fn new() -> Self {
        let repo = Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
        };
        std::fs::create_dir(repo.path()).unwrap();
        repo.git(&["init", "-q", "-b", "main"]);
        repo
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("specs")
    }

    pub fn remote(&self) -> Remote {
        Remote {
            url: self.path().display().to_string(),
            branch: "main".into(),
            ssh_key: None,
            mirror: self.directory.path().join("mirror"),
        }
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, b"")
    }

    fn git_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Ann Author")
            .env("GIT_AUTHOR_EMAIL", "ann@example.com")
            .env("GIT_COMMITTER_NAME", "Carl Committer")
            .env("GIT_COMMITTER_EMAIL", "carl@example.com")
            .env("GIT_AUTHOR_DATE", "2026-11-22T09:00:00Z")
            .env("GIT_COMMITTER_DATE", "2026-11-22T10:00:00Z")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("these tests need git");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {arguments:?} failed");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn write(&self, path: &str, content: &[u8]) {
        self.write_bytes_name(path.as_bytes(), content);
    }

    pub fn write_bytes_name(&self, path: &[u8], content: &[u8]) {
        let path = self.path().join(OsStr::from_bytes(path));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn link(&self, path: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.path().join(path)).unwrap();
    }

    pub fn stage(&self) {
        self.git(&["add", "--all"]);
    }

    /// Commits all of the work tree, and gives the commit.
    pub fn commit(&self, message: &str) -> String {
        self.stage();
        self.commit_staged(message)
    }

    pub fn commit_staged(&self, message: &str) -> String {
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn clone_bare(&self) -> String {
        let bare = self.directory.path().join("bare.git").display().to_string();
        self.git(&["clone", "-q", "--bare", ".", &bare]);
        bare
    }

    /// Writes an object as it is, checked by nobody.
    pub fn object(&self, kind: &str, content: &[u8]) -> String {
        let arguments = ["hash-object", "-t", kind, "-w", "--literally", "--stdin"];
        self.git_with(&arguments, content)
    }

    pub fn commit_tree(&self, tree: &str) {
        let commit = self.git(&["commit-tree", tree, "-m", "by hand"]);
        self.git(&["update-ref", "refs/heads/main", &commit]);
    }

    /// A commit with so many spec files, without a work tree.
    pub fn import(&self, files: u32) {
        let mut input = String::from(
            "commit refs/heads/main\ncommitter C <c@example.com> 1795000000 +0000\ndata 3\none\n",
        );
        for file in 0..files {
            let content = format!("apiVersion: muster/v1\nkind: Job\nname: job-{file}\n");
            input.push_str(&format!(
                "M 644 inline team-{}/job-{file}.yaml\ndata {}\n{content}\n",
                file % 100,
                content.len()
            ));
        }
        self.git_with(&["fast-import", "--quiet"], input.as_bytes());
    }

    /// Removes an object's file, as a failing disk does.
    pub fn lose_object(&self, id: &str) {
        std::fs::remove_file(self.loose_object(id)).expect("it is a loose object");
    }

    /// Leaves only one part in so many of an object's file, as a full disk does.
    pub fn cut_object(&self, id: &str, part: usize) {
        let file = self.loose_object(id);
        let bytes = std::fs::read(&file).expect("it is a loose object");
        // Git writes objects read-only.
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() / part]).unwrap();
    }

    fn loose_object(&self, id: &str) -> PathBuf {
        let objects = self.path().join(".git/objects");
        objects.join(&id[..2]).join(&id[2..])
    }
}

/// The bytes of a tree object: `(mode, name, id)` of each entry.
pub fn tree(entries: &[(&str, &[u8], &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend(*name);
        bytes.push(0);
        bytes.extend(hex::decode(id).expect("an object's id"));
    }
    bytes
}

/// Serves a repository over http on this machine, by git's own CGI program, and gives its address.
pub async fn serve_http(repository: PathBuf) -> String {
    serve_http_but(repository, None).await
}

/// A commit that a server never sends: whoever asks for it waits.
pub struct Withheld {
    pub commit: String,
    /// Told each time when somebody asks.
    pub asked: tokio::sync::mpsc::UnboundedSender<()>,
}

/// Like [`serve_http`]; without an answer to who asks for what is withheld.
pub async fn serve_http_but(repository: PathBuf, withheld: Option<Withheld>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let name = repository.file_name().unwrap().to_str().unwrap().to_owned();
    let root = repository.parent().unwrap().to_owned();
    let app = axum::Router::new()
        .fallback(http_backend)
        .with_state((root, Arc::new(withheld)));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/{name}/.git")
}

async fn http_backend(
    State((root, withheld)): State<(PathBuf, Arc<Option<Withheld>>)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 16 << 20).await.unwrap();
    if let Some(withheld) = withheld.as_ref() {
        let want = format!("want {}", withheld.commit);
        if body.windows(want.len()).any(|part| part == want.as_bytes()) {
            let _ = withheld.asked.send(());
            std::future::pending::<()>().await;
        }
    }
    let of = |name| {
        let value = parts.headers.get(name);
        value
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let environment = [
        ("REQUEST_METHOD", parts.method.to_string()),
        ("PATH_INFO", parts.uri.path().to_owned()),
        (
            "QUERY_STRING",
            parts.uri.query().unwrap_or_default().to_owned(),
        ),
        ("CONTENT_TYPE", of(header::CONTENT_TYPE)),
        ("HTTP_CONTENT_ENCODING", of(header::CONTENT_ENCODING)),
        ("CONTENT_LENGTH", body.len().to_string()),
    ];
    tokio::task::spawn_blocking(move || cgi(&root, &environment, &body))
        .await
        .unwrap()
}

fn cgi(root: &Path, environment: &[(&str, String)], body: &Bytes) -> Response {
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // It says there what it answers with an error, which a test may well want.
        .stderr(Stdio::null())
        .spawn()
        .expect("git has its http-backend");
    let _ = child.stdin.take().unwrap().write_all(body);
    let output = child.wait_with_output().unwrap().stdout;
    let end = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a CGI program answers with headers");
    let mut response = output[end + 4..].to_vec().into_response();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        if name == "Status" {
            let code = value[..3].parse().unwrap();
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
        } else {
            let name: header::HeaderName = name.parse().unwrap();
            response.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    response
}
