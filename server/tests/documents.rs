//! What the pages for people say about the code: files, tests and links that they name exist, specs in them hold, and the
//! guard's numbers are those of the guard.

use muster_core::specs::{SpecFile, read};
use muster_schemas::spec::Limits;
use std::path::{Path, PathBuf};

/// A page, by its path from the root.
struct Page {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the server's crate is a folder of the workspace")
        .to_owned()
}

fn page(path: &str) -> Page {
    let text = std::fs::read_to_string(root().join(path));
    Page {
        path: path.to_owned(),
        text: text.unwrap_or_else(|error| panic!("{path}: {error}")),
    }
}

fn pages() -> Vec<Page> {
    let mut paths: Vec<String> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"]
        .map(str::to_owned)
        .into();
    for entry in std::fs::read_dir(root().join("docs")).expect("the folder `docs` is there") {
        let name = entry.expect("the folder can be listed").file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".md") {
            paths.push(format!("docs/{name}"));
        }
    }
    paths.sort();
    paths.iter().map(|path| page(path)).collect()
}

fn check(broken: &[String]) {
    assert!(
        broken.is_empty(),
        "the documents are wrong:\n- {}",
        broken.join("\n- ")
    );
}

// ---- What is in a page.

/// The page without its fenced blocks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The contents of the fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(found)) => open = Some((found == language, String::new())),
            (None, None) => {}
            (Some((_, content)), None) => {
                content.push_str(line);
                content.push('\n');
            }
            (Some(_), Some(_)) => {
                blocks.extend(
                    open.take()
                        .filter(|(is_wanted, _)| *is_wanted)
                        .map(|block| block.1),
                );
            }
        }
    }
    blocks
}

fn code_spans(text: &str) -> Vec<String> {
    let prose = prose(text);
    prose
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The targets of the links that do not lead elsewhere.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://"))
        .map(str::to_owned)
        .collect()
}

/// What a heading is linked by.
fn anchor(heading: &str) -> String {
    let plain = heading.to_lowercase();
    let kept = plain
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Whether a code span is a place in this repository. What is made by a build is not there before it.
fn is_path(span: &str) -> bool {
    let folders = [
        "dist/",
        "docs/",
        "example-repo/",
        "playwright/",
        "schemas/",
        "scripts/",
        "server/",
        "web/",
    ];
    folders.iter().any(|folder| span.starts_with(folder))
        && !span.starts_with("web/dist")
        && span
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
}

/// Whether a code span is a sentence with underscores, as tests are named. Kinds of events and metrics may look like one: those stand
/// in the code as texts.
fn is_test_name(span: &str) -> bool {
    span.matches('_').count() >= 3 && span.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

// ---- The checks.

fn missing_paths(page: &Page) -> Vec<String> {
    let spans = code_spans(&page.text);
    let paths = spans.iter().filter(|span| is_path(span));
    paths
        .filter(|path| !root().join(path).exists())
        .map(|path| {
            format!(
                "{}: there is no `{path}`; correct or remove what names it",
                page.path
            )
        })
        .collect()
}

fn missing_tests(page: &Page, code: &str) -> Vec<String> {
    let spans = code_spans(&page.text);
    let names = spans.iter().filter(|span| is_test_name(span));
    names
        .filter(|name| !code.contains(&format!("fn {name}(")))
        .filter(|name| !code.contains(&format!("\"{name}\"")))
        .map(|name| {
            format!(
                "{}: there is no test `{name}`; name the one that shows the promise now, or write it",
                page.path
            )
        })
        .collect()
}

fn broken_links(page: &Page) -> Vec<String> {
    let mut broken = Vec::new();
    for link in links(&page.text) {
        let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
        let here = Path::new(&page.path);
        let target = match file {
            "" => root().join(here),
            file => root()
                .join(here)
                .parent()
                .expect("a page lies in a folder")
                .join(file),
        };
        if !target.exists() {
            broken.push(format!("{}: the link to `{link}` leads nowhere", page.path));
        } else if !heading.is_empty() {
            let text = std::fs::read_to_string(&target).unwrap_or_default();
            let prose = prose(&text);
            let mut headings = prose.lines().filter(|line| line.starts_with('#'));
            if !headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading) {
                broken.push(format!("{}: no heading is linked by `{link}`", page.path));
            }
        }
    }
    broken
}

fn code() -> String {
    fn collect(folder: &Path, code: &mut String) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        for entry in entries {
            let path = entry.expect("the folder can be listed").path();
            if path.is_dir() && !path.ends_with("target") {
                collect(&path, code);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                code.push_str(&std::fs::read_to_string(&path).expect("source files are text"));
            }
        }
    }
    let mut code = String::new();
    for folder in ["schemas", "server", "web"] {
        collect(&root().join(folder), &mut code);
    }
    code
}

#[test]
fn what_the_pages_name_is_there() {
    let code = code();
    let mut broken = Vec::new();
    for page in pages() {
        broken.extend(missing_paths(&page));
        broken.extend(missing_tests(&page, &code));
    }
    check(&broken);
}

#[test]
fn links_lead_somewhere() {
    let broken: Vec<String> = pages().iter().flat_map(broken_links).collect();
    check(&broken);
}

#[test]
fn the_specs_of_the_tutorial_hold() {
    let specs = blocks(&page("README.md").text, "yaml");
    assert_eq!(
        specs.len(),
        2,
        "the service and the batch job of the tutorial"
    );
    for spec in specs {
        let file = SpecFile {
            path: "jobs/tutorial.yaml".to_owned(),
            bytes: spec.as_bytes().into(),
        };
        let documents = read(&[file]);
        assert_eq!(documents.diagnostics, [], "{spec}");
        assert_eq!(documents.specs.len(), 1, "{spec}");
    }
}

#[test]
fn the_notifications_of_the_page_are_taken() {
    let examples = blocks(&page("docs/notifications.md").text, "yaml");
    assert_eq!(examples.len(), 7, "one for each part");
    for example in examples {
        let folder = tempfile::tempdir().expect("a folder");
        for line in example.lines() {
            if let Some((_, name)) = line.split_once("File: ") {
                let secret = "https://hooks.example.com/services/x\n";
                std::fs::write(folder.path().join(name), secret).expect("a secret");
            }
        }
        let path = folder.path().join("notify.yaml");
        std::fs::write(&path, &example).expect("the file");
        let taken = muster::notify::Settings::load(&path);
        assert!(taken.is_ok(), "{example}{}", taken.unwrap_err());
    }
}

#[test]
fn the_guards_numbers_are_those_of_the_guard() {
    let text = page("docs/guarantees.md")
        .text
        .replace("**", "")
        .replace('\n', " ");
    for sentence in [
        format!(
            "more than {} tasks and more than {} % of what runs",
            Limits::STOPS_PER_PLAN.count,
            Limits::STOPS_PER_PLAN.percent
        ),
        format!(
            "at most {}, or {} % of what runs if that is more",
            Limits::STOPS_PER_MINUTE.count,
            Limits::STOPS_PER_MINUTE.percent
        ),
    ] {
        assert!(
            text.contains(&sentence),
            "docs/guarantees.md does not say `{sentence}`: the guard's numbers in schemas/src/spec/policy.rs are a promise to \
             people, so change both, and the examples beside them"
        );
    }
}

// ---- The checks themselves.

#[test]
fn a_page_that_is_wrong_is_told() {
    let page = Page {
        path: "docs/made-up.md".to_owned(),
        text: "# One heading's name\n`server/nowhere.rs` `server/src/lib.rs` `a/b.rs` \
               `nobody_wrote_this_test` `this_one_is_there` `two_words`\n\
               [a](nowhere.md) [b](../README.md#five-minutes-with-it) [c](../README.md#six) [d](https://example.com)\n\
               ```yaml\n`server/in-a-block.rs` [e](in-a-block.md)\n```\n"
            .to_owned(),
    };
    assert_eq!(
        missing_paths(&page),
        ["docs/made-up.md: there is no `server/nowhere.rs`; correct or remove what names it"]
    );
    assert_eq!(
        missing_tests(&page, "fn this_one_is_there() {}"),
        [
            "docs/made-up.md: there is no test `nobody_wrote_this_test`; name the one that shows the promise now, or write it"
        ]
    );
    assert_eq!(
        broken_links(&page),
        [
            "docs/made-up.md: the link to `nowhere.md` leads nowhere",
            "docs/made-up.md: no heading is linked by `../README.md#six`",
        ]
    );
    assert_eq!(anchor("One heading's name"), "one-headings-name");
    assert_eq!(
        blocks(&page.text, "yaml"),
        ["`server/in-a-block.rs` [e](in-a-block.md)\n"]
    );
}
