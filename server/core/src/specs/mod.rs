//! From files to checked specs.
//!
//! [`read`] takes the files of a revision and gives the documents that hold, and a [`Diagnostic`] for everything that does
//! not. It is pure and never panics; what it reads comes from people's repositories, so every loop and every depth has a
//! bound. A document that does not hold never hides another one, neither in its file nor elsewhere.
//!
//! The way of one file, and the order to read in: [`reader`] takes the files of one revision after the other; [`split`] decodes it and cuts it into documents; [`tree`] parses one
//! document into nodes that know their place; [`document`] reads such a tree as a spec, [`mend`] going on after an error of
//! [`typed`] so that people see all of them; [`check`] holds the rules that a type cannot; [`dependencies`] and
//! [`identity`] compare documents with each other; [`render`] shows a diagnostic.

mod check;
mod dependencies;
mod document;
pub mod edit;
mod identity;
mod image;
mod mend;
mod reader;
mod render;
mod report;
mod split;
mod syntax;
mod tree;
mod typed;
mod walk;
mod words;

pub use reader::Reader;
pub use render::{Look, render};
pub use report::{Code, EMPTY_FILE};

use muster_schemas::ids::JobId;
use muster_schemas::plan::{Diagnostic, DocumentRef};
use muster_schemas::spec::Spec;
use std::sync::Arc;

/// The largest file that is read, in bytes: the longest job that people write by hand is some 10 KiB, and a file of this
/// size parses in some tens of milliseconds.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// So many diagnostics are given for one file; then the rest of the file is not read, and one more diagnostic says so.
pub const MAX_DIAGNOSTICS_PER_FILE: usize = 100;

/// Past so many diagnostics in all, each further file gets at most one: enough for anybody to see, and few enough to keep
/// in a plan.
pub const MAX_DIAGNOSTICS: usize = 10_000;

/// A file of the repository that may hold specs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecFile {
    /// Its path from the repository's root, with `/` between the parts.
    pub path: String,
    /// Its content. Files that stay the same from one revision to the next may share it.
    pub bytes: Arc<[u8]>,
}

/// Something read, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// What was read.
    pub spec: T,
    /// The document that it was read from.
    pub source: DocumentRef,
}

/// The documents of a revision.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Documents {
    /// The documents that hold, in the order of the files. No two have the same kind and name, and at most one is a policy.
    pub specs: Vec<Located<Spec>>,
    /// What is wrong with the others, by path, line and column. Each document that does not hold has at least one. Where
    /// `job` is not set, any job that stood in that file may be meant.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads and checks the documents of all `files`. The rules that span documents (one document per identity, one policy)
/// hold over all of them together.
pub fn read(files: &[SpecFile]) -> Documents {
    Reader::default().read(files)
}

/// Like [`read`], for files that stand anywhere on somebody's machine: their paths are for people only, so any will do.
/// They need not be the whole of a repository: a job that none of them holds may stand in another one.
pub fn read_local(files: &[SpecFile]) -> Documents {
    Reader::local(false).read(files)
}

/// Whether a text can be a job's name: lower-case letters, digits and hyphens, beginning with a letter and not ending with
/// a hyphen; at most 63 characters, as in a host name.
pub fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|last| *last != b'-')
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

/// The job of that name, if it can be one.
fn job_named(text: &str) -> Option<JobId> {
    is_name(text).then(|| JobId::from(text))
}
