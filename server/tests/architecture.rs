//! The rules of `ARCHITECTURE.md` that a program can check: which crate depends on what, and which words stand in which room.
//!
//! Each rule has a reason, and says what to do when it is broken. The checkers are tested on made-up offences below, and a
//! rule that looks at nothing fails, so that none of them passes because something was renamed.

use serde::Deserialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

// ---- What a crate may depend on.

/// What one crate may depend on.
struct CrateRule {
    name: &'static str,
    /// All that it may depend on, build scripts included; none where only `never` holds.
    only: Option<&'static [&'static str]>,
    /// What it may not depend on, not even in its tests.
    never: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
}

/// What does IO, waits, or is chance.
const EFFECTS: &[&str] = &[
    "axum", "bollard", "git2", "rand", "reqwest", "sqlx", "tokio",
];

const CRATE_RULES: &[CrateRule] = &[
    CrateRule {
        name: "muster-schemas",
        only: Some(&["jiff", "schemars", "serde", "serde_json", "utoipa", "uuid"]),
        never: EFFECTS,
        why: "it is plain data that control plane, agents, CLI and console share, and it has to compile to wasm",
        instead: "put what needs the dependency into the crate that does the work; `schemas/` keeps the types",
    },
    CrateRule {
        name: "muster-core",
        only: Some(&[
            "hex",
            "jiff",
            "miette",
            "muster-schemas",
            "pgp",
            "serde",
            "serde-saphyr",
            "serde_json",
            "sha2",
            "ssh-key",
            "thiserror",
            "uuid",
        ]),
        never: EFFECTS,
        why: "it decides and does nothing: the same code runs in production, in tests and in the simulator",
        instead: "do the effect in a room of `server/src/` and give the core what came of it as an argument; if the \
                  dependency is pure, add it to the list of `muster-core` in this test and say why in the commit",
    },
    CrateRule {
        name: "muster-sim",
        only: Some(&[
            "jiff",
            "muster-core",
            "muster-schemas",
            "serde_json",
            "uuid",
        ]),
        never: EFFECTS,
        why: "a seed has to give the same run everywhere, so its world has no clock, no threads and no chance of its own",
        instead: "write a virtual one of it in `server/sim/src/`",
    },
    CrateRule {
        name: "muster-web",
        only: None,
        never: &["muster", "muster-core", "muster-sim", "sqlx", "tokio"],
        why: "the console is a client of the public API and nothing else: what it can do, `curl` can do",
        instead: "add what it needs to the answer of a route, with its type in `schemas/src/api.rs`",
    },
];

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev` or `build`; none for an ordinary one.
    kind: Option<String>,
}

fn broken_dependencies(metadata: &Metadata, rules: &[CrateRule]) -> Vec<String> {
    let mut broken = Vec::new();
    for rule in rules {
        let CrateRule {
            name, why, instead, ..
        } = rule;
        let Some(package) = metadata
            .packages
            .iter()
            .find(|package| package.name == *name)
        else {
            broken.push(format!(
                "there is no crate `{name}` in the workspace: if it was renamed, rename it in the rules of this test too"
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let is_for_tests = dependency.kind.as_deref() == Some("dev");
            let found = dependency.name.as_str();
            let is_listed = rule.only.is_none_or(|only| only.contains(&found));
            if rule.never.contains(&found) || !(is_listed || is_for_tests) {
                broken.push(format!(
                    "`{name}` must not depend on `{found}`: {why}.\n    Instead: {instead}."
                ));
            }
        }
    }
    broken
}

fn metadata() -> Metadata {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs, since it runs this test");
    assert!(
        output.status.success(),
        "`cargo metadata` failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

#[test]
fn crates_depend_on_what_they_may() {
    tell(&broken_dependencies(&metadata(), CRATE_RULES));
}

// ---- Which words stand where.

/// Where a word may stand.
struct WordRule {
    words: &'static [&'static str],
    /// The folders that are looked at.
    within: &'static [&'static str],
    /// The one folder in which the words may stand; none where they may not stand at all.
    only_in: Option<&'static str>,
    why: &'static str,
    instead: &'static str,
}

const WORD_RULES: &[WordRule] = &[
    WordRule {
        words: &["git2"],
        within: &["server/src"],
        only_in: Some("server/src/git"),
        why: "one room reads repositories, so that its bounds and its refusals hold for all of them",
        instead: "ask for a `Reading` from `crate::git`, and widen that room if it does not tell enough",
    },
    WordRule {
        words: &["sqlx"],
        within: &["server/src"],
        only_in: Some("server/src/journal"),
        why: "one room has SQL, so that what is durable, and in which order, is decided in one place",
        instead: "add a function to `server/src/journal/` that is named as the question it answers",
    },
    WordRule {
        words: &["bollard"],
        within: &["server/src"],
        only_in: Some("server/src/runtime"),
        why: "the agent works against the trait `Runtime`, which has an implementation for tests too",
        instead: "say what is needed of an engine in our own words in `server/src/runtime/mod.rs`",
    },
    WordRule {
        words: &["oci_client"],
        within: &["server/src"],
        only_in: Some("server/src/images"),
        why: "one room asks image registries, so that its bounds and its trust hold for all of them",
        instead: "call `crate::images`",
    },
    WordRule {
        words: &[
            "SystemTime",
            "Instant",
            "Timestamp::now",
            "Zoned::now",
            "Uuid::now_v7",
            "Uuid::new_v4",
            "Uuid::new_v7",
            "std::time",
        ],
        within: PURE,
        only_in: None,
        why: "a decision depends on its arguments alone, or it could not be simulated and replayed",
        instead: "take the time, or the source of ids, as an argument (`Draft` has both)",
    },
    WordRule {
        words: &[
            "std::env",
            "std::fs",
            "std::io",
            "std::net",
            "std::process",
            "std::thread",
            "println!",
            "eprintln!",
        ],
        within: PURE,
        only_in: None,
        why: "these crates do no IO",
        instead: "do it in a room of `server/src/` and give the core what came of it",
    },
    WordRule {
        words: &["async", ".await"],
        within: PURE,
        only_in: None,
        why: "a decision that waits sees a fleet that others have changed meanwhile",
        instead: "load, then decide, then commit, then act: only the first and the last two may wait",
    },
    WordRule {
        words: &["HashMap", "HashSet"],
        within: PURE,
        only_in: None,
        why: "their order differs from run to run, and with it the plan, the journal and the simulator's trace",
        instead: "use `BTreeMap` and `BTreeSet`",
    },
    WordRule {
        words: &["std::{"],
        within: PURE,
        only_in: None,
        why: "a nested import hides from this test what it imports",
        instead: "write each module of `std` in a `use` of its own",
    },
];

/// The folders in which nothing may depend on where and when it runs.
const PURE: &[&str] = &["schemas/src", "server/core/src", "server/sim/src"];

/// A source file, by its path from the root.
struct Source {
    path: String,
    text: String,
}

fn broken_words(sources: &[Source], rules: &[WordRule]) -> Vec<String> {
    let mut broken = Vec::new();
    for rule in rules {
        for folder in rule.within.iter().copied().chain(rule.only_in) {
            if !sources.iter().any(|source| is_in(&source.path, folder)) {
                broken.push(format!(
                    "there is no source file in `{folder}`: if it was renamed, rename it in the rules of this test too"
                ));
            }
        }
    }
    for source in sources {
        let code = code_of(&source.text);
        for rule in rules {
            let is_looked_at = rule.within.iter().any(|folder| is_in(&source.path, folder));
            let is_home = rule
                .only_in
                .is_some_and(|folder| is_in(&source.path, folder));
            if !is_looked_at || is_home {
                continue;
            }
            for word in rule.words {
                for line in lines_with(&code, word) {
                    let place = match rule.only_in {
                        Some(folder) => format!("stands only in `{folder}`"),
                        None => "does not stand here".to_owned(),
                    };
                    broken.push(format!(
                        "{}:{line}: `{word}` {place}: {}.\n    Instead: {}.",
                        source.path, rule.why, rule.instead
                    ));
                }
            }
        }
    }
    broken
}

fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// The numbers of the lines that have the word, not as a part of a longer one.
fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let is_of_a_word = |c: char| c.is_alphanumeric() || c == '_';
    let begins = word.starts_with(is_of_a_word);
    let ends = word.ends_with(is_of_a_word);
    let has = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            let goes_on_before = begins && before.is_some_and(is_of_a_word);
            let goes_on_after = ends && after.is_some_and(is_of_a_word);
            !goes_on_before && !goes_on_after
        })
    };
    code.lines()
        .enumerate()
        .filter(|(_, line)| has(line))
        .map(|(index, _)| index + 1)
        .collect()
}

/// The text with comments and the content of literals taken out, line by line as it was: those may name what they like.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => end_of_line(&chars, at),
            ('/', Some('*')) => end_of_block(&chars, at),
            ('"', _) => end_of_text(&chars, at + 1),
            ('r', Some('"' | '#')) if !continues_a_word(&chars, at) => end_of_raw(&chars, at),
            ('\'', _) => end_of_char(&chars, at),
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| match c {
                '\n' => '\n',
                _ => ' ',
            }));
            at = end;
        }
    }
    code
}

fn continues_a_word(chars: &[char], at: usize) -> bool {
    // `br"…"` is a raw text as well, and so is `cr"…"`.
    let before = at.checked_sub(1).map(|before| chars[before]);
    before.is_some_and(|c| (c.is_alphanumeric() || c == '_') && c != 'b' && c != 'c')
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    let rest = chars[at..].iter().position(|c| *c == '\n');
    rest.map_or(chars.len(), |length| at + length)
}

fn end_of_block(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut end = at;
    while end + 1 < chars.len() {
        match (chars[end], chars[end + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                end += 1;
                continue;
            }
        }
        end += 2;
        if depth == 0 {
            return end;
        }
    }
    chars.len()
}

fn end_of_text(chars: &[char], after_quote: usize) -> usize {
    let mut end = after_quote;
    while end < chars.len() {
        match chars[end] {
            '\\' => end += 2,
            '"' => return end + 1,
            _ => end += 1,
        }
    }
    chars.len()
}

/// The end of `r#"…"#` with any number of `#`; where it is none (`r#type`), its own beginning.
fn end_of_raw(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return at;
    }
    let closes = |end: usize| {
        chars[end] == '"'
            && chars[end + 1..]
                .iter()
                .take_while(|c| **c == '#')
                .take(hashes)
                .count()
                == hashes
    };
    (open + 1..chars.len())
        .find(|end| closes(*end))
        .map_or(chars.len(), |end| end + 1 + hashes)
}

/// The end of `'c'` or `'\n'`; where it is none but a lifetime, its own beginning.
fn end_of_char(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        let rest = chars[(at + 3).min(chars.len())..]
            .iter()
            .position(|c| *c == '\'');
        return rest.map_or(chars.len(), |length| at + 3 + length + 1);
    }
    if chars.get(at + 2) == Some(&'\'') {
        return at + 3;
    }
    at
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the server's crate is a folder of the workspace")
        .to_owned()
}

fn sources() -> Vec<Source> {
    let root = root();
    let mut sources = Vec::new();
    for folder in [
        "schemas/src",
        "server/src",
        "server/core/src",
        "server/sim/src",
    ] {
        collect(&root, &root.join(folder), &mut sources);
    }
    sources
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let path = path.strip_prefix(root).expect("it is below the root");
            sources.push(Source {
                path: path.to_string_lossy().into_owned(),
                text,
            });
        }
    }
}

#[test]
fn words_stand_where_they_may() {
    tell(&broken_words(&sources(), WORD_RULES));
}

fn tell(broken: &[String]) {
    let mut text = String::new();
    for rule in broken {
        writeln!(text, "- {rule}").expect("a text takes everything");
    }
    assert!(
        broken.is_empty(),
        "rules of ARCHITECTURE.md are broken:\n{text}"
    );
}

// ---- The checkers themselves.

fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
    let dependency = |(name, kind): &(&str, Option<&str>)| Dependency {
        name: (*name).to_owned(),
        kind: kind.map(str::to_owned),
    };
    Package {
        name: name.to_owned(),
        dependencies: dependencies.iter().map(dependency).collect(),
    }
}

#[test]
fn a_dependency_that_may_not_be_is_told() {
    let packages = vec![
        package("muster-schemas", &[("serde", None), ("reqwest", None)]),
        package(
            "muster-core",
            &[
                ("jiff", None),
                ("proptest", Some("dev")),
                ("tokio", Some("dev")),
                ("cc", Some("build")),
            ],
        ),
        package("muster-web", &[("leptos", None), ("muster", None)]),
    ];
    let broken = broken_dependencies(&Metadata { packages }, CRATE_RULES);
    let beginnings: Vec<&str> = broken
        .iter()
        .filter_map(|text| text.split(':').next())
        .collect();
    assert_eq!(
        beginnings,
        [
            "`muster-schemas` must not depend on `reqwest`",
            "`muster-core` must not depend on `tokio`",
            "`muster-core` must not depend on `cc`",
            "there is no crate `muster-sim` in the workspace",
            "`muster-web` must not depend on `muster`",
        ]
    );
}

#[test]
fn a_word_that_may_not_be_is_told() {
    let source = |path: &str, text: &str| Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let sources = [
        source("server/src/git/mod.rs", "use git2::Repository;"),
        source("server/src/gitea.rs", "use git2::Repository;"),
        source(
            "server/src/journal/mod.rs",
            "//! Not git2.\nuse sqlx::Row;\nlet a = \"git2\";\nlet b = git2_of(r#\"git2 \"git2\" \"#);\nlet git2 = 'g';\n",
        ),
        source("server/src/runtime/mod.rs", "use bollard::Docker;"),
        source("server/src/images/mod.rs", "use oci_client::Client;"),
        source("schemas/src/lib.rs", "pub mod ids;"),
        source(
            "server/core/src/lib.rs",
            "use std::collections::HashMap;\nfn now<'a>() -> &'a str { Timestamp::now() /* std::fs */ }\n\
             let _ = '\\''; use std::fs; // std::env\nasync fn wait() { x.await }\nuse std::{env, io};\nlet HashMapped = 1;",
        ),
        source(
            "server/sim/src/lib.rs",
            "let quote = b'\"'; let at = Instant::now();",
        ),
    ];
    let broken = broken_words(&sources, WORD_RULES);
    let beginnings: Vec<&str> = broken
        .iter()
        .filter_map(|text| text.split(": ").take(2).last())
        .zip(&broken)
        .map(|(rest, whole)| &whole[..whole.find(rest).unwrap_or(0) + rest.len()])
        .collect();
    assert_eq!(
        beginnings,
        [
            "server/src/gitea.rs:1: `git2` stands only in `server/src/git`",
            "server/src/journal/mod.rs:5: `git2` stands only in `server/src/git`",
            "server/core/src/lib.rs:2: `Timestamp::now` does not stand here",
            "server/core/src/lib.rs:3: `std::fs` does not stand here",
            "server/core/src/lib.rs:4: `async` does not stand here",
            "server/core/src/lib.rs:4: `.await` does not stand here",
            "server/core/src/lib.rs:1: `HashMap` does not stand here",
            "server/core/src/lib.rs:5: `std::{` does not stand here",
            "server/sim/src/lib.rs:1: `Instant` does not stand here",
        ]
    );
}

#[test]
fn a_rule_that_looks_at_nothing_is_told() {
    let broken = broken_words(&[], &WORD_RULES[..1]);
    assert_eq!(
        broken,
        [
            "there is no source file in `server/src`: if it was renamed, rename it in the rules of this test too",
            "there is no source file in `server/src/git`: if it was renamed, rename it in the rules of this test too",
        ]
    );
}
