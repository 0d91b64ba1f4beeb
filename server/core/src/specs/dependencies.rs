//! Documents that depend on each other: on jobs that are there, and not in a circle.

use super::MAX_DIAGNOSTICS;
use super::identity::Found;
use super::report::{self, Code, Place, Problem, quoted};
use super::words;
use muster_schemas::ids::JobId;
use muster_schemas::plan::Diagnostic;
use muster_schemas::spec::{JobSpec, Spec};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A circle is told with so many of its jobs: enough to find it.
const SHOWN: usize = 8;

/// So many dependencies are told with the whole circle, or with the job that may be meant; more are told without. Each costs a look
/// at all jobs.
const WAYS_TOLD: usize = 100;

/// Takes out documents that depend on a job that is not there, or on themselves by way of others. The others go ahead: one that
/// depends on a refused document is there, and waits. `claims` are the jobs of documents that do not hold: they are there, too,
/// and those that are refused here join them.
pub(super) fn refuse_unmet(
    found: Vec<Found>,
    claims: &mut BTreeMap<JobId, String>,
    whole: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Found> {
    let jobs: BTreeMap<&JobId, &JobSpec> = found
        .iter()
        .filter_map(job_of)
        .map(|job| (&job.name, job))
        .collect();
    if jobs.values().all(|job| job.depends_on.is_empty()) {
        return found;
    }
    // What could not be read may hold any job.
    let all_read = whole && diagnostics.iter().all(|problem| problem.job.is_some());
    let circles = circles(&jobs);
    let mut refused: Vec<(usize, Diagnostic)> = Vec::new();
    for (index, document) in found.iter().enumerate() {
        let Some(job) = job_of(document) else {
            continue;
        };
        for (dependency, (place, line)) in job.depends_on.iter().zip(&document.dependencies) {
            let is_there = jobs.contains_key(dependency) || claims.contains_key(dependency);
            let is_hook = jobs.get(dependency).is_some_and(|job| job.hook().is_some());
            let problem = if is_hook {
                Some(on_hook(dependency, *place))
            } else if all_read && !is_there {
                let others = (refused.len() < WAYS_TOLD).then_some(&jobs);
                Some(unknown(dependency, others, *place))
            } else {
                circles
                    .get(&(&job.name, dependency))
                    .map(|circle| in_circle(circle, *place))
            };
            if let Some(problem) = problem {
                let path = &document.located.source.path;
                let diagnostic =
                    report::diagnostic(path, line.clone(), problem, Some(job.name.clone()));
                refused.push((index, diagnostic));
                // Each document that does not hold says so; past that many, once will do.
                if diagnostics.len() + refused.len() >= MAX_DIAGNOSTICS {
                    break;
                }
            }
        }
    }
    let taken_out: BTreeSet<usize> = refused.iter().map(|(index, _)| *index).collect();
    diagnostics.extend(refused.into_iter().map(|(_, diagnostic)| diagnostic));
    let mut kept = Vec::with_capacity(found.len());
    for (index, document) in found.into_iter().enumerate() {
        match job_of(&document) {
            Some(job) if taken_out.contains(&index) => {
                let source = &document.located.source;
                let place = format!("{}:{}", source.path, document.name_place.line);
                claims.entry(job.name.clone()).or_insert(place);
            }
            Some(_) | None => kept.push(document),
        }
    }
    kept
}

fn job_of(document: &Found) -> Option<&JobSpec> {
    match &document.located.spec {
        Spec::Job(job) => Some(job),
        Spec::Policy(_) => None,
    }
}

fn unknown(dependency: &JobId, jobs: Option<&BTreeMap<&JobId, &JobSpec>>, place: Place) -> Problem {
    let known: Vec<&str> = jobs
        .into_iter()
        .flat_map(|jobs| jobs.keys())
        .map(|job| job.as_str())
        .collect();
    let help = match words::nearest(dependency.as_str(), &known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "write the name of a job whose document stands in this repository".to_owned(),
    };
    Problem {
        code: Code::UnknownJob,
        place,
        message: format!("there is no job {}", quoted(dependency.as_str())),
        help,
    }
}

fn on_hook(dependency: &JobId, place: Place) -> Problem {
    Problem {
        code: Code::Contradiction,
        place,
        message: format!("{} is a hook", quoted(dependency.as_str())),
        help: "delete this: where a plan changes other jobs they wait for its before-hooks anyway"
            .to_owned(),
    }
}

fn in_circle(circle: &[JobId], place: Place) -> Problem {
    let mut names: Vec<&str> = circle.iter().take(SHOWN).map(JobId::as_str).collect();
    if circle.len() > SHOWN {
        names.push("…");
    }
    names.extend(circle.first().map(JobId::as_str));
    Problem {
        code: Code::DependencyCycle,
        place,
        message: format!("the job depends on itself: {}", names.join(" → ")),
        help: "take one of these out: none of them could ever begin before the others".to_owned(),
    }
}

/// The dependencies that lie on a circle, each with the jobs of one, from the dependent on.
fn circles<'a>(
    jobs: &BTreeMap<&'a JobId, &'a JobSpec>,
) -> BTreeMap<(&'a JobId, &'a JobId), Vec<JobId>> {
    let names: Vec<&JobId> = jobs.keys().copied().collect();
    let places: BTreeMap<&JobId, usize> = names.iter().copied().zip(0..).collect();
    let edges: Vec<Vec<usize>> = jobs
        .values()
        .map(|job| {
            let known = job.depends_on.iter().filter_map(|name| places.get(name));
            known.copied().collect()
        })
        .collect();
    let knots = knots(&edges);
    let mut circles = BTreeMap::new();
    for (at, nexts) in edges.iter().enumerate() {
        for next in nexts
            .iter()
            .copied()
            .filter(|next| knots[*next] == knots[at])
        {
            // The way round is for people; past what anybody reads, that there is one will do.
            let way = if circles.len() < WAYS_TOLD {
                way_back(next, at, &edges, &knots)
            } else {
                vec![at]
            };
            let way = way.into_iter().map(|place| names[place].clone()).collect();
            circles.insert((names[at], names[next]), way);
        }
    }
    circles
}

/// For each job the knot that it belongs to: two have the same where each depends on the other by some way. One that is in no
/// circle is a knot of its own, in which only a dependency on itself is a circle.
fn knots(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut backwards: Vec<Vec<usize>> = vec![Vec::new(); edges.len()];
    for (at, nexts) in edges.iter().enumerate() {
        for next in nexts {
            backwards[*next].push(at);
        }
    }
    // Each after all that it leads to; without recursion, since a chain can be as long as a repository.
    let mut order = Vec::with_capacity(edges.len());
    let mut seen = vec![false; edges.len()];
    for start in 0..edges.len() {
        let mut stack = vec![(start, 0)];
        while let Some((at, edge)) = stack.pop() {
            if edge == 0 && std::mem::replace(&mut seen[at], true) {
                continue;
            }
            match edges[at].get(edge) {
                Some(next) => {
                    stack.push((at, edge + 1));
                    if !seen[*next] {
                        stack.push((*next, 0));
                    }
                }
                None => order.push(at),
            }
        }
    }
    let mut knots = vec![usize::MAX; edges.len()];
    for start in order.into_iter().rev() {
        let mut stack = vec![start];
        while let Some(at) = stack.pop() {
            if knots[at] == usize::MAX {
                knots[at] = start;
                stack.extend(&backwards[at]);
            }
        }
    }
    knots
}

/// The shortest way from `from` to `to` within their knot, beginning with `to` and going on with `from`.
fn way_back(from: usize, to: usize, edges: &[Vec<usize>], knots: &[usize]) -> Vec<usize> {
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(at) = next.pop_front() {
        if at == to {
            break;
        }
        for dependency in edges[at].iter().copied() {
            let is_new = dependency != from && !before.contains_key(&dependency);
            if is_new && knots[dependency] == knots[to] {
                before.insert(dependency, at);
                next.push_back(dependency);
            }
        }
    }
    let mut way = Vec::new();
    let mut step = to;
    while step != from {
        let Some(earlier) = before.get(&step) else {
            break;
        };
        step = *earlier;
        way.push(step);
    }
    way.push(to);
    way.reverse();
    way
}
