//! `muster validate`: checks specs before they are committed, or before a push is taken.
//!
//! It reads files and folders, or the tree of a commit for hooks; it asks no control plane. Which files it looks at is the
//! rule of the repository too: `*.yaml` and `*.yml`, nothing below a name that begins with a dot, and no symbolic links.

use anyhow::{Context, bail};
use clap::Args;
use muster_core::specs::{Documents, Look, MAX_FILE_BYTES, Reader, SpecFile, render};
use muster_schemas::plan::Diagnostic;
use serde::Serialize;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod commit;

/// As many files as are read of a repository.
const MAX_FILES: usize = 20_000;

/// As many bytes as are read of a repository.
const MAX_BYTES: usize = 64 << 20;

/// As many folders lie in each other at most. Links are not followed, so this only ends what nobody means.
const MAX_DEPTH: usize = 32;

/// Checks specs and says what is wrong with them.
///
/// Exits with 0 if all of them hold, 1 if one does not, and 2 if they could not be read.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Files and folders with specs; of folders, all `*.yaml` and `*.yml` in them.
    #[arg(
        value_name = "PATH",
        required_unless_present = "git_dir",
        conflicts_with = "git_dir"
    )]
    pub paths: Vec<PathBuf>,
    /// Write JSON: `{"valid": …, "files": …, "documents": …, "diagnostics": […]}`.
    #[arg(long)]
    pub json: bool,
    /// Check a commit of this git repository instead of files: for hooks.
    #[arg(long, value_name = "DIR", requires = "rev")]
    pub git_dir: Option<PathBuf>,
    /// The commit to check, by its id or a branch.
    #[arg(long, value_name = "REV", requires = "git_dir")]
    pub rev: Option<String>,
}

/// Runs the command on the process's own output. The exit code is 0, 1 or 2, as the command's help says.
pub fn run(args: &ValidateArgs) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let look = look(&out);
    match validate(args, look, &mut out) {
        Ok(Outcome::Valid) => Ok(ExitCode::SUCCESS),
        Ok(Outcome::Invalid) => Ok(ExitCode::from(1)),
        Err(error) => {
            out.flush().ok();
            eprintln!("muster validate: {error:#}");
            Ok(ExitCode::from(2))
        }
    }
}

/// How diagnostics are shown there.
pub(super) fn look(out: &impl IsTerminal) -> Look {
    if out.is_terminal() {
        Look::Terminal {
            columns: columns(),
            colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    } else {
        Look::Plain
    }
}

/// The terminal's width where the shell says it; else one that is readable everywhere.
fn columns() -> usize {
    std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .unwrap_or(100)
}

/// Whether the specs hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of them do.
    Valid,
    /// One does not, or more.
    Invalid,
}

/// The specs to check, and entries that cannot be read as such.
#[derive(Debug, Default)]
struct Gathered {
    files: Vec<SpecFile>,
    refused: Vec<Diagnostic>,
    bytes: usize,
    /// Whether they are all that a repository holds, so that what none of them names is not there.
    whole: bool,
}

impl Gathered {
    fn add(&mut self, file: SpecFile) -> anyhow::Result<()> {
        self.bytes += file.bytes.len();
        if self.files.len() >= MAX_FILES {
            bail!(
                "there are more than {MAX_FILES} spec files; a repository of specs is read up to there"
            );
        }
        if self.bytes > MAX_BYTES {
            bail!(
                "the spec files have more than {} MiB together; a repository is read up to there",
                MAX_BYTES >> 20
            );
        }
        self.files.push(file);
        Ok(())
    }

    /// Refuses an entry that is not read: `what` it is, and what to do.
    fn refuse(&mut self, path: String, code: &str, message: String, help: &str) {
        self.refused.push(Diagnostic {
            code: code.to_owned(),
            path,
            line: 0,
            column: 0,
            source_line: String::new(),
            width: 0,
            message,
            help: help.to_owned(),
            job: None,
        });
    }

    fn refuse_link(&mut self, path: String) {
        self.refuse(
            path,
            "symlink",
            "symbolic links are not followed".to_owned(),
            "put the file itself here",
        );
    }

    fn refuse_large(&mut self, path: String, bytes: u64) {
        self.refuse(
            path,
            "too-large",
            format!("the file has {bytes} bytes; at most {MAX_FILE_BYTES} (1 MiB) are read"),
            "put the documents into several files",
        );
    }
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    files: usize,
    documents: usize,
    diagnostics: &'a [Diagnostic],
}

/// Checks what `args` name and writes what there is to say to `out`. An error means that the specs could not be read.
pub fn validate(args: &ValidateArgs, look: Look, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let gathered = match (&args.git_dir, &args.rev) {
        (Some(dir), Some(rev)) => commit::gather(dir, rev)?,
        (None, None) => gather_paths(&args.paths)?,
        (Some(_), None) | (None, Some(_)) => bail!("`--git-dir` and `--rev` go together"),
    };
    let Documents {
        specs,
        mut diagnostics,
    } = Reader::local(gathered.whole && gathered.refused.is_empty()).read(&gathered.files);
    diagnostics.extend(gathered.refused);
    diagnostics.sort();
    diagnostics.sort_by(|a, b| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column)));
    let (files, valid) = (gathered.files.len(), diagnostics.is_empty());
    let written = if args.json {
        let report = Report {
            valid,
            files,
            documents: specs.len(),
            diagnostics: &diagnostics,
        };
        serde_json::to_writer_pretty(&mut *out, &report)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        write_for_people(&diagnostics, files, specs.len(), look, out)
    };
    written
        .and_then(|()| out.flush())
        .context("the result could not be written")?;
    Ok(if valid {
        Outcome::Valid
    } else {
        Outcome::Invalid
    })
}

fn write_for_people(
    diagnostics: &[Diagnostic],
    files: usize,
    documents: usize,
    look: Look,
    out: &mut impl Write,
) -> std::io::Result<()> {
    for diagnostic in diagnostics {
        write!(out, "{}", render(diagnostic, look))?;
        writeln!(out)?;
    }
    let in_files = format!(
        "{} in {}",
        count(documents, "document"),
        count(files, "file")
    );
    if files == 0 && diagnostics.is_empty() {
        return writeln!(out, "no spec files found: looked for *.yaml and *.yml");
    }
    if diagnostics.is_empty() {
        return writeln!(out, "{in_files}: all good");
    }
    let mut bad: Vec<&str> = diagnostics
        .iter()
        .map(|found| found.path.as_str())
        .collect();
    bad.dedup();
    writeln!(
        out,
        "{} in {}; {} {}",
        count(diagnostics.len(), "problem"),
        count(bad.len(), "file"),
        count(documents, "document"),
        if documents == 1 { "holds" } else { "hold" },
    )
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// Whether a file of that name holds specs.
fn is_spec_name(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

fn gather_paths(paths: &[PathBuf]) -> anyhow::Result<Gathered> {
    let mut gathered = Gathered::default();
    for path in paths {
        let about = std::fs::symlink_metadata(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        // What a person names is what they mean, wherever it leads; links are only not followed on the way.
        let about = if about.is_symlink() {
            std::fs::metadata(path).with_context(|| format!("{} leads nowhere", path.display()))?
        } else {
            about
        };
        if about.is_dir() {
            gathered.whole |= path.join(".git").exists();
            gather_folder(path, 0, &mut gathered)?;
        } else if is_spec_name(&path.to_string_lossy()) {
            gather_file(path, &mut gathered)?;
        } else {
            bail!(
                "{} is not a spec file: their names end in .yaml or .yml",
                path.display()
            );
        }
    }
    Ok(gathered)
}

/// The spec files at a path, and what is wrong with entries that cannot be read as such.
pub(super) fn gather(path: &Path) -> anyhow::Result<(Vec<SpecFile>, Vec<Diagnostic>)> {
    let gathered = gather_paths(&[path.to_owned()])?;
    Ok((gathered.files, gathered.refused))
}

/// All spec files of a working tree, with their paths from its root.
pub(super) fn worktree(root: &Path) -> anyhow::Result<Vec<SpecFile>> {
    let mut gathered = Gathered::default();
    gather_folder(root, 0, &mut gathered)?;
    if let Some(refused) = gathered.refused.first() {
        bail!("{}: {}; {}", refused.path, refused.message, refused.help);
    }
    let root = shown(root);
    for file in &mut gathered.files {
        let path = file.path.strip_prefix(root.trim_end_matches('/'));
        if let Some(path) = path.map(|path| path.trim_start_matches('/').to_owned()) {
            file.path = path;
        }
    }
    Ok(gathered.files)
}

/// Adds all spec files of a folder, in the order of their names.
fn gather_folder(folder: &Path, depth: usize, gathered: &mut Gathered) -> anyhow::Result<()> {
    if depth > MAX_DEPTH {
        bail!(
            "{} lies more than {MAX_DEPTH} folders deep",
            folder.display()
        );
    }
    let unreadable = || format!("the folder {} cannot be read", folder.display());
    let mut entries = std::fs::read_dir(folder)
        .with_context(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .with_context(unreadable)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        let kind = entry
            .file_type()
            .with_context(|| format!("{} cannot be read", path.display()))?;
        if kind.is_dir() {
            gather_folder(&path, depth + 1, gathered)?;
        } else if kind.is_symlink() {
            // A link to a folder may well hold specs, so it is told of too; other links are none of our business.
            if is_spec_name(&name) || path.is_dir() {
                gathered.refuse_link(shown(&path));
            }
        } else if kind.is_file() && is_spec_name(&name) {
            gather_file(&path, gathered)?;
        }
    }
    Ok(())
}

fn gather_file(path: &Path, gathered: &mut Gathered) -> anyhow::Result<()> {
    let unreadable = || format!("{} cannot be read", path.display());
    let file = std::fs::File::open(path).with_context(unreadable)?;
    let about = file.metadata().with_context(unreadable)?;
    if !about.is_file() {
        bail!("{} is not a regular file", path.display());
    }
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a file that grows meanwhile is told too.
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(unreadable)?;
    if bytes.len() > MAX_FILE_BYTES {
        gathered.refuse_large(shown(path), about.len());
        return Ok(());
    }
    gathered.add(SpecFile {
        path: shown(path),
        bytes: bytes.into(),
    })
}

/// A path as people typed it, without the `./` in front.
fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.strip_prefix("./").unwrap_or(&text).to_owned()
}
