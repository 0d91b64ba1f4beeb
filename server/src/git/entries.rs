//! A revision's entries: from its tree to spec files, within bounds.

use super::whole;
use git2::{ObjectType, Odb, Oid, Repository};
use muster_core::specs::SpecFile;
use muster_schemas::plan::Diagnostic;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Spec files of a revision, those that were not read counted too. Ten times what the largest fleets have; beyond it
/// nothing is read, because to leave some files out would look like their removal.
pub const MAX_FILES: usize = 20_000;

/// The size of one file: some 20,000 lines of YAML, more than a person keeps in one.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// All files together: they are in memory at once, and so are the documents that they become.
pub const MAX_TOTAL_BYTES: usize = 64 << 20;

/// Directories within directories. It bounds the recursion's stack, and the length of paths.
pub const MAX_DEPTH: usize = 32;

/// Entries of all kinds that are looked at. Trees can name the same tree many times over, so that a small repository
/// spells out billions of paths.
const MAX_ENTRIES: usize = 1_000_000;

/// The size of one tree object, which git2 holds in memory: some 500,000 names.
const MAX_TREE_BYTES: usize = 32 << 20;

/// What a pointer of Git LFS begins with.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The spec files of the last revision that was read, by what git names their content with: a commit changes a few of
/// thousands, and the others need not be unpacked again.
#[derive(Default)]
pub(super) struct Blobs(Mutex<HashMap<Oid, Arc<[u8]>>>);

/// Reads the spec files below a tree, and tells which entries were not read. The error is a sentence: the revision as a
/// whole cannot be read, or has more in it than is read.
pub(super) fn read(
    repository: &Repository,
    root: Oid,
    blobs: &Blobs,
) -> Result<(Vec<SpecFile>, Vec<Diagnostic>), String> {
    let known = std::mem::take(&mut *blobs.0.lock().unwrap_or_else(PoisonError::into_inner));
    let odb = repository
        .odb()
        .map_err(|error| error.message().to_owned())?;
    let mut walk = Walk {
        repository,
        odb,
        known,
        now: HashMap::new(),
        entries: 0,
        total_bytes: 0,
        files: Vec::new(),
        diagnostics: Vec::new(),
    };
    walk.tree(root, "", 0)?;
    *blobs.0.lock().unwrap_or_else(PoisonError::into_inner) = walk.now;
    Ok((walk.files, walk.diagnostics))
}

struct Walk<'r> {
    repository: &'r Repository,
    odb: Odb<'r>,
    /// What the last revision had, and what this one has.
    known: HashMap<Oid, Arc<[u8]>>,
    now: HashMap<Oid, Arc<[u8]>>,
    entries: usize,
    total_bytes: usize,
    files: Vec<SpecFile>,
    diagnostics: Vec<Diagnostic>,
}

/// What a tree's entry is, by its mode.
enum Kind {
    Directory,
    File,
    Link,
    Submodule,
    Unknown,
}

impl Walk<'_> {
    fn tree(&mut self, id: Oid, path: &str, depth: usize) -> Result<(), String> {
        let shown = if path.is_empty() { "the root" } else { path };
        let unreadable = |error: git2::Error| {
            format!("the directory {shown} cannot be read: {}", error.message())
        };
        whole::check(self.repository, id)
            .map_err(|message| format!("the directory {shown} cannot be read: {message}"))?;
        let (bytes, _) = self.odb.read_header(id).map_err(unreadable)?;
        if bytes > MAX_TREE_BYTES {
            return Err(format!(
                "the directory {shown} has more entries than are read: {bytes} bytes of names, and at most \
                 {MAX_TREE_BYTES} are taken; use several directories"
            ));
        }
        let tree = self.repository.find_tree(id).map_err(unreadable)?;
        for entry in tree.iter() {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(format!(
                    "it has more than {MAX_ENTRIES} files and directories; keep specs in a repository of their own"
                ));
            }
            let name = entry.name_bytes();
            let kind = kind(entry.filemode_raw());
            let Some(text) = safe_name(name) else {
                // `.caf\xe9` is a hidden name like any other; `..` and `../up.yaml` only look like one.
                let plain = !matches!(name, b"." | b"..") && !name.contains(&b'/');
                if hidden(name) && plain {
                    continue;
                }
                if is_spec(name) || !matches!(kind, Kind::File) {
                    let path = join(
                        path,
                        &String::from_utf8_lossy(name).escape_debug().to_string(),
                    );
                    self.refuse(Refusal::Name, path)?;
                }
                continue;
            };
            if hidden(name) {
                continue;
            }
            let path = join(path, text);
            match kind {
                Kind::Directory if depth + 1 > MAX_DEPTH => self.refuse(Refusal::Depth, path)?,
                Kind::Directory => self.tree(entry.id(), &path, depth + 1)?,
                Kind::File if is_spec(name) => self.file(entry.id(), path)?,
                Kind::File => {}
                // A link without an ending may stand for a directory of specs; `logo.png` does not.
                Kind::Link if is_spec(name) || !name.contains(&b'.') => {
                    self.refuse(Refusal::Link, path)?;
                }
                Kind::Link => {}
                Kind::Submodule => self.refuse(Refusal::Submodule, path)?,
                Kind::Unknown => self.refuse(Refusal::Mode, path)?,
            }
        }
        Ok(())
    }

    fn file(&mut self, id: Oid, path: String) -> Result<(), String> {
        let bytes = match self.known.get(&id).or_else(|| self.now.get(&id)) {
            Some(bytes) => Arc::clone(bytes),
            None => match self.unpack(id, &path)? {
                Ok(bytes) => bytes,
                Err(refusal) => return self.refuse(refusal, path),
            },
        };
        self.total_bytes += bytes.len();
        if self.total_bytes > MAX_TOTAL_BYTES {
            return Err(format!(
                "its spec files have more than {MAX_TOTAL_BYTES} bytes together; use more than one cell"
            ));
        }
        self.now.insert(id, Arc::clone(&bytes));
        self.files.push(SpecFile { path, bytes });
        self.count()
    }

    /// A file's content, or why it is not read. The error is about the revision as a whole.
    fn unpack(&self, id: Oid, path: &str) -> Result<Result<Arc<[u8]>, Refusal>, String> {
        let unreadable = |error: git2::Error| format!("{path} cannot be read: {}", error.message());
        whole::check(self.repository, id)
            .map_err(|message| format!("{path} cannot be read: {message}"))?;
        // Its size is asked for before its content, which may be of any size once it is unpacked.
        let (size, kind) = self.odb.read_header(id).map_err(unreadable)?;
        if kind != ObjectType::Blob {
            return Ok(Err(Refusal::Mode));
        }
        if size > MAX_FILE_BYTES {
            return Ok(Err(Refusal::Size(size)));
        }
        let object = self.odb.read(id).map_err(unreadable)?;
        if object.data().starts_with(LFS_POINTER) {
            return Ok(Err(Refusal::Lfs));
        }
        Ok(Ok(object.data().into()))
    }

    fn refuse(&mut self, refusal: Refusal, path: String) -> Result<(), String> {
        self.diagnostics.push(refusal.diagnostic(path));
        self.count()
    }

    fn count(&self) -> Result<(), String> {
        if self.files.len() + self.diagnostics.len() > MAX_FILES {
            return Err(format!(
                "it has more than {MAX_FILES} spec files; put several documents into a file, or use more than one cell"
            ));
        }
        Ok(())
    }
}

fn kind(mode: i32) -> Kind {
    /// The bits of a mode that say what it is: <https://git-scm.com/docs/index-format>, "4-bit object type".
    const TYPE: i32 = 0o170_000;
    match mode & TYPE {
        0o040_000 => Kind::Directory,
        0o100_000 => Kind::File,
        0o120_000 => Kind::Link,
        0o160_000 => Kind::Submodule,
        _ => Kind::Unknown,
    }
}

fn is_spec(name: &[u8]) -> bool {
    name.ends_with(b".yaml") || name.ends_with(b".yml")
}

/// Names that begin with a dot are for tools: `.github`, `.vscode`, …
fn hidden(name: &[u8]) -> bool {
    name.starts_with(b".")
}

/// The name as a part of a path. A tree object can hold names that no checkout would make: `..`, one with a slash, one
/// with a line's end. None of them is ever used as a path on this machine, but people would be misled by them.
fn safe_name(name: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(name).ok()?;
    let safe = !matches!(text, "" | "." | "..")
        && !text.contains(['/', '\\'])
        && !text.chars().any(char::is_control);
    safe.then_some(text)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}/{name}")
    }
}

/// Why an entry is not read.
enum Refusal {
    Link,
    Submodule,
    Size(usize),
    Lfs,
    Depth,
    Name,
    Mode,
}

impl Refusal {
    fn diagnostic(self, path: String) -> Diagnostic {
        let (code, message, help) = match self {
            Refusal::Link => (
                "symlink",
                "this is a symbolic link, which is not followed".to_owned(),
                "commit the file itself",
            ),
            Refusal::Submodule => (
                "submodule",
                "this is a submodule, which is not read".to_owned(),
                "commit its files to this repository",
            ),
            Refusal::Size(size) => (
                "file-too-large",
                format!("this file has {size} bytes; at most {MAX_FILE_BYTES} are read"),
                "split it into several files",
            ),
            Refusal::Lfs => (
                "lfs-pointer",
                "this file is kept in Git LFS, and only its pointer is in the commit".to_owned(),
                "take `*.yaml` and `*.yml` out of `.gitattributes` and commit the file itself",
            ),
            Refusal::Depth => (
                "too-deep",
                format!("this directory is more than {MAX_DEPTH} levels deep and is not read"),
                "move it up",
            ),
            Refusal::Name => (
                "bad-path",
                "this name is not one that a path can have: it is `.` or `..`, is not UTF-8, or has a slash or a \
                 control character in it"
                    .to_owned(),
                "rename it",
            ),
            Refusal::Mode => (
                "not-a-file",
                "this is neither a file nor a directory, and is not read".to_owned(),
                "commit it as a plain file",
            ),
        };
        Diagnostic {
            code: code.to_owned(),
            path,
            line: 0,
            column: 0,
            source_line: String::new(),
            width: 0,
            message,
            help: help.to_owned(),
            job: None,
        }
    }
}
