//! The generated files are what the code would generate, and what they show is true.
//!
//! `MUSTER_UPDATE=1 cargo test -p muster --test schemas` writes them anew.

use muster_core::specs::{Look, SpecFile, read, render};
use muster_schemas::spec::{describe, reference};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Holds a file to what was generated, or writes it where that is asked for.
fn check(path: &str, generated: &str) {
    let file = root().join(path);
    if std::env::var_os("MUSTER_UPDATE").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, generated).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == generated,
        "{path} is stale: run `MUSTER_UPDATE=1 cargo test -p muster --test schemas` and commit what it writes"
    );
}

#[test]
fn schemas_are_fresh() {
    for (name, content) in describe::files() {
        check(&format!("schemas/json/{name}"), &content);
        // The example repository stands alone, so it has copies of its own.
        check(&format!("example-repo/.schemas/{name}"), &content);
    }
}

#[test]
fn the_reference_is_fresh() {
    check("docs/specs.md", &reference::reference());
}

fn assert_all_hold(files: &[SpecFile], documents: usize) {
    let found = read(files);
    let said: String = found
        .diagnostics
        .iter()
        .map(|found| render(found, Look::Plain))
        .collect();
    assert_eq!(said, "");
    assert_eq!(found.specs.len(), documents);
}

#[test]
fn every_example_of_the_reference_holds() {
    let page = reference::reference();
    let files: Vec<SpecFile> = page
        .split("```yaml\n")
        .skip(1)
        .enumerate()
        .map(|(index, rest)| SpecFile {
            path: format!("example-{index}.yaml"),
            bytes: rest
                .split("```")
                .next()
                .unwrap_or_default()
                .as_bytes()
                .into(),
        })
        .collect();
    assert_eq!(files.len(), 7);
    assert_all_hold(&files, 8);
}

#[test]
fn every_field_stands_in_the_reference() {
    fn properties(schema: &serde_json::Value, names: &mut Vec<String>) {
        if let Some(fields) = schema["properties"].as_object() {
            names.extend(fields.keys().cloned());
        }
        for inner in schema
            .as_object()
            .into_iter()
            .flat_map(|fields| fields.values())
        {
            properties(inner, names);
        }
        for inner in schema.as_array().into_iter().flatten() {
            properties(inner, names);
        }
    }
    let page = reference::reference();
    for schema in [describe::job(), describe::policy()] {
        let mut names = Vec::new();
        properties(&schema, &mut names);
        assert!(names.len() > 3);
        for name in names {
            assert!(
                page.contains(&format!("| `{name}` |"))
                    || page.contains(&format!(".{name}` |"))
                    || page.contains(&format!("| `{name}.")),
                "{name} is not in docs/specs.md"
            );
        }
    }
}

#[test]
fn the_example_repository_holds() {
    let files: Vec<SpecFile> = [
        "jobs/web.yaml",
        "jobs/nightly.yaml",
        "jobs/crash.yaml",
        "policy.yaml",
    ]
    .into_iter()
    .map(|path| SpecFile {
        path: path.to_owned(),
        bytes: std::fs::read(root().join("example-repo").join(path))
            .unwrap()
            .into(),
    })
    .collect();
    for file in &files {
        let text = String::from_utf8_lossy(&file.bytes);
        let first = text.lines().next().unwrap_or_default();
        let schema = first
            .strip_prefix("# yaml-language-server: $schema=")
            .expect("editors are told the schema");
        let place = root().join("example-repo").join(&file.path);
        assert!(
            place.parent().unwrap().join(schema).is_file(),
            "{}: there is no {schema}",
            file.path
        );
    }
    assert_all_hold(&files, 4);
}
