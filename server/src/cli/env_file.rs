//! `$MUSTER_HOME/env`: where a stack says how it is reached, for shells to source and for the CLI to read.
//!
//! One `export NAME='value'` on each line. It holds the API token, so only its owner may read it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// More than this is not a file that we wrote: the real one has four short lines.
const MAX_BYTES: u64 = 64 * 1024;

/// Writes the file whole or not at all: a reader sees the old one or the new one. Mode 0600.
pub fn write(path: &Path, values: &[(&str, &str)]) -> io::Result<()> {
    let mut text = String::new();
    for (name, value) in values {
        text.push_str(&format!("export {name}={}\n", quote(value)));
    }
    let new = path.with_extension("new");
    // A leftover of an interrupted write might have another mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// Reads the values; lines that are no assignment are passed over.
pub fn read(path: &Path) -> io::Result<BTreeMap<String, String>> {
    if fs::metadata(path)?.len() > MAX_BYTES {
        return Err(io::Error::other(format!(
            "{} is too large to be an env file that Muster wrote",
            path.display()
        )));
    }
    Ok(parse(&fs::read_to_string(path)?))
}

/// The env file that holds where nothing else says: that of `MUSTER_HOME`, else the nearest `.muster/env` from `from`
/// upwards.
pub fn find(home: Option<&Path>, from: &Path) -> Option<PathBuf> {
    if let Some(home) = home {
        let path = home.join("env");
        return path.is_file().then_some(path);
    }
    from.ancestors()
        .map(|folder| folder.join(".muster").join("env"))
        .find(|path| path.is_file())
}

/// The value as one word of a POSIX shell.
pub fn quote(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

fn parse(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (assignment, after) = word(rest);
        rest = after;
        if let Some((name, value)) = assignment.split_once('=')
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            values.insert(name.to_owned(), value.to_owned());
        }
    }
    values
}

/// The first shell word of the text with its quotes taken away, and the text after it. No expansions: none are written.
fn word(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let mut word = String::new();
    let mut chars = text.char_indices();
    let mut quoted = None;
    while let Some((at, c)) = chars.next() {
        match (quoted, c) {
            (None, c) if c.is_whitespace() => return (word, &text[at..]),
            (None, '\'' | '"') => quoted = Some(c),
            (Some(quote), c) if c == quote => quoted = None,
            (None | Some('"'), '\\') => {
                if let Some((_, c)) = chars.next() {
                    word.push(c);
                }
            }
            (_, c) => word.push(c),
        }
    }
    (word, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_shell_reads_what_was_written_and_nobody_else_may() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("env");
        let repo = "/tmp/it's $HOME/`a`  \"b\"\\\nnext/repo.git";
        for token in ["old", "new"] {
            write(&path, &[("MUSTER_TOKEN", token), ("MUSTER_REPO", repo)]).unwrap();
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let shell = std::process::Command::new("sh")
            .args([
                "-c",
                ". \"$0\"; printf '%s|%s' \"$MUSTER_TOKEN\" \"$MUSTER_REPO\"",
            ])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(shell.stdout).unwrap(),
            format!("new|{repo}")
        );
        assert_eq!(read(&path).unwrap()["MUSTER_REPO"], repo);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_nearest_file_upwards_is_found() {
        let top = tempfile::tempdir().unwrap();
        let deep = top.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir_all(top.path().join(".muster")).unwrap();
        let path = top.path().join(".muster/env");
        fs::write(&path, "").unwrap();
        assert_eq!(find(None, &deep), Some(path));
        assert_eq!(find(Some(&deep), &deep), None, "MUSTER_HOME says where");
    }

    proptest! {
        #[test]
        fn every_value_reads_back(value in "[^\0]{0,40}") {
            let text = format!("export A={}\nexport B=b\n", quote(&value));
            let values = parse(&text);
            prop_assert_eq!(&values["A"], &value);
            prop_assert_eq!(&values["B"], "b");
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,200}") {
            parse(&text);
        }
    }
}
