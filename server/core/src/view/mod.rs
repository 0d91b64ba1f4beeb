//! The fleet as the API shows it: pure functions from [`Fleet`](crate::fleet::Fleet) to the types of
//! `muster_schemas::api`.
//!
//! None of them copies the fleet, and each list is one pass over it, so that 20,000 tasks are shown under a short read lock.

mod alert;
mod commit;
mod deploy;
mod diff;
mod disruption;
mod drift;
mod event;
mod explain;
mod filter;
mod fleet;
mod host;
mod job;
mod page;
mod plan;
mod rollout;
mod task;
#[cfg(test)]
mod tests;

pub use alert::{BLOCKED_ALERT_SECS, MAX_ALERTS, alerts, journal_alert};
pub use commit::{CommitState, CommitStatus, commit_statuses};
pub use deploy::{deploy_view, deploys};
pub use diff::{ACTS, diff};
pub use drift::{DriftFilter, drift_counts, drift_view, drifts};
pub use event::event_view;
pub use explain::{explain, why_not};
pub use filter::{DeployFilter, HostFilter, JobFilter, PlanFilter, TaskFilter};
pub use fleet::{Serving, fleet_view, task_counts};
pub use host::{host_view, hosts};
pub use job::{JobTally, job_detail, job_view, jobs};
pub use page::Page;
pub use plan::{plan_view, plan_view_of, plans, status as plan_status};
pub use rollout::trouble as rollout_trouble;
pub use task::{attempt_view, task_detail, task_view, tasks};
