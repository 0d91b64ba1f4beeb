//! Spec files as they are read from the repository.

/// A file of the repository that may hold specs.
pub struct SpecFile {
    /// Its path, from the repository's root, with `/` between the parts.
    pub path: String,
    /// Its bytes, as they are in the commit.
    pub bytes: Vec<u8>,
}
