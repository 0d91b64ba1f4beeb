//! Documents of a revision.

use muster_schemas::plan::{Diagnostic, DocumentRef};
use muster_schemas::spec::Spec;

/// What was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Documents {
    /// Valid documents.
    pub specs: Vec<Located<Spec>>,
    /// Problems.
    pub diagnostics: Vec<Diagnostic>,
}

/// Something and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The thing.
    pub spec: T,
    /// Where it stands.
    pub source: DocumentRef,
}
