//! `muster init`: a first spec, by asking.
//!
//! [`document`] has the questions' rules and the text that is written; [`ask`] is the conversation.

mod ask;
mod document;

use crate::cli::failure::Failure;
use crate::git;
use anyhow::Context;
use ask::Conversation;
use document::{Answers, Field};
use muster_schemas::spec::describe;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where editors look for the format of specs, below the repository's root.
const SCHEMA: &str = ".schemas/muster.schema.json";

/// Write a first spec by asking for what it needs
///
/// Each answer is checked at once by the rules of specs. What a flag says is not asked; with --yes, or where standard input is no
/// terminal, nothing is asked and the defaults are taken.
#[derive(Debug, clap::Args)]
pub(super) struct InitArgs {
    /// The file to write, or a folder for it; without it jobs/NAME.yaml where there is a folder jobs, else NAME.yaml
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// The job's name
    #[arg(long)]
    name: Option<String>,
    /// Whom to ask about it; without it the address that git knows
    #[arg(long)]
    owner: Option<String>,
    /// The image
    #[arg(long)]
    image: Option<String>,
    /// `service` or `batch`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// The port that the container listens on, or `none`
    #[arg(long)]
    port: Option<String>,
    /// The path that answers while a service's task can serve, or `none`
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,
    /// How many tasks
    #[arg(long)]
    count: Option<String>,
    /// CPUs for each task
    #[arg(long)]
    cpu: Option<String>,
    /// Memory for each task
    #[arg(long)]
    memory: Option<String>,
    /// Ask nothing: take the defaults for what no flag says
    #[arg(short, long)]
    yes: bool,
    /// Overwrite the file if it is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let here = std::env::current_dir().context("the working directory cannot be told")?;
    let asks = !args.yes && io::stdin().is_terminal();
    let mut conversation = asks.then(|| Conversation {
        input: io::stdin().lock(),
        output: io::stderr(),
    });
    let written = write(args, &here, git::user_email(&here), conversation.as_mut())?;
    let Some(written) = written else {
        eprintln!("nothing was written");
        return Ok(ExitCode::from(1));
    };
    let spec = written.spec.display();
    eprintln!("wrote {spec}");
    if let Some(schema) = written.schema {
        eprintln!("wrote {}, for completion in editors", schema.display());
    }
    eprintln!(
        "next: `muster run {spec}` tries it on this machine; commit and push it, and the fleet runs it"
    );
    Ok(ExitCode::SUCCESS)
}

/// What was written.
#[derive(Debug)]
struct Written {
    spec: PathBuf,
    schema: Option<PathBuf>,
}

/// Gets the answers and writes the spec; none if somebody would rather keep the file that is there.
fn write<I: io::BufRead, O: Write>(
    args: &InitArgs,
    here: &Path,
    email: Option<String>,
    mut conversation: Option<&mut Conversation<I, O>>,
) -> anyhow::Result<Option<Written>> {
    let mut answers = answers(args);
    answers.check_given()?;
    let mut missing = Vec::new();
    while let Some(field) = answers.next() {
        let default = match field {
            Field::Owner => email.clone(),
            Field::Name
            | Field::Image
            | Field::Kind
            | Field::Port
            | Field::HealthPath
            | Field::Count
            | Field::Cpu
            | Field::Memory => answers.usual(field).map(str::to_owned),
        };
        // An address that git knows need not be one that specs take.
        let default = default.filter(|default| answers.fault(field, default).is_none());
        let answer = match (&mut conversation, default) {
            (Some(conversation), default) => {
                conversation.ask(&answers, field, default.as_deref())?
            }
            (None, Some(default)) => default,
            (None, None) => {
                missing.push(field.flag());
                // Only to find what else is missing.
                field.sample().to_owned()
            }
        };
        answers.set(field, answer);
    }
    if !missing.is_empty() {
        return Err(Failure::untried(
            format!("missing: {}", missing.join(", ")),
            "Standard input is no terminal, or --yes was given, so nothing is asked; these have no default.",
        )
        .into());
    }

    let path = place(args.path.as_deref(), here, answers.name());
    let full = here.join(&path);
    let mut overwrite = args.force;
    if full.exists() && !overwrite {
        overwrite = match &mut conversation {
            Some(conversation) => conversation.confirm(&format!(
                "{} is there already; overwrite it?",
                path.display()
            ))?,
            None => {
                return Err(Failure::no(
                    format!("{} is there already", path.display()),
                    "Name another file, or overwrite it: --force",
                )
                .into());
            }
        };
        if !overwrite {
            return Ok(None);
        }
    }
    let folder = full.parent().unwrap_or(here);
    fs::create_dir_all(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let (root, has_schema) = root_for(folder);
    let text = answers.document(&to_schema(&root, folder));
    put(&full, &text, overwrite)?;
    let schema = root.join(SCHEMA);
    if !has_schema {
        put_schema(&schema)?;
    }
    Ok(Some(Written {
        spec: path,
        schema: (!has_schema).then(|| schema.strip_prefix(here).unwrap_or(&schema).to_owned()),
    }))
}

fn answers(args: &InitArgs) -> Answers {
    let mut answers = Answers::default();
    for (field, given) in [
        (Field::Name, &args.name),
        (Field::Owner, &args.owner),
        (Field::Image, &args.image),
        (Field::Kind, &args.kind),
        (Field::Port, &args.port),
        (Field::HealthPath, &args.health_path),
        (Field::Count, &args.count),
        (Field::Cpu, &args.cpu),
        (Field::Memory, &args.memory),
    ] {
        if let Some(given) = given {
            answers.set(field, given.clone());
        }
    }
    answers
}

/// Where the spec is written.
fn place(wanted: Option<&Path>, here: &Path, name: &str) -> PathBuf {
    let file = format!("{name}.yaml");
    match wanted {
        Some(wanted) => {
            let is_file = wanted
                .extension()
                .is_some_and(|extension| extension == "yaml" || extension == "yml");
            if is_file && !here.join(wanted).is_dir() {
                wanted.to_owned()
            } else {
                wanted.join(file)
            }
        }
        None if here.join("jobs").is_dir() => Path::new("jobs").join(file),
        None => PathBuf::from(file),
    }
}

/// The folder with the format's schema, and whether it is there: the nearest that has it, else the root of the git repository, else
/// the spec's own folder.
fn root_for(folder: &Path) -> (PathBuf, bool) {
    if let Some(root) = folder.ancestors().find(|root| root.join(SCHEMA).is_file()) {
        return (root.to_owned(), true);
    }
    let repository = folder.ancestors().find(|root| root.join(".git").exists());
    (repository.unwrap_or(folder).to_owned(), false)
}

/// The way from a spec's folder to the schema, as editors want it.
fn to_schema(root: &Path, folder: &Path) -> String {
    let below = folder
        .strip_prefix(root)
        .map_or(0, |way| way.components().count());
    format!("{}{SCHEMA}", "../".repeat(below))
}

fn put(path: &Path, text: &str, overwrite: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if overwrite {
        options.create(true).truncate(true);
    } else {
        // One that came meanwhile is not overwritten either.
        options.create_new(true);
    }
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn put_schema(path: &Path) -> anyhow::Result<()> {
    let text = describe::files()
        .into_iter()
        .find_map(|(name, text)| SCHEMA.ends_with(name).then_some(text))
        .context("there is no schema of that name")?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    put(path, &text, false)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
