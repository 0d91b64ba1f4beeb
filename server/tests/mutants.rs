//! The kept mutants (`mutants/`) cannot rot: each still applies, and the test that is to catch it is still there. Whether it
//! does catch it is for `make mutants`, which takes minutes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package stands in the checkout")
        .to_owned()
}

/// Name and text of each patch.
fn patches() -> Vec<(String, String)> {
    let mut patches: Vec<_> = std::fs::read_dir(root().join("mutants"))
        .expect("mutants/ is there")
        .map(|entry| entry.expect("it lists").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "patch")
        })
        .map(|path| {
            let name = path.file_stem().expect("it has a name").to_string_lossy();
            let text = std::fs::read_to_string(&path).expect("a patch is text");
            (name.into_owned(), text)
        })
        .collect();
    patches.sort();
    assert!(patches.len() >= 15, "{} patches", patches.len());
    patches
}

fn test_of<'a>(name: &str, patch: &'a str) -> &'a str {
    patch
        .lines()
        .find_map(|line| line.strip_prefix("test: "))
        .unwrap_or_else(|| panic!("{name}.patch has no line that begins with `test: `"))
}

#[test]
fn every_patch_still_applies() {
    let mut stale = Vec::new();
    for (name, _) in patches() {
        let checked = Command::new("git")
            .args(["apply", "--check"])
            .arg(format!("mutants/{name}.patch"))
            .current_dir(root())
            .output()
            .expect("git runs");
        if !checked.status.success() {
            let why = String::from_utf8_lossy(&checked.stderr);
            stale.push(format!("{name}.patch: {}", why.trim()));
        }
    }
    assert!(
        stale.is_empty(),
        "make these break the code as it is now:\n{}",
        stale.join("\n")
    );
}

/// The words of a patch are those of the table, and the test that it names is in the sources.
#[test]
fn every_patch_is_in_the_table_with_a_test_that_is_there() {
    let table = std::fs::read_to_string(root().join("mutants/README.md")).expect("it reads");
    let names: BTreeSet<String> = table
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| [")?.split_once(']')?.0.to_owned()))
        .collect();
    let patches = patches();
    assert_eq!(
        names,
        patches.iter().map(|(name, _)| name.clone()).collect(),
        "the table and the patches"
    );
    let mut sources = String::new();
    for folder in ["server/src", "server/core", "server/tests", "server/sim"] {
        collect(&root().join(folder), &mut sources);
    }
    for (name, patch) in &patches {
        let test = test_of(name, patch);
        let what = patch.lines().next().unwrap_or_default();
        assert!(
            table.contains(&format!("| {what} | `{test}` |")),
            "the table says something else of {name}"
        );
        let function = test.rsplit([' ', ':']).next().unwrap_or_default();
        assert!(
            sources.contains(&format!("fn {function}(")),
            "{name}: there is no test `{function}` any more"
        );
    }
}

fn collect(folder: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it lists").path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&std::fs::read_to_string(&path).expect("a source is text"));
        }
    }
}
