//! Documents that cannot stand beside each other: two of one job, and two policies.

use super::Located;
use super::report::{self, Code, Place, Problem};
use muster_schemas::ids::JobId;
use muster_schemas::plan::Diagnostic;
use muster_schemas::spec::Spec;
use std::collections::BTreeMap;

/// A document that holds by itself, with what a diagnostic about its identity needs.
#[derive(Clone)]
pub(super) struct Found {
    pub located: Located<Spec>,
    pub name_place: Place,
    pub name_line: String,
    /// For each job that it depends on: where that stands, and the line.
    pub dependencies: Vec<(Place, String)>,
}

/// Takes out documents that share their kind and name with another one, and policies where there is more than one. All of
/// them go, for nothing says which one is meant. `claims` are the jobs of documents that do not hold, with their place: one
/// of those may be what runs, so a second document of the same name must not take its job over.
pub(super) fn refuse_shared(
    found: Vec<Found>,
    claims: &BTreeMap<JobId, String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Located<Spec>> {
    // All policies share one identity, as a repository holds at most one.
    let identity = |spec: &Spec| match spec {
        Spec::Job(job) => Some(job.name.clone()),
        Spec::Policy(_) => None,
    };
    let mut holders: BTreeMap<Option<JobId>, Vec<usize>> = BTreeMap::new();
    for (index, document) in found.iter().enumerate() {
        holders
            .entry(identity(&document.located.spec))
            .or_default()
            .push(index);
    }
    // Of those that share their identity only: there are thousands of others.
    let places: BTreeMap<usize, String> = holders
        .values()
        .filter(|holders| holders.len() > 1)
        .flatten()
        .map(|index| {
            let document = &found[*index];
            let place = format!(
                "{}:{}",
                document.located.source.path, document.name_place.line
            );
            (*index, place)
        })
        .collect();
    let mut specs = Vec::with_capacity(found.len());
    for (index, document) in found.into_iter().enumerate() {
        let identity = identity(&document.located.spec);
        let claim = identity.as_ref().and_then(|job| claims.get(job));
        let others = holders[&identity]
            .iter()
            .filter(|other| **other != index)
            .map(|other| &places[other]);
        let others: Vec<&str> = others.chain(claim).map(String::as_str).collect();
        if others.is_empty() {
            specs.push(document.located);
            continue;
        }
        // Three are enough to see what happened; a copied folder can make thousands of pairs.
        let (named, more) = others.split_at(others.len().min(3));
        let mut others = named.join(", ");
        if !more.is_empty() {
            others.push_str(&format!(" and {} more", more.len()));
        }
        let (code, message, help) = match &identity {
            Some(job) => (
                Code::DuplicateName,
                format!("another document is named `{job}` too: {others}"),
                "a job is known by its name: keep one of them or rename the others; until then none of them is taken and a \
                 job of this name stays as it is",
            ),
            None => (
                Code::SecondPolicy,
                format!("there is another policy: {others}"),
                "a repository holds at most one Policy document: keep one; until then none of them is taken",
            ),
        };
        let problem = Problem {
            code,
            place: document.name_place,
            message,
            help: help.to_owned(),
        };
        diagnostics.push(report::diagnostic(
            &document.located.source.path,
            document.name_line,
            problem,
            identity,
        ));
    }
    specs
}
