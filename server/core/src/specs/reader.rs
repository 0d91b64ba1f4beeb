//! One revision after the other: a file that stays the same is not read again.
//!
//! A commit changes a few of thousands of files. What the others hold is known, and only the rules that span documents have
//! to be looked at anew.

use super::identity::{self, Found};
use super::report::{Code, Place, Problem, Source};
use super::split;
use super::{
    Documents, Located, MAX_DIAGNOSTICS, MAX_DIAGNOSTICS_PER_FILE, SpecFile, dependencies, document,
};
use muster_schemas::ids::JobId;
use muster_schemas::plan::{Diagnostic, DocumentRef};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads the documents of revisions. It gives what [`read`](super::read) gives for the same files, whatever it read before;
/// it only remembers the files of the last revision, so that it is quick about those that are the same in the next.
pub struct Reader {
    wrong_path: fn(&str) -> Option<&'static str>,
    /// Whether the files are all that a repository holds.
    whole: bool,
    known: BTreeMap<String, KnownFile>,
}

struct KnownFile {
    bytes: Arc<[u8]>,
    /// So many diagnostics it was read for at most.
    most: usize,
    read: Arc<FileRead>,
}

/// What one file holds, by itself.
#[derive(Default)]
struct FileRead {
    found: Vec<Found>,
    /// The jobs of documents that do not hold, with their place; the first of each.
    claims: Vec<(JobId, String)>,
    diagnostics: Vec<Diagnostic>,
}

impl Default for Reader {
    /// Of files in a repository.
    fn default() -> Self {
        Self {
            wrong_path: split::wrong_path,
            whole: true,
            known: BTreeMap::new(),
        }
    }
}

impl Reader {
    /// Of files that stand anywhere on somebody's machine: their paths are for people only, so any will do.
    /// Where they are not the `whole` repository, what none of them holds may stand elsewhere.
    pub fn local(whole: bool) -> Self {
        Self {
            wrong_path: |_| None,
            whole,
            known: BTreeMap::new(),
        }
    }

    /// Reads and checks the documents of all `files`, which are all that there are now.
    pub fn read(&mut self, files: &[SpecFile]) -> Documents {
        self.read_beside(files, &[])
    }

    /// Reads and checks the documents of all `files`, beside which there are others that could not be had for the reasons
    /// `unread`: what those hold nobody knows.
    pub fn read_beside(&mut self, files: &[SpecFile], unread: &[Diagnostic]) -> Documents {
        let mut before = std::mem::take(&mut self.known);
        let mut found = Vec::new();
        let mut claims = BTreeMap::new();
        let mut diagnostics = unread.to_vec();
        for file in files {
            let most = if diagnostics.len() < MAX_DIAGNOSTICS {
                MAX_DIAGNOSTICS_PER_FILE
            } else {
                0
            };
            let known = before
                .remove(&file.path)
                .filter(|known| known.most == most && known.bytes == file.bytes);
            let read = match known {
                Some(known) => known.read,
                None => Arc::new(read_file(file, (self.wrong_path)(&file.path), most)),
            };
            found.extend(read.found.iter().cloned());
            for (job, place) in &read.claims {
                claims.entry(job.clone()).or_insert_with(|| place.clone());
            }
            diagnostics.extend(read.diagnostics.iter().cloned());
            let known = KnownFile {
                bytes: Arc::clone(&file.bytes),
                most,
                read,
            };
            self.known.insert(file.path.clone(), known);
        }
        let found = dependencies::refuse_unmet(found, &mut claims, self.whole, &mut diagnostics);
        let specs = identity::refuse_shared(found, &claims, &mut diagnostics);
        diagnostics.sort_by(|a, b| {
            (&a.path, a.line, a.column, &a.code).cmp(&(&b.path, b.line, b.column, &b.code))
        });
        Documents { specs, diagnostics }
    }
}

fn read_file(file: &SpecFile, wrong_path: Option<&'static str>, most: usize) -> FileRead {
    let mut all = FileRead::default();
    let text = match split::decode(file, wrong_path) {
        Ok(text) => text,
        Err(problem) => {
            all.diagnostics.push(*problem);
            return all;
        }
    };
    let source = Source::new(&file.path, text);
    let mut index = 0;
    for chunk in split::documents(text) {
        let read = document::read(chunk);
        if read.is_empty() {
            continue;
        }
        let document = index;
        index += 1;
        if let Some(accepted) = read.accepted {
            all.found.push(Found {
                located: Located {
                    spec: accepted.spec,
                    source: DocumentRef {
                        path: file.path.clone(),
                        document,
                        line: accepted.line,
                    },
                },
                name_place: accepted.name_place,
                name_line: source.line(accepted.name_place.line),
                dependencies: accepted
                    .dependency_places
                    .into_iter()
                    .map(|place| (place, source.line(place.line)))
                    .collect(),
            });
            continue;
        }
        if let (Some(job), Some(first)) = (&read.job, read.problems.first()) {
            let place = format!("{}:{}", file.path, first.place.line);
            all.claims.push((job.clone(), place));
        }
        if all.diagnostics.len() + read.problems.len() > most {
            all.diagnostics.push(source.diagnostic(
                Problem {
                    code: Code::TooManyProblems,
                    place: read.problems.first().map_or(Place::default(), |first| first.place),
                    message: "too much is wrong with this file; it is not read from here on".to_owned(),
                    help: "correct what is told of it so far, or check whether it is meant to hold specs at all".to_owned(),
                },
                None,
            ));
            return all;
        }
        all.diagnostics.extend(
            read.problems
                .into_iter()
                .map(|problem| source.diagnostic(problem, read.job.clone())),
        );
    }
    // A file that was cut off looks the same, so it does not count as a wish that its jobs go.
    if index == 0 {
        let problem = Problem {
            code: Code::EmptyFile,
            place: Place::default(),
            message: "the file holds no document".to_owned(),
            help: "write a document into it; or remove the file, if what stood in it is to go"
                .to_owned(),
        };
        all.diagnostics.push(source.diagnostic(problem, None));
    }
    all
}
