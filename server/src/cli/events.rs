//! Watching: events as they happen, tasks as they change. Both rest on the API's resumable watch.

use crate::cli::client::{Client, ClientError, Query};
use crate::cli::rows;
use crate::cli::screen::{Screen, print};
use crate::cli::sse::{Next, Stream};
use jiff::Timestamp;
use muster_schemas::api::{EventView, FleetView, TaskView};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// The first wait before a lost watch is taken up again; it doubles up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// A restarted control plane is found again within this.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// After so long without a control plane a watch says so and ends.
const GIVE_UP_AFTER: Duration = Duration::from_secs(300);

/// The journal's events from now on. It survives lost connections without gap or duplicate.
struct Watch<'a> {
    client: &'a Client,
    after: u64,
    stream: Option<Stream>,
}

impl<'a> Watch<'a> {
    async fn begin(client: &'a Client) -> Result<Watch<'a>, ClientError> {
        let fleet: FleetView = client.get(&["fleet"], &Query::new()).await?;
        Ok(Watch {
            client,
            after: fleet.seq,
            stream: None,
        })
    }

    /// Waits for the next events: at least one.
    async fn next(&mut self) -> anyhow::Result<Vec<EventView>> {
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => {
                    let stream = self.connect().await?;
                    self.stream.insert(stream)
                }
            };
            match stream.next().await? {
                Next::Lost(why) => {
                    tracing::debug!(%why, "the watch is taken up again");
                    self.stream = None;
                }
                Next::Messages(messages) => {
                    let mut events = Vec::new();
                    for message in messages {
                        let event: EventView = serde_json::from_str(&message.data)?;
                        if event.seq > self.after {
                            self.after = event.seq;
                            events.push(event);
                        }
                    }
                    if !events.is_empty() {
                        return Ok(events);
                    }
                }
            }
        }
    }

    async fn connect(&self) -> Result<Stream, ClientError> {
        let query = vec![("after", self.after.to_string())];
        let began = tokio::time::Instant::now();
        let mut wait = FIRST_WAIT;
        let mut told = false;
        loop {
            match self.client.stream(&["watch"], &query).await {
                Ok(answer) => return Ok(Stream::new(answer)),
                Err(error @ ClientError::Unreachable { .. }) if began.elapsed() < GIVE_UP_AFTER => {
                    if !std::mem::replace(&mut told, true) {
                        eprintln!("{error}; trying again");
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LAST_WAIT);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Prints what happens until the command is ended. The filters are the list's; the watch has none, so they are applied here.
pub(super) async fn watch(
    query: &Query,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let mut watch = Watch::begin(client).await?;
    loop {
        for event in watch.next().await? {
            if wanted(&event, query) {
                print(&event_line(&event, screen)?)?;
            }
        }
    }
}

fn event_line(event: &EventView, screen: &Screen) -> anyhow::Result<String> {
    if screen.is_json() {
        return Ok(format!("{}\n", serde_json::to_string(event)?));
    }
    let at = crate::cli::time::seconds(event.at);
    let text = crate::cli::screen::tame(&event.text);
    Ok(format!(
        "{at}  {}  {text}\n",
        crate::cli::screen::tame(&event.actor)
    ))
}

/// Repeated filters of one name mean any of them; different names all have to hold.
fn wanted(event: &EventView, query: &Query) -> bool {
    let value = |name: &str| match name {
        "job" => event.job.as_deref(),
        "task" => event.task.as_deref(),
        "attempt" => event.attempt.as_deref(),
        "host" => event.host.as_deref(),
        "plan" => event.plan.as_deref(),
        "kind" => Some(event.kind.as_str()),
        _ => None,
    };
    query.iter().all(|(name, _)| {
        let mut any = query.iter().filter(|(other, _)| other == name);
        any.any(|(_, wanted)| value(name) == Some(wanted))
    })
}

/// Prints the tasks, then a line for each that changes, until the command is ended.
pub(super) async fn watch_tasks(
    query: &Query,
    limit: usize,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<ExitCode> {
    let mut watch = Watch::begin(client).await?;
    let mut seen = BTreeMap::new();
    loop {
        let listed = client.list(&["tasks"], query, limit).await?;
        let now = Timestamp::now();
        let changed = changes(&mut seen, listed.typed()?);
        if screen.is_json() {
            for task in &changed {
                print(&format!("{}\n", serde_json::to_string(task)?))?;
            }
        } else if !changed.is_empty() {
            print(&rows::tasks(&changed, now, screen.is_wide()).render(screen))?;
        }
        watch.next().await?;
        // A rollout makes many events at once: one look answers them all.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The tasks that are not as they were seen last.
fn changes(seen: &mut BTreeMap<String, TaskView>, tasks: Vec<TaskView>) -> Vec<TaskView> {
    let present: std::collections::BTreeSet<&str> =
        tasks.iter().map(|task| task.id.as_str()).collect();
    seen.retain(|id, _| present.contains(id.as_str()));
    let changed: Vec<TaskView> = tasks
        .iter()
        .filter(|task| seen.get(&task.id) != Some(*task))
        .cloned()
        .collect();
    seen.extend(tasks.into_iter().map(|task| (task.id.clone(), task)));
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wiremock::matchers::{path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    fn event(seq: u64, task: &str) -> EventView {
        serde_json::from_value(json!({
            "seq": seq, "at": "2026-11-22T10:00:00Z", "actor": "schedule", "kind": "attempt_placed",
            "text": format!("{task} goes to alpha"), "job": "web", "task": task, "attempt": null, "host": null,
            "plan": null, "data": {}
        }))
        .unwrap()
    }

    #[test]
    fn filters_of_one_name_are_any_and_of_several_all() {
        let event = event(1, "web.0");
        let check = |query: &[(&'static str, &str)]| {
            let query: Query = query
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect();
            wanted(&event, &query)
        };
        assert!(check(&[]));
        assert!(check(&[("task", "web.1"), ("task", "web.0")]));
        assert!(!check(&[("task", "web.0"), ("kind", "job_changed")]));
        assert!(!check(&[("attempt", "x")]));
    }

    #[tokio::test]
    async fn a_lost_watch_goes_on_without_gap_or_duplicate() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = MockServer::start().await;
        let body = |events: &[EventView]| {
            let mut text = String::from(": here\n\n");
            for event in events {
                let data = serde_json::to_string(event).unwrap();
                text.push_str(&format!("id: {}\ndata: {data}\n\n", event.seq));
            }
            ResponseTemplate::new(200).set_body_raw(text, "text/event-stream")
        };
        for (after, events) in [
            ("5", vec![event(6, "web.0"), event(7, "web.1")]),
            ("7", vec![event(7, "web.1"), event(8, "web.2")]),
        ] {
            Mock::given(path("/api/v1/watch"))
                .and(query_param("after", after))
                .respond_with(body(&events))
                .mount(&server)
                .await;
        }
        let client = Client::new(&server.uri(), None).unwrap();
        let mut watch = Watch {
            client: &client,
            after: 5,
            stream: None,
        };
        let mut seqs = Vec::new();
        while seqs.len() < 3 {
            seqs.extend(watch.next().await.unwrap().iter().map(|event| event.seq));
        }
        assert_eq!(seqs, [6, 7, 8]);
    }
}
