//! Which kind a record is of and what it is about: the columns that the journal is searched by.

use muster_schemas::event::Event;
use muster_schemas::ids::{AttemptId, HostId, PlanId, TaskId};

/// What a record is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Subjects {
    pub job: Option<String>,
    pub task: Option<String>,
    pub attempt: Option<String>,
    pub host: Option<String>,
    pub plan: Option<String>,
}

impl Subjects {
    fn task(mut self, task: &TaskId) -> Self {
        self.job = Some(task.job.to_string());
        self.task = Some(task.to_string());
        self
    }

    fn attempt(mut self, attempt: AttemptId) -> Self {
        self.attempt = Some(attempt.to_string());
        self
    }

    fn host(mut self, host: HostId) -> Self {
        self.host = Some(host.to_string());
        self
    }

    fn plan(mut self, plan: &PlanId) -> Self {
        self.plan = Some(plan.to_string());
        self
    }
}

/// An event's kind, as its JSON says it, and what the event itself names.
pub(super) fn subjects(event: &Event) -> (&'static str, Subjects) {
    let none = Subjects::default();
    match event {
        Event::LeadershipTaken { .. } => ("leadership_taken", none),
        Event::CellTakenDown { .. } => ("cell_taken_down", none),
        Event::HostEnrolled { host, .. } => ("host_enrolled", none.host(*host)),
        Event::HostConnected { host } => ("host_connected", none.host(*host)),
        Event::HostUnreachable { host } => ("host_unreachable", none.host(*host)),
        Event::HostReported { host, .. } => ("host_reported", none.host(*host)),
        Event::OrphansSeen { host, .. } => ("orphans_seen", none.host(*host)),
        Event::RepositoryTroubled { .. } => ("repository_troubled", none),
        Event::RepositoryRecovered => ("repository_recovered", none),
        Event::PlanMade { plan } => ("plan_made", none.plan(&plan.id)),
        Event::PlanApplied { plan } => ("plan_applied", none.plan(plan)),
        Event::PlanHeld { plan, .. } => ("plan_held", none.plan(plan)),
        Event::TaskCreated { task, .. } => ("task_created", none.task(task)),
        Event::TaskQueued { task, .. } => ("task_queued", none.task(task)),
        Event::TaskBlocked { task, .. } => ("task_blocked", none.task(task)),
        Event::AttemptPlaced {
            attempt,
            task,
            host,
            ..
        } => (
            "attempt_placed",
            none.task(task).attempt(*attempt).host(*host),
        ),
        Event::AttemptReported { status } => ("attempt_reported", none.attempt(status.attempt)),
        Event::StopOrdered { order } => {
            let about = none.attempt(order.attempt);
            let about = match &order.plan {
                Some(plan) => about.plan(plan),
                None => about,
            };
            ("stop_ordered", about)
        }
        Event::TaskFinished { task, .. } => ("task_finished", none.task(task)),
        Event::AttemptRetired { attempt } => ("attempt_retired", none.attempt(*attempt)),
        Event::AttemptForgotten { attempt } => ("attempt_forgotten", none.attempt(*attempt)),
        Event::TaskForgotten { task } => ("task_forgotten", none.task(task)),
        Event::JobForgotten { job } => (
            "job_forgotten",
            Subjects {
                job: Some(job.to_string()),
                ..none
            },
        ),
    }
}
