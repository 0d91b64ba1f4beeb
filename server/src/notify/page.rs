//! A control plane that is frozen on a damaged journal has no events to tell, and is of no use until somebody restores the journal. So
//! everybody who is told anything is told that, whatever else they ask for.
//!
//! Alertmanagers get the alert for as long as it fires. A webhook or a chat is told once at each start, and again until it takes it.
//! Pipelines are not: what they are told has them act, and there is nothing to act on.

use super::alerts::AlertTeller;
use super::count::Counts;
use super::message::{MessageContext, page_of, request_of};
use super::place::{self, PlaceFile};
use super::send::{Request, Sender};
use super::settings::{EventTarget, Settings};
use super::{Bounds, Looks, Pace};
use jiff::Timestamp;
use muster_schemas::api::{Alert, EventView};
use muster_schemas::state::Actor;
use std::path::PathBuf;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What such a message is called where an event has its kind. No filter can name it, since no journal has it.
const KIND: &str = "journal_damaged";

/// What tells of a damaged journal.
pub struct Pager {
    /// Who is told.
    pub settings: Settings,
    /// The cell's name.
    pub cell: String,
    /// What is told.
    pub alert: Alert,
    /// The last record that can be trusted.
    pub seq: u64,
    /// When the control plane started.
    pub started_at: Timestamp,
    /// Its home.
    pub home: PathBuf,
    /// How what was not taken is sent again.
    pub pace: Pace,
    /// For how long.
    pub bounds: Bounds,
    /// How soon an Alertmanager is told again that did not take it.
    pub looks: Looks,
    /// Ends it.
    pub shutdown: CancellationToken,
}

impl Pager {
    /// Tells everybody, until `shutdown`. What keeps somebody from being told is logged and counted, and ends nothing: the control plane
    /// still shows what it can.
    pub async fn run(mut self) {
        let mut told = JoinSet::new();
        match Sender::new(self.pace) {
            Ok(sender) => self.begin(&sender, &mut told),
            Err(error) => {
                tracing::error!(%error, "nobody is told of the damaged journal: no client for HTTP can be made");
            }
        }
        self.shutdown.cancelled().await;
        told.shutdown().await;
    }

    fn begin(&mut self, sender: &Sender, told: &mut JoinSet<()>) {
        for target in std::mem::take(&mut self.settings.events) {
            if let Some(request) = self.request(&target) {
                let gives_up = self.started_at.saturating_add(self.bounds.age);
                let gives_up = gives_up.unwrap_or(Timestamp::MAX);
                told.spawn(tell(sender.clone(), target, request, gives_up));
            }
        }
        if self.settings.alerts.is_empty() {
            return;
        }
        let folder = place::folder(&self.home).unwrap_or_else(|error| {
            tracing::error!(%error, "the folder `notify` in the home cannot be made; the alert is told all the same");
            self.home.join("notify")
        });
        for target in std::mem::take(&mut self.settings.alerts) {
            let teller = AlertTeller {
                file: PlaceFile::of(&folder, &target.name),
                target,
                sender: sender.clone(),
                console_url: self.settings.console_url.clone(),
                look_every: self.looks.alerts,
                shutdown: self.shutdown.clone(),
            };
            let (cell, alert) = (self.cell.clone(), self.alert.clone());
            told.spawn(async move { teller.run_frozen(&cell, &alert).await });
        }
    }

    fn request(&self, target: &EventTarget) -> Option<Request> {
        let view = EventView {
            seq: self.seq,
            at: self.started_at,
            actor: Actor::Automation("control".to_owned()).to_string(),
            kind: KIND.to_owned(),
            text: self.alert.message.clone(),
            job: None,
            task: None,
            attempt: None,
            host: None,
            plan: None,
            data: serde_json::json!({ "event": KIND, "severity": "page" }),
        };
        let context = MessageContext {
            console_url: self.settings.console_url.clone(),
            ..MessageContext::default()
        };
        let link = context.link(&page_of(&view));
        // Each start is a delivery of its own: the record that it names may be told of for the second time.
        let delivery = format!("{}/{KIND}/{}", self.cell, self.started_at.as_millisecond());
        let made = request_of(target, &self.cell, &view, link.as_deref(), &delivery);
        made.unwrap_or_else(|why| {
            Counts::of(&target.name).failed();
            tracing::error!(
                target = target.name,
                why,
                "the damaged journal cannot be told"
            );
            None
        })
    }
}

async fn tell(sender: Sender, target: EventTarget, request: Request, gives_up: Timestamp) {
    let counts = Counts::of(&target.name);
    match sender.persist(&request, gives_up, &target.name).await {
        Ok(_) => counts.sent(),
        Err(error) => {
            counts.failed();
            tracing::error!(target = target.name, %error, "the damaged journal was not told");
        }
    }
}
