//! Alertmanager gets the alerts that the console shows: those that fire, again and again, and each once more when it is over.

use super::count::Counts;
use super::place::{Found, PlaceFile};
use super::send::{Request, Sender};
use super::settings::AlertTarget;
use super::{Source, look};
use jiff::{SignedDuration, Timestamp};
use muster_core::view::alerts;
use muster_schemas::api::{Alert, Severity};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the alerts are looked at: within this time a new one is told.
const LOOK: Duration = Duration::from_secs(5);

/// Alerts that still fire are told again after so long, as Alertmanager expects it of who sends to it.
const AGAIN: SignedDuration = SignedDuration::from_secs(60);

/// An alert is over after so long without being told again: a control plane that is gone leaves none behind for ever.
const HOLDS: SignedDuration = SignedDuration::from_secs(300);

/// What makes an alert the one that it is. Its words are no label: they change while it fires.
pub(super) const OWN_LABELS: [&str; 5] = ["alertname", "severity", "cell", "about", "source"];

/// Alerts that were told to fire, by what makes each the one that it is, with when each began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Firing(BTreeMap<String, FiringAlert>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FiringAlert {
    code: String,
    severity: String,
    about: String,
    message: String,
    since: Timestamp,
}

impl Firing {
    /// The alerts that fire now. One that fired before goes on from when it began.
    fn of(alerts: &[Alert], before: &Self, now: Timestamp) -> Self {
        let firing = alerts.iter().map(|alert| {
            let key = format!("{} {}", alert.code, alert.link);
            let since = before.0.get(&key).map(|known| known.since);
            let alert = FiringAlert {
                code: alert.code.clone(),
                severity: match alert.severity {
                    Severity::Page => "page",
                    Severity::Warning => "warning",
                }
                .to_owned(),
                about: alert.link.clone(),
                message: alert.message.clone(),
                since: since.or(alert.since).unwrap_or(now),
            };
            (key, alert)
        });
        Self(firing.collect())
    }

    /// These and those.
    fn with(mut self, others: &Self) -> Self {
        self.0.extend(
            others
                .0
                .iter()
                .map(|(key, alert)| (key.clone(), alert.clone())),
        );
        self
    }

    /// Whether others fire than before.
    fn differs(&self, before: &Self) -> bool {
        !self.0.keys().eq(before.0.keys())
    }
}

/// What Alertmanager is sent: all that fires, and what fired before and does not any more.
fn body(
    target: &AlertTarget,
    cell: &str,
    console_url: Option<&str>,
    firing: &Firing,
    before: &Firing,
    now: Timestamp,
) -> Value {
    let over = before
        .0
        .iter()
        .filter(|(key, _)| !firing.0.contains_key(*key))
        .map(|(_, alert)| (alert, now));
    let until = now.saturating_add(HOLDS).unwrap_or(Timestamp::MAX);
    let all = firing.0.values().map(|alert| (alert, until)).chain(over);
    let alerts = all.map(|(alert, ends_at)| {
        let mut labels: BTreeMap<&str, &str> = target
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        labels.extend([
            ("alertname", alert.code.as_str()),
            ("severity", &alert.severity),
            ("cell", cell),
            ("about", &alert.about),
            ("source", "muster"),
        ]);
        let mut posted = json!({
            "labels": labels,
            "annotations": { "summary": alert.message },
            "startsAt": alert.since,
            "endsAt": ends_at,
        });
        if let Some(console) = console_url {
            posted["generatorURL"] = json!(format!("{console}{}", alert.about));
        }
        posted
    });
    Value::Array(alerts.collect())
}

/// What tells one Alertmanager.
pub(super) struct AlertTeller {
    pub target: AlertTarget,
    pub sender: Sender,
    pub console_url: Option<String>,
    /// What it was last told to fire, so that what ends while the control plane is away is told to be over.
    pub file: PlaceFile<Firing>,
    pub look_every: Duration,
    pub shutdown: CancellationToken,
}

/// How often the alerts are looked at, where nothing else is said.
pub(super) fn look_every() -> Duration {
    LOOK
}

/// The longest pause after an Alertmanager has not taken what it was told.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

impl AlertTeller {
    /// What it was last told to fire.
    async fn told(&self) -> Firing {
        match self.file.read().await {
            Found::Place(firing) => firing,
            // What it may have been told to fire ends by itself.
            Found::Nothing | Found::Damaged(_) => Firing::default(),
        }
    }

    /// Tells the alerts of a fleet until the control plane ends.
    pub(super) async fn run(self, source: Arc<dyn Source>) {
        let counts = Counts::of(&self.target.name);
        let mut told = self.told().await;
        let mut told_at: Option<Timestamp> = None;
        let mut pause = self.look_every;
        loop {
            let now = Timestamp::now();
            let trouble = source.journal_trouble();
            let (cell, alerts) = look(source.as_ref(), |fleet| {
                let alerts = alerts(fleet, trouble.as_deref(), now);
                (fleet.cell.to_string(), alerts)
            });
            let firing = Firing::of(&alerts, &told, now);
            let is_due = told_at.is_none_or(|at| now.duration_since(at) >= AGAIN);
            let has_news = firing.differs(&told);
            if has_news || (is_due && firing != Firing::default()) {
                match self.tell(&cell, &firing, &told, now).await {
                    Ok(()) => {
                        counts.sent();
                        if has_news {
                            self.file.write(&firing).await;
                        }
                        told = firing;
                        told_at = Some(now);
                        pause = self.look_every;
                    }
                    Err(error) => {
                        counts.failed();
                        tracing::warn!(target = self.target.name, %error, "alerts were not taken; they are told again after a pause");
                        // What is told next time is how it is then: there is nothing to repeat.
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Tells one alert until the control plane ends. Nothing is said of what fired before: nobody knows whether it is over. The next
    /// control plane that leads says so of that, and of this one.
    pub(super) async fn run_frozen(self, cell: &str, alert: &Alert) {
        let counts = Counts::of(&self.target.name);
        let told = self.told().await;
        let firing = Firing::of(std::slice::from_ref(alert), &told, Timestamp::now());
        let mut is_written = false;
        let mut after_failure = self.look_every;
        loop {
            let now = Timestamp::now();
            let pause = match self.tell(cell, &firing, &Firing::default(), now).await {
                Ok(()) => {
                    counts.sent();
                    if !is_written {
                        self.file.write(&told.clone().with(&firing)).await;
                        is_written = true;
                    }
                    after_failure = self.look_every;
                    AGAIN.unsigned_abs()
                }
                Err(error) => {
                    counts.failed();
                    tracing::warn!(target = self.target.name, %error, "the alert was not taken; it is told again after a pause");
                    after_failure = (after_failure * 2).min(LONGEST_PAUSE);
                    after_failure
                }
            };
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn tell(
        &self,
        cell: &str,
        firing: &Firing,
        before: &Firing,
        now: Timestamp,
    ) -> Result<(), super::send::SendError> {
        let console = self.console_url.as_deref();
        let body = body(&self.target, cell, console, firing, before, now);
        let mut request = Request::json(Method::POST, self.target.url.clone(), &body);
        if let Some(token) = &self.target.token {
            request = request.secret_header("authorization", "Bearer ", token);
        }
        self.sender.once(&request).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-23T{text}Z").parse().expect("a time")
    }

    fn alert(code: &str, link: &str, message: &str) -> Alert {
        Alert {
            severity: Severity::Page,
            code: code.to_owned(),
            message: message.to_owned(),
            link: link.to_owned(),
            since: None,
        }
    }

    #[test]
    fn an_alert_fires_from_when_it_began_and_is_told_to_be_over() {
        let target = AlertTarget {
            name: "am".to_owned(),
            url: "http://127.0.0.1/api/v2/alerts".parse().unwrap(),
            token: None,
            labels: BTreeMap::from([("team".to_owned(), "fleet".to_owned())]),
        };
        let none = Firing::default();
        let held = alert("plan-held", "/plans/5f3b", "Plan 5f3b is held.");
        let lost = alert("host-unreachable", "/hosts/1", "host-a is gone.");
        let first = Firing::of(&[held.clone(), lost.clone()], &none, at("12:00:00"));
        assert!(first.differs(&none));
        // Other words are the same alert.
        let reworded = alert("host-unreachable", "/hosts/1", "host-a is gone since noon.");
        let second = Firing::of(&[held, reworded], &first, at("12:01:00"));
        assert!(!second.differs(&first));
        let third = Firing::of(&[lost], &second, at("12:02:00"));
        assert!(third.differs(&second));
        let body = body(
            &target,
            "local",
            Some("https://muster.example.com"),
            &third,
            &second,
            at("12:02:00"),
        );
        insta::assert_json_snapshot!(body, @r#"
        [
          {
            "annotations": {
              "summary": "host-a is gone."
            },
            "endsAt": "2026-11-23T12:07:00Z",
            "generatorURL": "https://muster.example.com/hosts/1",
            "labels": {
              "about": "/hosts/1",
              "alertname": "host-unreachable",
              "cell": "local",
              "severity": "page",
              "source": "muster",
              "team": "fleet"
            },
            "startsAt": "2026-11-23T12:00:00Z"
          },
          {
            "annotations": {
              "summary": "Plan 5f3b is held."
            },
            "endsAt": "2026-11-23T12:02:00Z",
            "generatorURL": "https://muster.example.com/plans/5f3b",
            "labels": {
              "about": "/plans/5f3b",
              "alertname": "plan-held",
              "cell": "local",
              "severity": "page",
              "source": "muster",
              "team": "fleet"
            },
            "startsAt": "2026-11-23T12:00:00Z"
          }
        ]
        "#);
    }
}
