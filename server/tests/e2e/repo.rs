//! The repository of specs: a bare one with the hook that wakes Muster, and a clone to work in.

use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Repo {
    pub bare: PathBuf,
    clone: PathBuf,
}

impl Repo {
    /// A bare repository with the example's post-receive hook, and a clone of it. `env` is the file in which the hook finds
    /// the control plane.
    pub fn new(home: &Path, env: &Path) -> Self {
        let repo = Self {
            bare: home.join("repo.git"),
            clone: home.join("clone"),
        };
        let (bare, clone) = (
            repo.bare.display().to_string(),
            repo.clone.display().to_string(),
        );
        git(home, &["init", "-q", "--bare", "-b", "main", &bare]).unwrap();
        git(home, &["init", "-q", "-b", "main", &clone]).unwrap();
        repo.git(&["remote", "add", "origin", &bare]);
        let hook = include_str!("../../../example-repo/hooks/post-receive")
            .replace("@ENV@", &env.display().to_string())
            .replace("@PROGRAM@", env!("CARGO_BIN_EXE_muster"));
        let path = repo.bare.join("hooks/post-receive");
        std::fs::write(&path, hook).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, executable).unwrap();
        repo
    }

    /// The clone's folder.
    pub fn folder(&self) -> &Path {
        &self.clone
    }

    /// Git in the clone.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.clone, arguments).unwrap()
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.clone.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.clone.join(path)).unwrap();
    }

    pub fn rename(&self, from: &str, to: &str) {
        let to = self.clone.join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(self.clone.join(from), to).unwrap();
    }

    /// Pushes what is committed.
    #[track_caller]
    pub fn push_head(&self) {
        self.git(&["push", "-q", "origin", "main"]);
    }

    /// Commits all that changed and pushes it; answers the commit.
    #[track_caller]
    pub fn push(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "-q", "-m", message]);
        self.git(&["push", "-q", "origin", "main"]);
        self.git(&["rev-parse", "HEAD"])
    }
}

fn git(directory: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "Ann Author")
        .env("GIT_AUTHOR_EMAIL", "ann@example.com")
        .env("GIT_COMMITTER_NAME", "Ann Author")
        .env("GIT_COMMITTER_EMAIL", "ann@example.com")
        .output()
        .expect("these tests need git");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!(
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}
