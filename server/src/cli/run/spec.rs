//! The job to run: read and checked as before a push, with what was set on the command line set in the document.

use crate::cli::failure::Failure;
use crate::cli::validate;
use muster_core::specs::edit::{NewValue, set_fields};
use muster_core::specs::{Documents, Located, SpecFile, read_local, render};
use muster_schemas::ids::JobId;
use muster_schemas::plan::Diagnostic;
use muster_schemas::spec::{JobSpec, Spec};
use std::collections::BTreeMap;
use std::path::Path;

/// What is to be run.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) job: JobSpec,
    /// The fields that were set on the command line.
    pub(super) set: Vec<String>,
}

/// Reads the job's document; none where something does not hold, which was told then.
pub(super) fn read(
    path: &Path,
    wanted: Option<&JobId>,
    image: Option<&str>,
    env: &BTreeMap<String, String>,
) -> anyhow::Result<Option<Read>> {
    let (files, refused) = validate::gather(path)?;
    let documents = read_local(&files);
    if !refused.is_empty() || !documents.diagnostics.is_empty() {
        tell(documents.diagnostics.iter().chain(&refused));
        return Ok(None);
    }
    let located = choose(&documents, path, wanted)?;
    let fields = fields(image, env);
    let set = fields.iter().map(|(path, _)| path.join(".")).collect();
    if fields.is_empty() {
        let job = located.spec;
        return Ok(Some(Read { job, set }));
    }
    // Set in the text and read again, so that it is held to the same rules.
    let name = located.spec.name;
    let mut files = files.iter();
    let Some(file) = files.find(|file| file.path == located.source.path) else {
        anyhow::bail!("{} was read and is not there", located.source.path);
    };
    let text = String::from_utf8_lossy(&file.bytes);
    let text = set_fields(&text, &name, &fields).map_err(|error| {
        Failure::no(
            format!("{}: {error}", file.path),
            "Write it in the document instead",
        )
    })?;
    let edited = SpecFile {
        path: format!("{} with what the command line sets", file.path),
        bytes: text.into_bytes().into(),
    };
    let documents = read_local(&[edited]);
    if !documents.diagnostics.is_empty() {
        tell(&documents.diagnostics);
        return Ok(None);
    }
    let job = choose(&documents, path, Some(&name))?.spec;
    Ok(Some(Read { job, set }))
}

fn tell<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>) {
    let look = validate::look(&std::io::stderr());
    for diagnostic in diagnostics {
        eprintln!("{}", render(diagnostic, look));
    }
}

fn fields(image: Option<&str>, env: &BTreeMap<String, String>) -> Vec<(Vec<String>, NewValue)> {
    let text = |value: &str| NewValue::Text(value.to_owned());
    let image = image.map(|image| (vec!["image".to_owned()], text(image)));
    let env = env
        .iter()
        .map(|(name, value)| (vec!["env".to_owned(), name.clone()], text(value)));
    image.into_iter().chain(env).collect()
}

/// The job of that name, or the only one.
fn choose(
    documents: &Documents,
    path: &Path,
    wanted: Option<&JobId>,
) -> anyhow::Result<Located<JobSpec>> {
    let jobs: Vec<Located<JobSpec>> = documents
        .specs
        .iter()
        .filter_map(|located| match &located.spec {
            Spec::Job(job) => Some(Located {
                spec: (**job).clone(),
                source: located.source.clone(),
            }),
            Spec::Policy(_) => None,
        })
        .collect();
    let names: Vec<&str> = jobs.iter().map(|job| job.spec.name.as_str()).collect();
    let names = names.join(", ");
    let path = path.display();
    match (wanted, jobs.as_slice()) {
        (_, []) => Err(Failure::no(
            format!("{path} has no job"),
            "`muster init` writes a first one",
        )
        .into()),
        (None, [job]) => Ok(job.clone()),
        (None, _) => Err(Failure::no(
            format!("{path} has several jobs: {names}"),
            "Say which: --job NAME",
        )
        .into()),
        (Some(wanted), jobs) => jobs
            .iter()
            .find(|job| job.spec.name == *wanted)
            .cloned()
            .ok_or_else(|| {
                Failure::no(
                    format!("{path} has no job `{wanted}`"),
                    format!("It has: {names}"),
                )
                .into()
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "apiVersion: muster/v1\nkind: Job\nname: web\nowner: a@example.com\nimage: web:1\nservice: {capacity: {desired: 1}}\n\
                       ---\napiVersion: muster/v1\nkind: Job\nname: work\nowner: a@example.com\nimage: work:1\nenv:\n  A: \"1\"\nbatch: {}\n";

    fn read_two(
        wanted: Option<&str>,
        image: Option<&str>,
        env: &[(&str, &str)],
    ) -> anyhow::Result<Option<Read>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("two.yaml");
        std::fs::write(&path, TWO).unwrap();
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        read(&path, wanted.map(JobId::from).as_ref(), image, &env)
    }

    #[test]
    fn one_of_several_has_to_be_named() {
        let error = read_two(None, None, &[]).unwrap_err().to_string();
        assert!(error.ends_with("has several jobs: web, work"), "{error}");
        let error = read_two(Some("wok"), None, &[]).unwrap_err().to_string();
        assert!(error.ends_with("has no job `wok`"), "{error}");
        let read = read_two(Some("web"), None, &[]).unwrap().unwrap();
        assert_eq!(read.job.name.as_str(), "web");
        assert_eq!(read.set, Vec::<String>::new());
    }

    #[test]
    fn what_is_set_is_held_to_the_rules_of_specs() {
        let read = read_two(
            Some("work"),
            Some("work:dev"),
            &[("A", "2"), ("B", "a: b # c")],
        )
        .unwrap()
        .unwrap();
        assert_eq!(read.job.image, "work:dev");
        let env: Vec<(&str, &str)> = read
            .job
            .env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(env, [("A", "2"), ("B", "a: b # c")]);
        assert_eq!(read.set, ["image", "env.A", "env.B"]);
        // Muster's own variables cannot be set.
        assert!(
            read_two(Some("work"), None, &[("MUSTER_CELL", "x")])
                .unwrap()
                .is_none()
        );
        assert!(
            read_two(Some("web"), Some("Not An Image"), &[])
                .unwrap()
                .is_none()
        );
    }
}
