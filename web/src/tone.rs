//! The states' words, shapes and colours. A colour never stands alone: each tone has a shape, and each state a word.

use muster_schemas::api::{JobStatus, JobView, PlanStatus, Severity, TaskView};
use muster_schemas::deploy::DeployStatus;
use muster_schemas::state::{Outcome, TaskState};

/// What a state means for the one who looks: it chooses the colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Something is under way.
    Busy,
    /// It waits, or is not as it should be, and may mend by itself.
    Wait,
    /// Somebody is to look.
    Bad,
    /// Over, or nothing to do.
    Quiet,
}

impl Tone {
    /// The class that the style sheet colours.
    pub fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Busy => "busy",
            Tone::Wait => "wait",
            Tone::Bad => "bad",
            Tone::Quiet => "quiet",
        }
    }
}

/// The shape beside the word; each is told apart without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A full disc: runs and is healthy.
    Disc,
    /// A half disc: runs, but not all is well.
    Half,
    /// A ring: waits.
    Ring,
    /// A triangle to the right: starts or goes on.
    Play,
    /// A square: stops.
    Square,
    /// A check mark: ended well.
    Check,
    /// A cross: ended badly.
    Cross,
    /// A warning triangle.
    Warning,
    /// A barred ring: cannot go on.
    Barred,
    /// A dash: nothing there.
    Dash,
}

/// How a state looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Its word.
    pub word: &'static str,
    /// Its shape.
    pub shape: Shape,
    /// Its meaning.
    pub tone: Tone,
}

const fn look(word: &'static str, shape: Shape, tone: Tone) -> Look {
    Look { word, shape, tone }
}

/// How a job's status looks.
pub fn job(job: &JobView) -> Look {
    status(job.status)
}

/// How a status looks.
pub fn status(status: JobStatus) -> Look {
    match status {
        JobStatus::Running => look("running", Shape::Disc, Tone::Good),
        JobStatus::Progressing => look("progressing", Shape::Play, Tone::Busy),
        JobStatus::Degraded => look("degraded", Shape::Half, Tone::Wait),
        JobStatus::CrashLoop => look("crash loop", Shape::Warning, Tone::Bad),
        JobStatus::Blocked => look("blocked", Shape::Barred, Tone::Bad),
        JobStatus::Tombstone => look("tombstone", Shape::Half, Tone::Wait),
        JobStatus::Stopping => look("stopping", Shape::Square, Tone::Busy),
        JobStatus::Succeeded => look("succeeded", Shape::Check, Tone::Quiet),
        JobStatus::Failed => look("failed", Shape::Cross, Tone::Bad),
        JobStatus::Idle => look("idle", Shape::Dash, Tone::Quiet),
    }
}

/// How a task looks: its state, or what matters more than the state.
pub fn task(task: &TaskView) -> Look {
    if !task.reachable && task.state != TaskState::Finished {
        return look("unreachable", Shape::Barred, Tone::Wait);
    }
    if task.crash_loop && task.state == TaskState::Queued {
        return look("crash loop", Shape::Warning, Tone::Bad);
    }
    match task.state {
        TaskState::Running if task.healthy => look("running", Shape::Disc, Tone::Good),
        TaskState::Running => look("running, not healthy", Shape::Half, Tone::Wait),
        TaskState::Finished => outcome(task.outcome),
        TaskState::Queued | TaskState::Assigned | TaskState::Starting | TaskState::Stopping => {
            state(task.state)
        }
    }
}

/// How a state looks when nothing more is known.
pub fn state(state: TaskState) -> Look {
    match state {
        TaskState::Queued => look("queued", Shape::Ring, Tone::Wait),
        TaskState::Assigned => look("assigned", Shape::Ring, Tone::Busy),
        TaskState::Starting => look("starting", Shape::Play, Tone::Busy),
        TaskState::Running => look("running", Shape::Disc, Tone::Good),
        TaskState::Stopping => look("stopping", Shape::Square, Tone::Busy),
        TaskState::Finished => look("finished", Shape::Dash, Tone::Quiet),
    }
}

/// How an end looks.
pub fn outcome(outcome: Option<Outcome>) -> Look {
    match outcome {
        Some(Outcome::Succeeded) => look("succeeded", Shape::Check, Tone::Quiet),
        Some(Outcome::Failed) => look("failed", Shape::Cross, Tone::Bad),
        Some(Outcome::Stopped) => look("stopped", Shape::Square, Tone::Quiet),
        Some(Outcome::Lost) => look("lost", Shape::Barred, Tone::Bad),
        None => state(TaskState::Finished),
    }
}

/// How a host looks.
pub fn host(reachable: bool, ready: bool) -> Look {
    match (reachable, ready) {
        (true, true) => look("ready", Shape::Disc, Tone::Good),
        (true, false) => look("not ready", Shape::Half, Tone::Wait),
        (false, _) => look("unreachable", Shape::Barred, Tone::Bad),
    }
}

/// How a plan looks.
pub fn plan(status: PlanStatus) -> Look {
    match status {
        PlanStatus::Applied => look("applied", Shape::Check, Tone::Quiet),
        PlanStatus::Held => look("held", Shape::Barred, Tone::Bad),
        PlanStatus::Refused => look("refused", Shape::Cross, Tone::Quiet),
        PlanStatus::Superseded => look("superseded", Shape::Dash, Tone::Quiet),
        PlanStatus::Proposed => look("proposed", Shape::Ring, Tone::Quiet),
    }
}

/// How a deploy looks.
pub fn deploy(status: DeployStatus) -> Look {
    match status {
        DeployStatus::Running => look("running", Shape::Play, Tone::Busy),
        DeployStatus::Succeeded => look("succeeded", Shape::Check, Tone::Quiet),
        DeployStatus::Failed => look("failed", Shape::Cross, Tone::Bad),
        DeployStatus::Canceled => look("canceled", Shape::Square, Tone::Quiet),
    }
}

/// How an alert looks.
pub fn severity(severity: Severity) -> Look {
    match severity {
        Severity::Page => look("page", Shape::Warning, Tone::Bad),
        Severity::Warning => look("warning", Shape::Half, Tone::Wait),
    }
}

/// What a plan does to a job, as a tone: what starts is good, what stops wants a look.
pub fn action(word: &str) -> Tone {
    match word {
        "create" | "redeclare" => Tone::Good,
        "update" => Tone::Busy,
        "prune" => Tone::Bad,
        "undeclare" => Tone::Wait,
        _ => Tone::Quiet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_task(change: impl FnOnce(&mut TaskView)) -> Look {
        let mut view = TaskView {
            id: "web.0".into(),
            job: "web".into(),
            index: 0,
            attempt: None,
            attempt_number: 0,
            state: TaskState::Running,
            reason: String::new(),
            healthy: true,
            reachable: true,
            crash_loop: false,
            failures: 0,
            not_before: None,
            host: None,
            host_id: None,
            ip: None,
            image: String::new(),
            version: 1,
            current_version: true,
            run: 0,
            container: None,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            started_at: None,
            finished_at: None,
            exit_code: None,
            signal: None,
            oom: false,
            outcome: None,
        };
        change(&mut view);
        task(&view)
    }

    #[test]
    fn what_matters_more_than_the_state_is_told_first() {
        assert_eq!(a_task(|_| ()).word, "running");
        assert_eq!(a_task(|t| t.healthy = false).word, "running, not healthy");
        assert_eq!(a_task(|t| t.reachable = false).word, "unreachable");
        assert_eq!(
            a_task(|t| {
                t.state = TaskState::Queued;
                t.crash_loop = true;
            })
            .word,
            "crash loop"
        );
        assert_eq!(
            a_task(|t| {
                t.state = TaskState::Finished;
                t.reachable = false;
                t.outcome = Some(Outcome::Failed);
            })
            .word,
            "failed"
        );
    }

    #[test]
    fn states_of_one_tone_have_different_shapes() {
        let looks: Vec<Look> = TaskState::ALL.into_iter().map(state).collect();
        for (place, one) in looks.iter().enumerate() {
            for other in &looks[place + 1..] {
                assert!(
                    one.tone != other.tone || one.shape != other.shape,
                    "{} and {} look alike",
                    one.word,
                    other.word
                );
            }
        }
    }
}
