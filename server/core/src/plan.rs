//! The diff: from the fleet as it is and the documents of a revision to the list of changes between them.
//!
//! Planning reads and changes nothing. The same fleet and the same documents give the same plan with the same id, and a plan
//! made again after it was applied is empty.

use crate::describe::reasons::counted;
use crate::fleet::{Fleet, Job, JobVersion, Movement, TaskPhase};
use crate::guard;
use crate::signatures::{self, Signed};
use crate::specs::{Documents, EMPTY_FILE};
use jiff::Timestamp;
use muster_schemas::ids::{JobId, PlanId};
use muster_schemas::plan::{
    Diagnostic, DocumentRef, FieldChange, JobAction, JobChange, Plan, Revision, Target, Withheld,
};
use muster_schemas::spec::{
    ConstraintSet, Constraints, Hook, JobKind, JobSpec, PolicySpec, Rollout, Spec, Strategy, Tier,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a plan is made from, besides the fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanInput {
    /// The revision.
    pub revision: Revision,
    /// Its documents.
    pub documents: Documents,
    /// For each image reference of a job that is new or whose reference changed: its digest reference, or why there is none.
    pub images: BTreeMap<String, Result<String, String>>,
    /// The commits that removed files since the applied revision, by the files' paths, as far as they are known.
    pub removed_by: BTreeMap<String, Revision>,
    /// Who signed it, as far as the policy of the time of reading asked for that.
    pub signed: Signed,
}

/// The image references that have to be resolved before a plan for these documents can be made: those that no job has
/// already. A reference that stays the same stays on its digest.
pub fn images_to_resolve(fleet: &Fleet, documents: &Documents) -> BTreeSet<String> {
    let mut images = BTreeSet::new();
    for located in &documents.specs {
        if let Spec::Job(spec) = &located.spec
            && known_image(fleet, spec).is_none()
        {
            images.insert(spec.image.clone());
        }
    }
    images
}

fn known_image<'a>(fleet: &'a Fleet, spec: &JobSpec) -> Option<&'a str> {
    let current = fleet.jobs.get(&spec.name)?.current();
    (current.spec.image == spec.image).then_some(current.image.as_str())
}

/// Makes the plan that takes the fleet to the input's revision. `now` decides which freezes hold.
pub fn plan(fleet: &Fleet, input: &PlanInput, now: Timestamp) -> Plan {
    let mut refused = input.documents.diagnostics.clone();
    let mut changes = Vec::new();
    let mut seen = BTreeSet::new();
    let mut policy = input
        .documents
        .specs
        .iter()
        .find_map(|located| match &located.spec {
            Spec::Policy(spec) => Some((**spec).clone()),
            Spec::Job(_) => None,
        });
    // A policy document that could not be read leaves the policy that held.
    if policy.is_none() && refused.iter().any(|problem| problem.job.is_none()) {
        policy.clone_from(&fleet.policy);
    }

    for located in &input.documents.specs {
        let Spec::Job(spec) = &located.spec else {
            continue;
        };
        seen.insert(spec.name.clone());
        match job_change(fleet, input, spec, &located.source, policy.as_ref()) {
            Ok(change) => changes.extend(change),
            Err(diagnostic) => refused.push(*diagnostic),
        }
    }
    let prune = policy.as_ref().is_some_and(|policy| policy.prune);

    // A document that was refused is there: its job is not deleted. Where its name could not be read, that holds for every
    // job that stood in its file.
    let refused_jobs: BTreeSet<&JobId> = refused
        .iter()
        .filter_map(|problem| problem.job.as_ref())
        .collect();
    let unread_paths: BTreeSet<&str> = refused
        .iter()
        .filter(|problem| hides_jobs(fleet, problem))
        .map(|problem| problem.path.as_str())
        .collect();
    // A file that could not be read may hold any job, also one that has just moved into it: while there is one, nothing is
    // taken for deleted.
    let something_unread = !unread_paths.is_empty();
    for job in fleet.jobs.values() {
        if seen.contains(&job.id)
            || refused_jobs.contains(&job.id)
            || something_unread
            || job.pruned
        {
            continue;
        }
        let removed_by = input.removed_by.get(&job.source.path).cloned();
        if prune {
            // A tombstone has been decided on already.
            if job.tombstone.is_none() {
                changes.push(prune_change(job, removed_by));
            }
        } else if job.declared || job.tombstone.is_some() {
            changes.push(JobChange {
                job: job.id.clone(),
                notes: {
                    let mut notes = vec![
                        "its document was removed; it runs on, since the policy does not say `prune: true`".to_owned(),
                    ];
                    notes.extend(removed_by.as_ref().map(removal));
                    notes
                },
                action: JobAction::Undeclare { source: job.source.clone(), removed_by },
                fields: Vec::new(),
                starts: 0,
                stops: 0,
                replaces: 0,
                takes_away: 0,
            });
        }
    }
    changes.sort_by(|a, b| a.job.cmp(&b.job));
    refused.sort();
    let (changes, withheld) = keep_back(fleet, changes, now);
    finish(
        fleet,
        Draft {
            revision: input.revision.clone(),
            changes,
            withheld,
            refused,
            policy,
            signed_by: signatures::signer(fleet.policy.as_ref(), &input.signed, now),
        },
    )
}

/// The plan that makes good what the latest plan kept back and need not keep back any more, if there is any.
pub fn plan_released(fleet: &Fleet, now: Timestamp) -> Option<Plan> {
    let latest = fleet
        .plans
        .back()
        .filter(|entry| entry.applied_at.is_some())?;
    let again = latest
        .plan
        .withheld
        .iter()
        .filter_map(|withheld| again(fleet, &withheld.change))
        .collect();
    let (changes, withheld) = keep_back(fleet, again, now);
    if withheld.len() == latest.plan.withheld.len() {
        return None;
    }
    Some(finish(
        fleet,
        Draft {
            revision: latest.plan.revision.clone(),
            changes,
            withheld,
            refused: latest.plan.refused.clone(),
            policy: fleet.policy.clone(),
            signed_by: latest.plan.signed_by.clone(),
        },
    ))
}

/// A change that was kept back, as it is now; none if nothing is left to change.
fn again(fleet: &Fleet, change: &JobChange) -> Option<JobChange> {
    let job = fleet.jobs.get(&change.job);
    match &change.action {
        JobAction::Create { target } | JobAction::Update { target } => match job {
            None => Some(create(&target.spec, target.image.clone(), &target.source)),
            Some(job) => Some(update(
                fleet,
                job,
                &target.spec,
                target.image.clone(),
                &target.source,
                fleet.policy.as_ref(),
            )),
        },
        JobAction::Prune { removed_by, .. } => job.map(|job| prune_change(job, removed_by.clone())),
        JobAction::Move { .. } | JobAction::Undeclare { .. } | JobAction::Redeclare { .. } => {
            job.map(|_| change.clone())
        }
    }
}

/// How much a change takes away at once, as it is now if that is more than when it was planned: while a plan is held, tasks that
/// waited for a host may have come to run.
pub(crate) fn takes_away_now(fleet: &Fleet, change: &JobChange) -> u32 {
    let now = match change.action {
        JobAction::Update { .. } | JobAction::Prune { .. } => {
            again(fleet, change).map_or(0, |change| change.takes_away)
        }
        JobAction::Create { .. }
        | JobAction::Move { .. }
        | JobAction::Undeclare { .. }
        | JobAction::Redeclare { .. } => 0,
    };
    change.takes_away.max(now)
}

/// Tells the changes that go ahead from those that are kept back.
fn keep_back(
    fleet: &Fleet,
    changes: Vec<JobChange>,
    now: Timestamp,
) -> (Vec<JobChange>, Vec<Withheld>) {
    let mut free = Vec::new();
    let mut withheld = Vec::new();
    for change in changes {
        match guard::withhold(fleet, &change.job, guard::target_spec(&change), now) {
            None => free.push(change),
            Some(reason) => withheld.push(Withheld { change, reason }),
        }
    }
    (free, withheld)
}

/// What a plan is made of, before it is summed up and named.
struct Draft {
    revision: Revision,
    changes: Vec<JobChange>,
    withheld: Vec<Withheld>,
    refused: Vec<Diagnostic>,
    policy: Option<PolicySpec>,
    signed_by: Option<String>,
}

fn finish(fleet: &Fleet, draft: Draft) -> Plan {
    let sum = |count: fn(&JobChange) -> u32| {
        draft
            .changes
            .iter()
            .fold(0u32, |sum, change| sum.saturating_add(count(change)))
    };
    let starts = sum(|change| change.starts);
    let stops = sum(|change| change.takes_away);
    let mut plan = Plan {
        id: PlanId::from(""),
        parent: fleet.applied_plan.clone(),
        policy_changes: draft.policy != fleet.policy,
        revision: draft.revision,
        changes: draft.changes,
        withheld: draft.withheld,
        refused: draft.refused,
        policy: draft.policy,
        signed_by: draft.signed_by,
        running: fleet.running_tasks(),
        starts,
        stops,
    };
    plan.id = plan_id(&plan);
    plan
}

/// Whether something that is wrong may hide the documents of jobs, so that nothing is taken for deleted. A file without a document
/// hides something only where jobs stood in it: it may have been cut off.
pub(crate) fn hides_jobs(fleet: &Fleet, problem: &Diagnostic) -> bool {
    let is_of_a_job = || {
        let mut jobs = fleet.jobs.values();
        jobs.any(|job| job.source.path == problem.path)
    };
    problem.job.is_none() && (problem.code != EMPTY_FILE || is_of_a_job())
}

/// Who removed a document, for people.
fn removal(by: &Revision) -> String {
    format!(
        "its file was removed by commit {} of {}: {}",
        by.commit, by.author, by.subject
    )
}

fn prune_change(job: &Job, removed_by: Option<Revision>) -> JobChange {
    let active = active_tasks(job);
    JobChange {
        job: job.id.clone(),
        notes: removed_by.as_ref().map(removal).into_iter().collect(),
        action: JobAction::Prune {
            source: job.source.clone(),
            removed_by,
        },
        fields: Vec::new(),
        starts: 0,
        stops: active,
        replaces: 0,
        takes_away: active,
    }
}

fn create(spec: &Arc<JobSpec>, image: String, source: &DocumentRef) -> JobChange {
    let target = Target {
        spec: Arc::clone(spec),
        image,
        source: source.clone(),
        replaces_tasks: false,
        same_as: None,
    };
    JobChange {
        job: spec.name.clone(),
        starts: if spec.hook().is_some() {
            0
        } else {
            spec.size()
        },
        stops: 0,
        replaces: 0,
        takes_away: 0,
        fields: Vec::new(),
        notes: notes_of(spec),
        action: JobAction::Create {
            target: Box::new(target),
        },
    }
}

/// What is to be said of any change to a job like this.
fn notes_of(spec: &JobSpec) -> Vec<String> {
    let mut notes = Vec::new();
    match spec.hook() {
        Some(Hook::BeforeSync) => notes.push(
            "it is a hook: with each plan that changes other jobs it runs first, and the plan goes ahead when it has succeeded"
                .to_owned(),
        ),
        Some(Hook::AfterSync) => notes.push(
            "it is a hook: it runs when the services that a plan changes are healthy".to_owned(),
        ),
        None => {}
    }
    if !spec.depends_on.is_empty() {
        let names: Vec<&str> = spec.depends_on.iter().map(JobId::as_str).collect();
        notes.push(format!(
            "what it makes run begins once {} stand as the repository says",
            names.join(", ")
        ));
    }
    notes
}

/// The hash of all of a plan but its id.
pub fn plan_id(plan: &Plan) -> PlanId {
    let mut content = plan.clone();
    content.id = PlanId::from("");
    let bytes = serde_json::to_vec(&content).expect("a plan is plain data with text keys");
    PlanId(hex::encode(Sha256::digest(bytes)))
}

/// Tasks that have, or may have, a container.
pub(crate) fn active_tasks(job: &Job) -> u32 {
    let active = job
        .tasks
        .values()
        .filter(|task| matches!(task.phase, TaskPhase::Active { .. }))
        .count();
    u32::try_from(active).unwrap_or(u32::MAX)
}

/// Of these, the ones that are there to serve. Red/black has two sets of tasks for a while, of which one leaves anyway.
pub(crate) fn serving_tasks(job: &Job) -> u32 {
    if job.movement() != Movement::RedBlack {
        return active_tasks(job);
    }
    let active = job
        .tasks
        .values()
        .filter(|task| matches!(task.phase, TaskPhase::Active { .. }));
    let (old, new): (Vec<_>, Vec<_>) = active.partition(|task| job.is_outdated(task.version));
    u32::try_from(old.len().max(new.len())).unwrap_or(u32::MAX)
}

/// Of these, the ones that may serve: what mends a service that has never come up takes nothing away. One that was healthy once counts,
/// since it may be again in a moment.
fn tasks_that_may_serve(fleet: &Fleet, job: &Job) -> u32 {
    let attempts = job.tasks.values();
    let attempts = attempts.filter_map(|task| fleet.current_attempt(task));
    let serving = attempts.filter(|attempt| attempt.first_healthy_at.is_some());
    u32::try_from(serving.count()).unwrap_or(u32::MAX)
}

/// So many tasks with a container are more than `desired`: of a batch those with an index beyond it, since the others may have
/// finished.
pub(crate) fn surplus_tasks(job: &Job, desired: u32) -> u32 {
    if job.spec().batch.is_none() {
        return serving_tasks(job).saturating_sub(desired);
    }
    let beyond = job
        .tasks
        .values()
        .filter(|task| task.id.index >= desired && matches!(task.phase, TaskPhase::Active { .. }));
    u32::try_from(beyond.count()).unwrap_or(u32::MAX)
}

/// What changes for one job, if anything, or why the document is refused.
fn job_change(
    fleet: &Fleet,
    input: &PlanInput,
    spec: &Arc<JobSpec>,
    source: &DocumentRef,
    policy: Option<&PolicySpec>,
) -> Result<Option<JobChange>, Box<Diagnostic>> {
    let image = match known_image(fleet, spec) {
        Some(image) => image.to_owned(),
        None => match input.images.get(&spec.image) {
            Some(Ok(image)) => image.clone(),
            Some(Err(why)) => {
                return Err(refuse(
                    spec,
                    source,
                    "image-unresolved",
                    format!(
                        "the image `{}` could not be resolved to a digest: {why}",
                        spec.image
                    ),
                    "it is tried again; push the image, or correct the reference",
                ));
            }
            None => {
                return Err(refuse(
                    spec,
                    source,
                    "image-unresolved",
                    format!("the image `{}` has not been resolved yet", spec.image),
                    "it is tried again",
                ));
            }
        },
    };
    let Some(job) = fleet.jobs.get(&spec.name) else {
        return Ok(Some(create(spec, image, source)));
    };
    let current = job.current();
    if current.spec.kind() != spec.kind() {
        return Err(refuse(
            spec,
            source,
            "kind-changed",
            format!(
                "job `{}` is a {} and cannot become a {}",
                spec.name,
                kind_word(current.spec.kind()),
                kind_word(spec.kind())
            ),
            "give the new job another name, and remove the old one",
        ));
    }
    let is_same = Arc::ptr_eq(&current.spec, spec) || current.spec == *spec;
    if is_same && current.image == image && !job.pruned {
        let moved = job.source.path != source.path;
        let action = if !job.declared {
            JobAction::Redeclare {
                source: source.clone(),
            }
        } else if moved {
            JobAction::Move {
                source: source.clone(),
            }
        } else {
            // A document that only slid to another line of its file is no change.
            return Ok(None);
        };
        let change = JobChange {
            job: spec.name.clone(),
            action,
            fields: Vec::new(),
            starts: 0,
            stops: 0,
            replaces: 0,
            takes_away: 0,
            notes: if moved {
                vec![format!(
                    "its file moved from {} to {}; its containers stay",
                    job.source.path, source.path
                )]
            } else {
                Vec::new()
            },
        };
        return Ok(Some(change));
    }
    Ok(Some(update(fleet, job, spec, image, source, policy)))
}

fn update(
    fleet: &Fleet,
    job: &Job,
    spec: &Arc<JobSpec>,
    image: String,
    source: &DocumentRef,
    policy: Option<&PolicySpec>,
) -> JobChange {
    let current = job.current();
    let changes_template = current.image != image || template(&current.spec) != template(spec);
    // What makes the same containers as an earlier version that tasks still run is no reason to replace those.
    let same_as = job
        .versions
        .values()
        .find(|version| {
            changes_template && version.image == image && template(&version.spec) == template(spec)
        })
        .map(|version| version.template);
    let stays = |version: u64| {
        job.versions.get(&version).is_some_and(|version| {
            if changes_template {
                Some(version.template) == same_as
            } else {
                version.template == current.template
            }
        })
    };
    let replaced = job
        .tasks
        .values()
        .filter(|task| matches!(task.phase, TaskPhase::Active { .. }) && !stays(task.version))
        .count();
    let replaced = u32::try_from(replaced).unwrap_or(u32::MAX);
    let replaces_tasks = changes_template;
    let active = serving_tasks(job);
    let resize = job.resize_under(spec, policy);
    let desired = resize.as_ref().map_or(spec.size(), |resize| resize.desired);
    let stops = surplus_tasks(job, desired);
    // A rollout that is under way has tasks beside those that are asked for: one set or the other leaves anyway.
    let taken = match &spec.service {
        Some(_) => stops.min(job.desired().saturating_sub(desired)),
        None => stops,
    };
    let mut notes = notes_of(spec);
    if let Some(resize) = resize.filter(|resize| resize.desired != spec.size()) {
        notes.push(format!(
            "it keeps the {} tasks that {} scaled it to, although its document says {}",
            resize.desired,
            resize.by,
            spec.size()
        ));
    }
    let mut replaces = 0;
    let mut down_at_once = 0;
    let mut starts = desired.saturating_sub(active);
    match (&spec.service, &spec.batch) {
        (Some(service), _) => {
            if replaces_tasks {
                replaces = replaced.min(desired);
                let may_be_down = spec.disruption_budget.as_ref().map_or(desired, |budget| {
                    desired.saturating_sub(budget.floor(desired))
                });
                // Red/black takes nothing away before its successor is healthy.
                down_at_once = match service.rollout.strategy() {
                    Strategy::RedBlack(_) => 0,
                    Strategy::Rolling | Strategy::Canary(_) => replaces
                        .min(service.rollout.max_unavailable)
                        .min(may_be_down)
                        .min(tasks_that_may_serve(fleet, job)),
                };
                notes.extend(way_of(&service.rollout, replaces, desired));
            }
        }
        (None, Some(batch)) => {
            let unfinished = job
                .tasks
                .values()
                .filter(|task| !task.is_finished())
                .count();
            let is_hook = spec.hook().is_some();
            let runs_again = !is_hook
                && (job.pruned
                    || current.spec.batch.as_ref().is_some_and(|before| {
                        before.run != batch.run || before.hook.is_some() && job.run == 0
                    }));
            let known = u32::try_from(job.tasks.len()).unwrap_or(u32::MAX);
            starts = if runs_again {
                desired
            } else if is_hook {
                0
            } else {
                desired.saturating_sub(known)
            };
            if replaces_tasks && unfinished > 0 {
                notes.push("tasks that already run finish as they are; those that start from here on take the change".to_owned());
            }
            if !runs_again && !is_hook && unfinished == 0 {
                notes.push("the job is finished; change `batch.run` to run it again".to_owned());
            }
        }
        (None, None) => {}
    }
    let fields = changed_fields(&current.spec, &current.image, spec, &image);
    let target = Target {
        spec: Arc::clone(spec),
        image,
        source: source.clone(),
        replaces_tasks,
        same_as,
    };
    JobChange {
        job: spec.name.clone(),
        action: JobAction::Update {
            target: Box::new(target),
        },
        fields,
        starts,
        stops,
        replaces,
        takes_away: taken.saturating_add(down_at_once),
        notes,
    }
}

/// What differs between two specs with their images by digest, field by field; lists count as one field.
pub(crate) fn changed_fields(
    from: &JobSpec,
    from_image: &str,
    to: &JobSpec,
    to_image: &str,
) -> Vec<FieldChange> {
    let mut fields = Vec::new();
    diff_json("", &to_json(from), &to_json(to), &mut fields);
    if from_image != to_image {
        fields.push(FieldChange {
            path: "image (digest)".to_owned(),
            from: Some(from_image.into()),
            to: Some(to_image.into()),
        });
    }
    fields
}

/// What differs between two versions in what their containers are made of: the rest holds of running tasks as it is.
pub(crate) fn changed_parts(from: &JobVersion, to: &JobVersion) -> Vec<FieldChange> {
    let parts = |version: &JobVersion| JobSpec {
        image: version.spec.image.clone(),
        ..template(&version.spec)
    };
    changed_fields(&parts(from), &from.image, &parts(to), &to.image)
}

/// How a rollout that is no rolling update goes, for people.
fn way_of(rollout: &Rollout, replaces: u32, desired: u32) -> Option<String> {
    if replaces == 0 {
        return None;
    }
    let tasks = counted(u64::from(replaces), "task", "tasks");
    match rollout.strategy() {
        Strategy::Rolling => None,
        Strategy::RedBlack(red_black) => Some(format!(
            "replaces {tasks}, red/black: {desired} new beside them, which are kept for {} after that",
            red_black.keep_old
        )),
        Strategy::Canary(canary) => {
            let steps: Vec<String> = canary
                .steps
                .iter()
                .map(|step| match (step.tasks, step.percent) {
                    (None, Some(percent)) => format!("{percent} %"),
                    (tasks, _) => tasks.unwrap_or(desired).to_string(),
                })
                .collect();
            Some(format!(
                "replaces {tasks}, canary {} → all",
                steps.join(" → ")
            ))
        }
    }
}

fn kind_word(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Service => "service",
        JobKind::Batch => "batch job",
    }
}

/// The part of a spec that a container is made from: where it is the same, running tasks need not be replaced. The image
/// counts by its digest, apart from this.
fn template(spec: &JobSpec) -> JobSpec {
    JobSpec {
        owner: String::new(),
        tier: Tier::Flex,
        capacity_group: String::new(),
        image: String::new(),
        // What must hold of a host must hold of those that have a task already.
        constraints: Constraints {
            hard: spec.constraints.hard.clone(),
            soft: ConstraintSet::default(),
        },
        kill_grace: muster_schemas::spec::Millis(0),
        depends_on: Vec::new(),
        disruption_budget: None,
        service: None,
        batch: None,
        ..spec.clone()
    }
}

fn refuse(
    spec: &JobSpec,
    source: &DocumentRef,
    code: &str,
    message: String,
    help: &str,
) -> Box<Diagnostic> {
    Box::new(Diagnostic {
        code: code.to_owned(),
        path: source.path.clone(),
        line: source.line,
        column: 0,
        source_line: String::new(),
        width: 0,
        message,
        help: help.to_owned(),
        job: Some(spec.name.clone()),
    })
}

fn to_json(spec: &JobSpec) -> serde_json::Value {
    serde_json::to_value(spec).expect("a spec is plain data with text keys")
}

/// Lists what differs, field by field; lists count as one field.
fn diff_json(
    path: &str,
    from: &serde_json::Value,
    to: &serde_json::Value,
    changes: &mut Vec<FieldChange>,
) {
    use serde_json::Value;
    if let (Value::Object(from), Value::Object(to)) = (from, to) {
        let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
        for key in keys {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            match (from.get(key), to.get(key)) {
                (Some(from), Some(to)) => diff_json(&path, from, to, changes),
                (from, to) => changes.push(FieldChange {
                    path,
                    from: from.cloned(),
                    to: to.cloned(),
                }),
            }
        }
    } else if from != to {
        changes.push(FieldChange {
            path: path.to_owned(),
            from: Some(from.clone()),
            to: Some(to.clone()),
        });
    }
}
