//! The stack's own repository: a bare one that people clone and push to, seeded with the example at first.

use crate::cli::env_file::quote;
use crate::cli::failure::Failure;
use anyhow::Context;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The registry that the example's specs name; the stack's own takes its place.
pub(in crate::cli) const EXAMPLE_REGISTRY: &str = "127.0.0.1:5000";
/// The branch that people push to.
pub(super) const BRANCH: &str = "main";
const POST_RECEIVE: &str = include_str!("../../../../../example-repo/hooks/post-receive");
/// An example is a handful of small files; a folder with more is a mistake.
const MAX_EXAMPLE_FILES: usize = 1000;
const MAX_EXAMPLE_BYTES: u64 = 16 << 20;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seeded {
    /// The repository has commits of its own; nothing was put into it.
    NotNeeded,
    /// The example is its first commit.
    Example,
    /// It is empty, since there is no example to put into it.
    Empty,
}

/// Makes the repository if it is not there, seeds it if it is empty, and brings its hooks up to date. Blocking.
pub(super) fn prepare(
    repository: &Path,
    example: Option<&Path>,
    registry: &str,
    env_file: &Path,
) -> anyhow::Result<Seeded> {
    git_answers()?;
    if !repository.join("HEAD").is_file() {
        git(
            repository,
            ["init", "--quiet", "--bare", "--initial-branch", BRANCH],
            [],
        )?;
    }
    install_hooks(repository, example, env_file)?;
    let refs = git(repository, ["for-each-ref", "--count=1"], [])?;
    if !refs.is_empty() {
        return Ok(Seeded::NotNeeded);
    }
    match example {
        Some(example) => {
            seed(repository, example, registry).with_context(|| {
                format!(
                    "seeding {} from {}",
                    repository.display(),
                    example.display()
                )
            })?;
            Ok(Seeded::Example)
        }
        None => Ok(Seeded::Empty),
    }
}

/// The example's folder: the one given, else `example-repo` in the working directory or above it.
pub(super) fn find_example(given: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    if let Some(given) = given {
        if !given.is_dir() {
            return Err(Failure::untried(format!("{} is no folder", given.display()), "").into());
        }
        return Ok(Some(given.to_owned()));
    }
    let from = std::env::current_dir()?;
    Ok(from
        .ancestors()
        .map(|folder| folder.join("example-repo"))
        .find(|folder| folder.is_dir()))
}

fn git_answers() -> anyhow::Result<()> {
    let version = Command::new("git")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    match version {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::untried(
            "git is not installed, and the stack's repository needs it",
            "On Debian and Ubuntu:  apt-get install git",
        )
        .into()),
    }
}

fn seed(repository: &Path, example: &Path, registry: &str) -> anyhow::Result<()> {
    let work = repository.join("seed");
    if work.exists() {
        // Left over from a start that was interrupted.
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir(&work)?;
    let mut budget = Budget {
        files: MAX_EXAMPLE_FILES,
        bytes: MAX_EXAMPLE_BYTES,
    };
    copy(example, &work, registry, &mut budget)?;
    let index = repository.join("seed.index");
    let here = [
        ("GIT_WORK_TREE", work.as_os_str()),
        ("GIT_INDEX_FILE", index.as_os_str()),
    ];
    // By force: what the user ignores in general is still part of the example.
    git(repository, ["add", "--all", "--force", "."], here)?;
    let tree = git(repository, ["write-tree"], here)?;
    let message = "Begin with the example";
    let commit = git(
        repository,
        [
            "-c",
            "user.name=Muster",
            "-c",
            "user.email=muster@localhost",
            "-c",
            "commit.gpgSign=false",
            "commit-tree",
            "-m",
            message,
            &tree,
        ],
        [],
    )?;
    // Only if nobody has pushed meanwhile.
    let none = "0".repeat(commit.len());
    git(
        repository,
        [
            "update-ref",
            &format!("refs/heads/{BRANCH}"),
            &commit,
            &none,
        ],
        [],
    )?;
    fs::remove_dir_all(&work)?;
    fs::remove_file(&index)?;
    Ok(())
}

struct Budget {
    files: usize,
    bytes: u64,
}

/// Copies regular files and folders, with the stack's registry in place of the example's.
fn copy(from: &Path, to: &Path, registry: &str, budget: &mut Budget) -> anyhow::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if entry.file_name() == ".git" {
            continue;
        }
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy(&source, &target, registry, budget)?;
        } else if kind.is_file() {
            let size = entry.metadata()?.len();
            let left = (budget.files.checked_sub(1), budget.bytes.checked_sub(size));
            let (Some(files), Some(bytes)) = left else {
                anyhow::bail!(
                    "it has more than {MAX_EXAMPLE_FILES} files or {} MiB: is it an example of specs?",
                    MAX_EXAMPLE_BYTES >> 20
                );
            };
            *budget = Budget { files, bytes };
            fs::copy(&source, &target)?;
            if registry != EXAMPLE_REGISTRY
                && let Ok(text) = String::from_utf8(fs::read(&source)?)
                && text.contains(EXAMPLE_REGISTRY)
            {
                fs::write(&target, text.replace(EXAMPLE_REGISTRY, registry))?;
            }
        }
    }
    Ok(())
}

/// Writes the hooks anew at each start, since they name this program's place. `pre-receive`, which refuses invalid specs, is
/// there as a sample: whether a push may fail is for the repository's people to say.
fn install_hooks(repository: &Path, example: Option<&Path>, env_file: &Path) -> anyhow::Result<()> {
    let hooks = repository.join("hooks");
    fs::create_dir_all(&hooks)?;
    // A hooks folder in the user's own git configuration would go before this one.
    git(
        repository,
        [
            OsStr::new("config"),
            OsStr::new("core.hooksPath"),
            hooks.as_os_str(),
        ],
        [],
    )?;
    let program = std::env::current_exe().context("finding this program's own place")?;
    // The sample of a pre-receive hook looks for the program here.
    git(
        repository,
        [
            OsStr::new("config"),
            OsStr::new("muster.command"),
            program.as_os_str(),
        ],
        [],
    )?;
    let word = |path: &Path| quote(&path.to_string_lossy());
    let fill = |text: &str| {
        text.replace("@ENV@", &word(env_file))
            .replace("@PROGRAM@", &word(&program))
    };
    write_hook(&hooks.join("post-receive"), &fill(POST_RECEIVE))?;
    if let Some(sample) = example.map(|example| example.join("hooks/pre-receive"))
        && sample.is_file()
    {
        write_hook(
            &hooks.join("pre-receive.sample"),
            &fill(&fs::read_to_string(&sample)?),
        )?;
    }
    Ok(())
}

/// In one step: a push at this moment runs the old hook or the new one.
fn write_hook(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    fs::rename(&new, path)?;
    Ok(())
}

/// Runs git on the repository and answers what it prints, without the end of the line.
fn git<'a, A: AsRef<OsStr>>(
    repository: &Path,
    arguments: impl IntoIterator<Item = A>,
    environment: impl IntoIterator<Item = (&'a str, &'a OsStr)>,
) -> anyhow::Result<String> {
    let arguments: Vec<_> = arguments
        .into_iter()
        .map(|word| word.as_ref().to_owned())
        .collect();
    let mut command = Command::new("git");
    // Run from a hook or an alias, git's own variables would point at another repository.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    let output = command
        .env("GIT_DIR", repository)
        .envs(environment)
        .args(&arguments)
        .stdin(Stdio::null())
        .output()
        .context("running git")?;
    if !output.status.success() {
        let what = arguments.iter().map(|word| word.to_string_lossy());
        let what: Vec<_> = what.collect();
        anyhow::bail!(
            "git {} failed: {}",
            what.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

#[cfg(test)]
mod tests;
