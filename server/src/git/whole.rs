//! Whether a loose object is all there.
//!
//! libgit2 never comes back from a loose object whose file ends too early, as one does after a power failure or on a full disk: it
//! waits for the rest of it in a loop. So such a file is unpacked once before libgit2 sees it. Objects in packs it checks itself.

use flate2::read::ZlibDecoder;
use git2::{Oid, Repository};
use std::fs::File;
use std::io::{self, ErrorKind, Read};

/// No object of which more than this is read is ever asked for: the largest are trees. What is behind it need not be looked at.
const MAX_UNPACKED: u64 = 33 << 20;

/// Checks an object of the repository before it is read. One that is not loose, or is not there at all, is left to libgit2. The error is
/// a sentence.
pub(super) fn check(repository: &Repository, id: Oid) -> Result<(), String> {
    let name = id.to_string();
    let (folder, file) = name.split_at(2);
    let path = repository
        .commondir()
        .join("objects")
        .join(folder)
        .join(file);
    let Ok(file) = File::open(path) else {
        return Ok(());
    };
    let mut unpacked = ZlibDecoder::new(file).take(MAX_UNPACKED);
    match io::copy(&mut unpacked, &mut io::sink()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(format!(
            "the file of object {name} ends too early; bring it back from another clone, as with `git fetch`"
        )),
        Err(error) => Err(format!("the file of object {name} is damaged: {error}")),
    }
}
