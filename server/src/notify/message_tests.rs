use super::*;
use crate::notify::filter::Filter;
use jiff::Timestamp;
use muster_schemas::ids::{AttemptId, CellName, HostId, TaskId};
use muster_schemas::state::Actor;

fn fleet() -> Fleet {
    let mut fleet = Fleet::default();
    fleet.apply(&record(
        1,
        Event::LeadershipTaken {
            cell: CellName::from("test"),
            version: "0.1.0".to_owned(),
        },
    ));
    fleet
}

fn record(seq: u64, event: Event) -> Record {
    Record {
        seq,
        at: Timestamp::UNIX_EPOCH,
        epoch: 1,
        actor: Actor::Person("ann".to_owned()),
        event,
    }
}

/// A plan that creates these jobs.
fn plan(jobs: &[String]) -> Plan {
    let changes: Vec<Value> = jobs
        .iter()
        .map(|job| {
            json!({
                "job": job, "fields": [], "starts": 1, "stops": 0, "replaces": 0, "notes": [],
                "action": {
                    "action": "create",
                    "target": {
                        "spec": {
                            "name": job, "app": "shop", "owner": "shop@example.com", "image": format!("registry.example.com/{job}:1"),
                            "service": {"capacity": {"desired": 1}},
                        },
                        "image": format!("registry.example.com/{job}@sha256:aa"),
                        "source": {"path": "jobs.yaml", "document": 0, "line": 1},
                        "replaces_tasks": true,
                    },
                },
            })
        })
        .collect();
    serde_json::from_value(json!({
        "id": "aa11", "parent": null, "changes": changes, "refused": [], "policy": null,
        "running": 0, "starts": 1, "stops": 0,
        "revision": {
            "commit": "c0ffee", "author": "Ann <ann@example.com>", "subject": "Add <b> & more",
            "committed_at": "2026-11-23T12:00:00Z",
        },
    }))
    .expect("a plan")
}

fn applied(jobs: &[String]) -> (Fleet, Record) {
    let mut fleet = fleet();
    fleet.apply(&record(
        2,
        Event::PlanMade {
            plan: Box::new(plan(jobs)),
        },
    ));
    let applied = record(
        3,
        Event::PlanApplied {
            plan: PlanId::from("aa11"),
        },
    );
    fleet.apply(&applied);
    (fleet, applied)
}

fn target(format: Format, filter: Filter) -> EventTarget {
    EventTarget {
        name: "target".to_owned(),
        url: "https://example.com/hook".parse().expect("an address"),
        filter,
        format,
    }
}

fn context() -> MessageContext {
    MessageContext {
        console_url: Some("https://muster.example.com".to_owned()),
        branch: "main".to_owned(),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn bodies(target: &EventTarget, fleet: &Fleet, record: &Record) -> Vec<Value> {
    let seen = see(target, fleet, record, &context());
    let made = requests(target, &seen, &context()).expect("messages");
    made.iter()
        .map(|request| serde_json::from_slice(&request.body).expect("JSON"))
        .collect()
}

fn spinnaker() -> Format {
    Format::Spinnaker {
        secret: None,
        parameters: BTreeMap::new(),
    }
}

#[test]
fn a_pipeline_is_started_for_each_job_that_a_plan_changes_and_the_filter_wants() {
    let (fleet, record) = applied(&names(&["api", "other", "web"]));
    let filter = Filter {
        jobs: names(&["web", "api"]).into_iter().collect(),
        ..Filter::default()
    };
    assert!(filter.wants(&fleet, &record));
    let bodies = bodies(&target(spinnaker(), filter), &fleet, &record);
    let jobs: Vec<&str> = bodies
        .iter()
        .filter_map(|body| body["job"].as_str())
        .collect();
    assert_eq!(jobs, ["api", "web"]);
    assert_eq!(bodies[1]["revision"], "c0ffee");
    assert_eq!(bodies[1]["plan"], "aa11");
    assert_eq!(bodies[1]["git"]["branch"], "main");
    assert_eq!(
        bodies[1]["artifacts"][0]["reference"],
        "registry.example.com/web@sha256:aa"
    );
    assert_eq!(bodies[1].get("secret"), None);

    // A held plan's new jobs are in no fleet yet, and their application is known all the same.
    let held = self::record(
        4,
        Event::PlanHeld {
            plan: PlanId::from("aa11"),
            reasons: Vec::new(),
        },
    );
    let shop = Filter {
        apps: names(&["shop"]).into_iter().collect(),
        ..Filter::default()
    };
    let mut before = self::fleet();
    before.apply(&self::record(
        2,
        Event::PlanMade {
            plan: Box::new(plan(&names(&["api"]))),
        },
    ));
    assert!(shop.wants(&before, &held));
    let nobody = Filter {
        apps: names(&["bank"]).into_iter().collect(),
        ..Filter::default()
    };
    assert!(!nobody.wants(&fleet, &record));
}

#[test]
fn a_plan_of_very_many_jobs_starts_a_bounded_number_of_pipelines() {
    let jobs: Vec<String> = (0..300).map(|number| format!("job-{number}")).collect();
    let (fleet, record) = applied(&jobs);
    let bodies = bodies(&target(spinnaker(), Filter::default()), &fleet, &record);
    assert_eq!(bodies.len(), MAX_TRIGGERS);
}

#[test]
fn a_chat_shows_words_of_people_as_words() {
    let fleet = fleet();
    let record = record(
        2,
        Event::CellTakenDown {
            reason: "<!channel> & <https://evil.example.com|ok>\n*now*".to_owned(),
        },
    );
    let bodies = bodies(&target(Format::Slack, Filter::default()), &fleet, &record);
    assert_eq!(
        bodies[0]["text"],
        "*test*: the cell was taken down by ann: &lt;!channel&gt; &amp; &lt;https://evil.example.com|ok&gt; *now* \
         <https://muster.example.com/events|Open>"
    );
}

#[test]
fn an_event_that_is_too_large_is_told_without_its_data() {
    let jobs: Vec<String> = (0..4000).map(|number| format!("job-{number}")).collect();
    let fleet = fleet();
    let record = record(
        2,
        Event::PlanMade {
            plan: Box::new(plan(&jobs)),
        },
    );
    let format = Format::Webhook {
        template: None,
        secret: None,
        token: None,
    };
    let bodies = bodies(&target(format, Filter::default()), &fleet, &record);
    assert!(bodies[0].to_string().len() < 1000);
    assert_eq!(bodies[0]["kind"], "plan_made");
    assert!(bodies[0]["data"]["left_out"].is_string());
}

#[test]
fn a_page_is_that_of_what_the_event_is_about() {
    let fleet = fleet();
    let page = |event: Event| page_of(&event_view(&fleet, &record(2, event)));
    let pages = [
        page(Event::RepositoryRecovered),
        page(Event::PlanApplied {
            plan: PlanId::from("aa11"),
        }),
        page(Event::TaskForgotten {
            task: "web.0".parse().expect("a task"),
        }),
        page(Event::JobForgotten {
            job: JobId::from("web"),
        }),
    ];
    assert_eq!(
        pages,
        ["/events", "/plans/aa11", "/tasks/web.0", "/jobs/web"]
    );
}

/// The event itself takes the attempt out of those that are on a host; its task remembers it.
#[test]
fn an_attempt_that_has_left_its_host_concerns_its_job_alone() {
    let (mut fleet, _) = applied(&names(&["web", "etl"]));
    let attempt = AttemptId(uuid::Uuid::from_u128(7));
    let task = TaskId::new("web".into(), 0);
    let host = HostId(uuid::Uuid::from_u128(1));
    let events = [
        Event::TaskCreated {
            task: task.clone(),
            version: 1,
            run: 0,
        },
        Event::AttemptPlaced {
            attempt,
            task,
            number: 1,
            host,
            version: 1,
        },
        Event::AttemptForgotten { attempt },
    ];
    let mut last = None;
    for event in events {
        let next = record(fleet.seq + 1, event);
        fleet.apply(&next);
        last = Some(next);
    }
    let forgotten = last.expect("there were events");
    let of = |jobs: &[&str], apps: &[&str]| Filter {
        jobs: names(jobs).into_iter().collect(),
        apps: names(apps).into_iter().collect(),
        ..Filter::default()
    };
    for (filter, wants) in [
        (of(&["web"], &[]), true),
        (of(&["etl"], &[]), false),
        (of(&[], &["shop"]), true),
        (of(&[], &["data"]), false),
        (of(&[], &[]), true),
    ] {
        assert_eq!(filter.wants(&fleet, &forgotten), wants, "{filter:?}");
    }
}
