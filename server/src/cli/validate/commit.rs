//! The spec files of a commit, through the `git` program.
//!
//! A hook runs while the pushed objects are still in quarantine, which only a `git` that inherits the hook's environment
//! can see; so this does not go through the git room's mirror.

use super::{Gathered, MAX_DEPTH, is_spec_name};
use anyhow::{Context, bail};
use muster_core::specs::{MAX_FILE_BYTES, SpecFile};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A listing of a tree with as many files as can be read has some 4 MB; a larger one is no repository of specs.
const MAX_LISTING_BYTES: u64 = 64 << 20;

/// An entry of a tree.
struct Entry {
    mode: String,
    object: String,
    size: Option<u64>,
    path: String,
}

/// Reads the spec files of commit `rev`.
pub(super) fn gather(git_dir: &Path, rev: &str) -> anyhow::Result<Gathered> {
    if rev.is_empty() || rev.starts_with('-') {
        bail!("`{rev}` is not a commit");
    }
    let mut gathered = Gathered {
        whole: true,
        ..Gathered::default()
    };
    let mut wanted = Vec::new();
    for entry in list(git_dir, rev)? {
        let hidden = entry.path.split('/').any(|part| part.starts_with('.'));
        if hidden {
            continue;
        }
        match entry.mode.as_str() {
            "120000" if is_spec_name(&entry.path) => gathered.refuse_link(entry.path),
            "160000" => gathered.refuse(
                entry.path,
                "submodule",
                "submodules are not read".to_owned(),
                "put the specs themselves here",
            ),
            mode if mode.starts_with("100") && is_spec_name(&entry.path) => {
                let size = entry.size.unwrap_or(0);
                if entry.path.split('/').count() > MAX_DEPTH {
                    let help = "put it into a folder nearer to the root";
                    let message = format!("the file lies more than {MAX_DEPTH} folders deep");
                    gathered.refuse(entry.path, "too-deep", message, help);
                } else if size > MAX_FILE_BYTES as u64 {
                    gathered.refuse_large(entry.path, size);
                } else {
                    wanted.push(entry);
                }
            }
            _ => {}
        }
    }
    read_objects(git_dir, wanted, &mut gathered)?;
    Ok(gathered)
}

fn git(git_dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .arg("--git-dir")
        .arg(git_dir)
        .stderr(Stdio::inherit());
    command
}

fn ended_well(mut child: Child, what: &str) -> anyhow::Result<()> {
    let status = child
        .wait()
        .with_context(|| format!("`git {what}` cannot be waited for"))?;
    if !status.success() {
        bail!("`git {what}` failed");
    }
    Ok(())
}

/// All entries of the commit's tree that are not folders.
fn list(git_dir: &Path, rev: &str) -> anyhow::Result<Vec<Entry>> {
    let mut child = git(git_dir)
        .args(["ls-tree", "-r", "-z", "-l", "--full-tree", rev])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("the program `git` cannot be started")?;
    let mut listing = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(MAX_LISTING_BYTES + 1)
            .read_to_end(&mut listing)
            .context("`git ls-tree` cannot be read")?;
    }
    if listing.len() as u64 > MAX_LISTING_BYTES {
        child.kill().ok();
        child.wait().ok();
        bail!("the commit has too many files to be a repository of specs");
    }
    ended_well(child, "ls-tree")?;
    listing
        .split(|byte| *byte == 0)
        .filter(|record| !record.is_empty())
        .map(|record| {
            let record = String::from_utf8_lossy(record);
            // `mode type object size<TAB>path`, with the columns padded.
            let (about, path) = record
                .split_once('\t')
                .context("`git ls-tree` wrote something unexpected")?;
            let mut words = about.split_whitespace();
            let mut word = || {
                words
                    .next()
                    .context("`git ls-tree` wrote something unexpected")
            };
            let (mode, _kind, object, size) = (word()?, word()?, word()?, word()?);
            Ok(Entry {
                mode: mode.to_owned(),
                object: object.to_owned(),
                size: size.parse().ok(),
                path: path.to_owned(),
            })
        })
        .collect()
}

/// Reads the wanted objects through one `git cat-file`.
fn read_objects(git_dir: &Path, wanted: Vec<Entry>, gathered: &mut Gathered) -> anyhow::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mut child = git(git_dir)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("the program `git` cannot be started")?;
    let (Some(mut asks), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
        bail!("`git cat-file` has no pipes");
    };
    let mut answers = BufReader::new(answers);
    let read = || -> anyhow::Result<()> {
        for entry in wanted {
            // One at a time, so that neither side waits on a full pipe.
            writeln!(asks, "{}", entry.object)?;
            asks.flush()?;
            let mut header = String::new();
            answers.read_line(&mut header)?;
            let size: usize = header
                .split_whitespace()
                .nth(2)
                .and_then(|size| size.parse().ok())
                .with_context(|| format!("the object of {} is missing", entry.path))?;
            if size > MAX_FILE_BYTES {
                bail!("the object of {} is larger than its tree says", entry.path);
            }
            let mut bytes = vec![0; size + 1];
            answers.read_exact(&mut bytes)?;
            bytes.truncate(size);
            gathered.add(SpecFile {
                path: entry.path,
                bytes: bytes.into(),
            })?;
        }
        Ok(())
    };
    let result = read();
    drop(asks);
    if result.is_err() {
        child.kill().ok();
        child.wait().ok();
        return result.context("the commit's files cannot be read");
    }
    ended_well(child, "cat-file")
}
