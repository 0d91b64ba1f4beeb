//! From an event to what a target gets: pure, so that what is sent follows from the record, the fleet and the settings alone.

use super::filter::jobs_of;
use super::secret::Secret;
use super::send::Request;
use super::settings::{EventTarget, Format};
use super::template::TemplateContext;
use muster_core::fleet::Fleet;
use muster_core::view::event_view;
use muster_schemas::api::EventView;
use muster_schemas::event::{Event, Record};
use muster_schemas::ids::{JobId, PlanId};
use muster_schemas::plan::{JobAction, Plan};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The signature over the raw body, where the target has a secret.
pub const SIGNATURE_HEADER: &str = "x-muster-signature-256";

/// A body that is larger is sent without the event's `data`: receivers have bounds, too, and the API has all of it.
const MAX_BODY: usize = 1 << 20;

/// Pipelines that one event starts at most. A plan that changes more jobs than this is not what a trigger is for.
const MAX_TRIGGERS: usize = 100;

/// What the messages of all targets have in common.
#[derive(Debug, Clone, Default)]
pub struct MessageContext {
    /// Where people reach the console, without a slash at its end.
    pub console_url: Option<String>,
    /// The branch that is followed.
    pub branch: String,
}

impl MessageContext {
    /// A page of the console.
    pub fn link(&self, path: &str) -> Option<String> {
        self.console_url.as_ref().map(|url| format!("{url}{path}"))
    }
}

/// What is known of an event, as it was seen in the fleet: what is sent is made of it by [`requests`], when nobody waits for the fleet
/// any more.
pub(super) struct Seen {
    cell: String,
    view: EventView,
    /// What a target of Spinnaker is sent; it names more of the fleet than the event does.
    triggers: Vec<Value>,
}

/// Looks at a record that a target's filter wants. It depends on nothing else, so that what was sent before a restart is not sent
/// again.
pub(super) fn see(
    target: &EventTarget,
    fleet: &Fleet,
    record: &Record,
    context: &MessageContext,
) -> Seen {
    let view = event_view(fleet, record);
    let triggers = match &target.format {
        Format::Webhook { .. } | Format::Slack => Vec::new(),
        Format::Spinnaker { secret, parameters } => {
            let trigger = Trigger {
                fleet,
                record,
                view: &view,
                branch: &context.branch,
                secret: secret.as_ref(),
                parameters,
            };
            triggers(target, &trigger)
        }
    };
    Seen {
        cell: fleet.cell.to_string(),
        view,
        triggers,
    }
}

fn triggers(target: &EventTarget, trigger: &Trigger<'_>) -> Vec<Value> {
    let seq = trigger.view.seq;
    let mut jobs: Vec<JobId> = jobs_of(trigger.fleet, trigger.record)
        .into_iter()
        .filter(|concerned| target.filter.wants_job(concerned))
        .map(|concerned| concerned.job)
        .collect();
    if jobs.len() > MAX_TRIGGERS {
        tracing::warn!(
            target = target.name,
            seq,
            jobs = jobs.len(),
            MAX_TRIGGERS,
            "an event is about more jobs than pipelines are started for; the first are told"
        );
        jobs.truncate(MAX_TRIGGERS);
    }
    if jobs.is_empty() && target.filter.names_jobs() {
        // It was of a job that is not known any more: a pipeline is started for one that is asked for, or not at all.
        Vec::new()
    } else if jobs.is_empty() {
        vec![trigger.body(None)]
    } else {
        jobs.iter().map(|job| trigger.body(Some(job))).collect()
    }
}

/// What a target is to be sent for what was seen, in order.
///
/// # Errors
/// Why nothing can be made of it, in a sentence.
pub(super) fn requests(
    target: &EventTarget,
    seen: &Seen,
    context: &MessageContext,
) -> Result<Vec<Request>, String> {
    let Seen {
        cell,
        view,
        triggers,
    } = seen;
    let delivery = format!("{cell}/{}", view.seq);
    match &target.format {
        Format::Webhook { .. } | Format::Slack => {
            let link = context.link(&page_of(view));
            Ok(request_of(target, cell, view, link.as_deref(), &delivery)?
                .into_iter()
                .collect())
        }
        Format::Spinnaker { .. } => {
            let url: &Url = &target.url;
            Ok(triggers
                .iter()
                .map(|body| Request::json(Method::POST, url.clone(), body))
                .map(|request| with_names(request, &view.kind, &delivery))
                .collect())
        }
    }
}

/// What a target that is told things is sent of one; nothing where it is told of events to act on them.
///
/// # Errors
/// Why nothing can be made of it, in a sentence.
pub(super) fn request_of(
    target: &EventTarget,
    cell: &str,
    view: &EventView,
    link: Option<&str>,
    delivery: &str,
) -> Result<Option<Request>, String> {
    match &target.format {
        Format::Webhook {
            template,
            secret,
            token,
        } => {
            let request = match template {
                None => Request::json(Method::POST, target.url.clone(), &bounded(view)),
                Some(template) => {
                    let body = template.render(&TemplateContext {
                        event: view,
                        cell,
                        link,
                    })?;
                    if body.len() > MAX_BODY {
                        return Err(format!("its template makes more than {MAX_BODY} bytes"));
                    }
                    Request::new(
                        Method::POST,
                        target.url.clone(),
                        template.content_type(),
                        body.into_bytes(),
                    )
                }
            };
            let request = proven(request, secret.as_ref(), token.as_ref());
            Ok(Some(with_names(request, &view.kind, delivery)))
        }
        Format::Slack => {
            let body = json!({ "text": slack_text(cell, view, link) });
            Ok(Some(Request::json(Method::POST, target.url.clone(), &body)))
        }
        Format::Spinnaker { .. } => Ok(None),
    }
}

/// The request with what it is about in its head, for receivers that sort by that.
fn with_names(request: Request, kind: &str, delivery: &str) -> Request {
    request
        .header("x-muster-event", kind)
        .header("x-muster-delivery", delivery)
}

/// The request with its signature and token.
fn proven(request: Request, secret: Option<&Secret>, token: Option<&Secret>) -> Request {
    let request = match secret {
        Some(secret) => {
            let signature = hex::encode(secret.sign(&[&request.body]));
            request.header(SIGNATURE_HEADER, &format!("sha256={signature}"))
        }
        None => request,
    };
    match token {
        Some(token) => request.secret_header("authorization", "Bearer ", token),
        None => request,
    }
}

/// The event as the watch shows it, without its data where that is too much.
fn bounded(view: &EventView) -> Value {
    let value = |view: &EventView| {
        serde_json::to_value(view)
            .expect("an event's view has only text keys, so it is always JSON")
    };
    let whole = value(view);
    if whole.to_string().len() <= MAX_BODY {
        return whole;
    }
    let mut view = view.clone();
    view.data = json!({
        "event": view.kind,
        "left_out": format!("it is larger than {MAX_BODY} bytes; GET /api/v1/events has it"),
    });
    value(&view)
}

/// The console's page of what an event is about.
pub(super) fn page_of(view: &EventView) -> String {
    let about = [
        ("plans", view.plan.as_ref().filter(|_| view.task.is_none())),
        ("tasks", view.task.as_ref()),
        ("jobs", view.job.as_ref()),
        ("hosts", view.host.as_ref()),
        ("plans", view.plan.as_ref()),
    ];
    about
        .into_iter()
        .find_map(|(page, id)| id.map(|id| format!("/{page}/{id}")))
        .unwrap_or_else(|| "/events".to_owned())
}

/// A line in Slack's own mark-up, in which people's words mark nothing up.
fn slack_text(cell: &str, view: &EventView, link: Option<&str>) -> String {
    let plain = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    // A sentence is of one line, unless a person's words in it are not.
    let sentence = plain(&view.text).replace(['\n', '\r'], " ");
    match link {
        Some(link) => format!("*{}*: {sentence} <{link}|Open>", plain(cell)),
        None => format!("*{}*: {sentence}", plain(cell)),
    }
}

/// What Spinnaker's webhook trigger gets.
struct Trigger<'a> {
    fleet: &'a Fleet,
    record: &'a Record,
    view: &'a EventView,
    branch: &'a str,
    secret: Option<&'a Secret>,
    parameters: &'a BTreeMap<String, String>,
}

impl Trigger<'_> {
    /// The body for one job, or for none where the event is about no job.
    fn body(&self, job: Option<&JobId>) -> Value {
        let known = job.and_then(|job| self.fleet.jobs.get(job));
        let plan = self.plan();
        let current = known.map(|job| job.current());
        let revision = plan
            .as_ref()
            .map(|plan| &plan.revision)
            .or(current.map(|version| &version.revision));
        let image = job
            .and_then(|job| target_image(plan.as_deref()?, job))
            .or(current.map(|version| version.image.as_str()));
        let plan_id = self
            .view
            .plan
            .clone()
            .or(current.map(|version| version.plan.to_string()));
        let mut body = json!({
            "event": self.view.kind,
            "cell": self.fleet.cell.as_str(),
            "text": self.view.text,
            "job": job.map(JobId::as_str),
            "plan": plan_id,
            "revision": revision.map(|revision| revision.commit.as_str()),
            "git": revision.map(|revision| json!({
                "branch": self.branch,
                "hash": revision.commit.as_str(),
                "author": revision.author,
                "message": revision.subject,
            })),
            "parameters": self.parameters,
            "artifacts": image.map(artifact).into_iter().collect::<Vec<_>>(),
        });
        // Pipelines that compare no secret get none to keep in their execution.
        if let Some(secret) = self.secret {
            body["secret"] = json!(secret.expose());
        }
        body
    }

    fn plan(&self) -> Option<Arc<Plan>> {
        if let Event::PlanMade { plan } = &self.record.event {
            return Some(Arc::new((**plan).clone()));
        }
        let id = PlanId::from(self.view.plan.as_deref()?);
        self.fleet.plan(&id).map(|entry| Arc::clone(&entry.plan))
    }
}

/// The image that a plan brings to a job.
fn target_image<'a>(plan: &'a Plan, job: &JobId) -> Option<&'a str> {
    let change = plan.changes.iter().find(|change| change.job == *job)?;
    match &change.action {
        JobAction::Create { target } | JobAction::Update { target } => Some(&target.image),
        JobAction::Move { .. }
        | JobAction::Prune { .. }
        | JobAction::Undeclare { .. }
        | JobAction::Redeclare { .. } => None,
    }
}

fn artifact(image: &str) -> Value {
    let (name, version) = image.split_once('@').unwrap_or((image, ""));
    json!({ "type": "docker/image", "name": name, "version": version, "reference": image })
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
