//! The typed reasons in words.

use super::{rollout, short};
use jiff::Timestamp;
use muster_schemas::deploy::TakeBackTrouble;
use muster_schemas::drift::{DriftCause, FieldDrift, Healing};
use muster_schemas::event::{RepositoryTrouble, SignatureFault};
use muster_schemas::state::{
    Blocked, BlockedBy, FinishReason, HostRefusal, QueueReason, ResourceKind, StopReason,
};
use muster_schemas::stop::StopRefusal;
use muster_schemas::wait::{NotStanding, WaitsFor};
use muster_schemas::wire::Fence;

/// Why a container is stopped.
pub fn stop(reason: &StopReason) -> String {
    match reason {
        StopReason::Rollout { to_version } => format!("replaced by version {to_version}"),
        StopReason::ScaleIn => "the job asks for fewer tasks".to_owned(),
        StopReason::Prune => "its document was removed and the policy prunes".to_owned(),
        StopReason::Liveness { message } => format!("its liveness probe failed: {message}"),
        StopReason::RuntimeLimit { limit } => {
            format!("it ran longer than its runtime limit of {limit}")
        }
        StopReason::Drift { field, message } => {
            format!(
                "somebody changed its {field} beside Muster, and it cannot be put back while it runs: {message}"
            )
        }
        StopReason::Asked { message } => message.clone(),
        StopReason::Down => "the cell was taken down".to_owned(),
    }
}

/// The place in a history that orders rest on.
pub fn fence(fence: Fence) -> String {
    format!("record {} of epoch {}", fence.seq, fence.epoch)
}

/// What a host does that is ahead of this control plane, and what that comes of; after the host's name.
pub fn ahead(highest: Fence) -> String {
    format!(
        "follows orders that rest on {}, which this control plane's journal does not have: an older copy of its home was \
         restored, or another control plane leads; it takes no orders from here, and its containers run on",
        fence(highest)
    )
}

/// What to do about a host that is ahead.
pub fn ahead_advice(host: &str) -> String {
    format!(
        "restore the newest copy of the control plane's home; if there is none, and no other control plane leads, `muster \
         take-host {host} --reason …` has it follow this one"
    )
}

/// What the owner of a job that manages its stops itself is asked for.
pub fn asked(reason: &StopReason, until: Timestamp, now: Timestamp) -> String {
    format!(
        "it has to be stopped: {}; its owner is asked to do so (`muster stop`) until {}, then it is done",
        stop(reason),
        clock(until, now)
    )
}

/// The jobs that a version waits for, and what each lacks.
pub fn waits_for(waits: &[WaitsFor]) -> String {
    let named: Vec<String> = waits
        .iter()
        .map(|wait| format!("{}: {}", wait.job, not_standing(&wait.why)))
        .collect();
    named.join("; ")
}

/// Why a job does not stand as the repository says.
pub fn not_standing(why: &NotStanding) -> String {
    match why {
        NotStanding::Missing => "there is no such job yet".to_owned(),
        NotStanding::Refused => "its document is refused".to_owned(),
        NotStanding::KeptBack => "a change of it is kept back".to_owned(),
        NotStanding::Removed => "its document was removed".to_owned(),
        NotStanding::Waits => "it waits for others itself".to_owned(),
        NotStanding::Unsettled {
            settled,
            desired,
            outdated,
        } => {
            let older = match outdated {
                0 => String::new(),
                older => format!(", {older} on an older version"),
            };
            format!("{settled} of {desired} healthy on its version{older}")
        }
        NotStanding::Unfinished { succeeded, size } => {
            format!("{succeeded} of {} succeeded", tasks(*size))
        }
        NotStanding::Failed { failed, size } => {
            format!("{failed} of {} did not succeed", tasks(*size))
        }
    }
}

fn tasks(count: u32) -> String {
    counted(u64::from(count), "task", "tasks")
}

/// What an automated stop waits for.
pub fn stop_refusal(refusal: &StopRefusal, now: Timestamp) -> String {
    let next = |until: &Option<Timestamp>| {
        until.map_or(String::new(), |until| {
            format!("; the next one is allowed at {}", clock(until, now))
        })
    };
    match refusal {
        StopRefusal::Frozen { freeze } => format!("the end of a freeze: {freeze}"),
        StopRefusal::FrozenByPolicy { reason } => {
            format!("the end of a freeze: the policy freezes the cell: {reason}")
        }
        StopRefusal::BudgetSpent { per_minute, until } => format!(
            "the stop budget: {} a minute are allowed{}",
            automated_stops(*per_minute),
            next(until)
        ),
        StopRefusal::PartBudgetSpent { part, per_minute } => format!(
            "the stop budget of {part}: no more than {} a minute",
            automated_stops(*per_minute)
        ),
        StopRefusal::TooFewHealthy { healthy, floor } => format!(
            "its disruption budget: {} healthy, and {floor} have to stay so",
            counted(u64::from(*healthy), "task is", "tasks are")
        ),
        StopRefusal::RateSpent {
            allowed,
            interval,
            until,
        } => format!(
            "its disruption budget: {} may go in {interval}{}",
            counted(u64::from(*allowed), "task", "tasks"),
            next(&Some(*until))
        ),
        StopRefusal::OutOfWindows { until } => format!(
            "its disruption budget: none of its windows is open{}",
            next(until)
        ),
        StopRefusal::TakenTooOften { limit } => format!(
            "its disruption budget: it was taken {} already, and no more is allowed",
            counted(u64::from(*limit), "time", "times")
        ),
        StopRefusal::OwnerNotAsked { relocation_time } => {
            format!("its owner, who is asked first and gets {relocation_time}")
        }
        StopRefusal::OwnerAsked { until } => format!(
            "its owner, who is asked to do it until {}",
            clock(*until, now)
        ),
    }
}

/// A field of a container that was changed.
pub fn field_drift(drift: &FieldDrift) -> String {
    let FieldDrift {
        field,
        wanted,
        found,
        stuck,
    } = drift;
    match stuck {
        None => format!("{field} is {found}, not {wanted}"),
        Some(why) => format!("{field} is {found}, not {wanted}, and cannot be put back: {why}"),
    }
}

/// Who, or what, made that something is not as git says.
pub fn drift_cause(cause: &DriftCause) -> String {
    match cause {
        DriftCause::OnHost { host } => format!("somebody on {host}, not Muster"),
        DriftCause::Scaled { by, reason } => format!("{by}, by muster scale: {reason}"),
        DriftCause::Held { plan, by } => format!(
            "the guard, which holds plan {} of {by}",
            short(plan.as_str())
        ),
        DriftCause::PlanRefused { plan, by, reason } => {
            format!("{by}, who refused plan {}: {reason}", short(plan.as_str()))
        }
        DriftCause::Withheld { plan: _, reason } => reason.to_string(),
        DriftCause::RolloutAborted { by, reason } => {
            format!("{by}, by aborting its rollout: {}", rollout::abort(reason))
        }
        DriftCause::DocumentRefused { at, message, by } => {
            format!("{by}, whose document does not hold: {at}: {message}")
        }
        DriftCause::Undeclared {
            removed_by: Some((commit, author)),
        } => format!(
            "{author}, whose commit {} removed its document",
            short(commit.as_str())
        ),
        DriftCause::Undeclared { removed_by: None } => {
            "a commit that removed its document".to_owned()
        }
    }
}

/// What will happen about something that is not as git says.
pub fn healing(healing: &Healing, now: Timestamp) -> String {
    match healing {
        Healing::Shown => "nothing by itself: the policy does not say `selfHeal: true`".to_owned(),
        Healing::PutBack => "it is put back while the container runs".to_owned(),
        Healing::Replace { message } => format!(
            "the container is replaced as soon as enough others are healthy: it cannot be put back while it runs: {message}"
        ),
        Healing::UntilEnd { message } => format!(
            "it stays until the task ends: it cannot be put back while the container runs: {message}"
        ),
        Healing::Stopping => "its container is being stopped".to_owned(),
        Healing::Frozen { message } => format!("nothing for now: {message}"),
        Healing::Expires { at } => format!("it ends by itself at {}", clock(*at, now)),
        Healing::AfterHold => {
            "it goes ahead once the plan is approved, or its time has come".to_owned()
        }
        Healing::NextCommit => "nothing by itself: the next commit can settle it".to_owned(),
        Healing::Retry => {
            "nothing by itself: `muster rollout retry` tries it again, and the next commit begins another".to_owned()
        }
        Healing::AfterFreeze => "it is made good once the freeze has ended".to_owned(),
        Healing::Pruned { at } => format!(
            "its tasks are stopped at {}, unless its document is back",
            clock(*at, now)
        ),
    }
}

fn automated_stops(count: u32) -> String {
    counted(u64::from(count), "automated stop", "automated stops")
}

/// Why a task is queued, and when its next attempt comes; `now` decides what is still to come.
pub fn queued(reason: &QueueReason, not_before: Timestamp, now: Timestamp) -> String {
    let next = if not_before > now {
        format!("the next attempt comes at {}", clock(not_before, now))
    } else {
        "the next attempt comes as soon as a host takes it".to_owned()
    };
    match reason {
        QueueReason::New if not_before > now => format!("new; {next}"),
        QueueReason::New => "new; waits for a host".to_owned(),
        QueueReason::Retry { message } => format!("{message}; {next}"),
        QueueReason::CrashLoop { message, failures } => {
            format!("{message}; {next} (crash loop: {failures} short attempts in a row)")
        }
        QueueReason::Stopped { reason } => format!("stopped: {}; {next}", stop(reason)),
    }
}

/// Why a task that never ran is not started.
pub const NOT_ASKED_FOR: &str =
    "no document asks for it any more, and it has never run: it is not started";

/// Why a task is finished.
pub fn finished(reason: &FinishReason) -> String {
    match reason {
        FinishReason::Done => "it did its work".to_owned(),
        FinishReason::RetriesExhausted {
            retries: 0,
            message,
        } => format!("{message}; its policy allows no retry"),
        FinishReason::RetriesExhausted { retries, message } => format!(
            "{message}; its policy allows no more than {}",
            counted(u64::from(*retries), "retry", "retries")
        ),
        FinishReason::RuntimeLimit { limit } => {
            format!("it ran longer than its runtime limit of {limit} and is not retried on it")
        }
        FinishReason::Stopped { reason } => format!("stopped: {}", stop(reason)),
        FinishReason::NotNeeded { reason } => {
            format!("not needed any more before it started: {}", stop(reason))
        }
    }
}

/// What is wrong with the repository and what to do about it.
pub fn repository_trouble(trouble: &RepositoryTrouble) -> String {
    let todo = match trouble {
        RepositoryTrouble::Unreachable { .. } => "check its address, credentials and network",
        RepositoryTrouble::NoBranch { .. } => {
            "push a commit to the branch, or follow another branch"
        }
        RepositoryTrouble::Empty { .. } => {
            "push a commit that holds the documents; to end all jobs, remove them one by one"
        }
        RepositoryTrouble::UnrelatedHistory { .. } => {
            "push a commit that descends from the applied revision"
        }
        RepositoryTrouble::Unreadable { .. } => "push a commit that can be read",
        RepositoryTrouble::Unsigned { why, .. } => unsigned(why),
    };
    format!("{trouble}; the last good state holds and nothing is stopped: {todo}")
}

/// What to do about a commit that is not signed.
fn unsigned(why: &SignatureFault) -> &'static str {
    match why {
        SignatureFault::Missing
        | SignatureFault::UnknownKey { .. }
        | SignatureFault::Invalid { .. }
        | SignatureFault::SignerExpired { .. } => {
            "push a head that a signer of the policy has signed (`git commit -S`); where every commit has to be signed, take \
             this one off the branch or sign it anew"
        }
        SignatureFault::TooMany { .. } => {
            "push fewer commits at a time: first an earlier one of them, and the rest once that is applied"
        }
    }
}

/// Why no host takes a task: the most frequent reasons.
pub fn blocked(blocked: &Blocked) -> String {
    if blocked.hosts == 0 {
        return "no host can take it: there is no host; add one with `muster agent --join`"
            .to_owned();
    }
    let reasons = blocked_reasons(blocked);
    // A sentence with more than three reasons is not read; the task's page has all of them.
    let shown = reasons
        .iter()
        .take(3)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    let more = reasons.len().saturating_sub(3);
    let more = match more {
        0 => String::new(),
        more => format!("; and {more} more reasons"),
    };
    format!(
        "none of {} can take it: {shown}{more}",
        counted(u64::from(blocked.hosts), "host", "hosts")
    )
}

/// That a task that waits is placed soon: these hosts can take it.
pub fn has_room(hosts: &[String], ahead: u32) -> String {
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let hosts = join_names(&names, names.len() as u64);
    match ahead {
        0 => format!("it is placed in the next pass: {hosts} can take it"),
        ahead => format!(
            "{} before it; after that it goes to what they leave: {hosts} can take it now",
            counted(u64::from(ahead), "task is placed", "tasks are placed")
        ),
    }
}

/// One sentence for each reason, with its count and examples.
pub fn blocked_reasons(blocked: &Blocked) -> Vec<String> {
    blocked.reasons.iter().map(blocked_by).collect()
}

fn blocked_by(by: &BlockedBy) -> String {
    let names: Vec<&str> = by.examples.iter().map(String::as_str).collect();
    let hosts = counted(u64::from(by.count), "host", "hosts");
    // Each of them may be in another zone.
    let why = match &by.refusal {
        HostRefusal::WrongZone { .. } => "in no zone that the job names".to_owned(),
        other => refusal(other),
    };
    if names.is_empty() {
        return format!("{hosts}: {why}");
    }
    format!(
        "{hosts}: {why}: {}",
        join_names(&names, u64::from(by.count))
    )
}

/// Why a host cannot take a task.
pub fn refusal(refusal: &HostRefusal) -> String {
    match refusal {
        HostRefusal::Unreachable => "its agent is not connected".to_owned(),
        HostRefusal::NotReady { message } => format!("not ready: {message}"),
        HostRefusal::TooLittle {
            resource,
            free,
            needed,
        } => format!(
            "too little {} (has {} free, needs {})",
            resource_word(*resource),
            amount(*resource, *free),
            amount(*resource, *needed)
        ),
        HostRefusal::PortTaken { port } => format!("host port {port} is taken"),
        HostRefusal::NotUnique => {
            "it runs a task of this job, and the job wants unique hosts".to_owned()
        }
        HostRefusal::NotExclusive => {
            "it runs tasks of other jobs, and this job wants a host of its own".to_owned()
        }
        HostRefusal::TakenExclusively { job } => {
            format!("job {job}, which wants a host of its own, runs there")
        }
        HostRefusal::ZoneUnbalanced { zone } => {
            format!("zone {zone} has more of the job's tasks than another zone")
        }
        HostRefusal::WrongZone { zone } => format!("it is in zone {zone}"),
        HostRefusal::WrongHost => "it is not one of the hosts that the job names".to_owned(),
        HostRefusal::LabelMissing { label } => format!("it lacks the label {label}"),
        HostRefusal::KeptFor { task } => {
            format!("what is free there is kept for {task}, which ran there and comes back")
        }
        HostRefusal::Busy { launching } => format!(
            "busy with {}",
            counted(u64::from(*launching), "launch", "launches")
        ),
    }
}

pub(super) fn resource_word(resource: ResourceKind) -> &'static str {
    match resource {
        ResourceKind::Cpu => "CPU",
        ResourceKind::Memory => "memory",
        ResourceKind::Disk => "disk",
        ResourceKind::Network => "network bandwidth",
        ResourceKind::Gpu => "GPU",
        ResourceKind::Containers => "room for containers",
    }
}

pub(super) fn amount(resource: ResourceKind, amount: u64) -> String {
    match resource {
        ResourceKind::Cpu => format!("{} CPUs", thousandths(amount)),
        ResourceKind::Memory | ResourceKind::Disk => size(amount),
        ResourceKind::Network => format!("{amount} Mbps"),
        ResourceKind::Gpu => counted(amount, "GPU", "GPUs"),
        ResourceKind::Containers => counted(amount, "container", "containers"),
    }
}

fn thousandths(amount: u64) -> String {
    let text = format!("{}.{:03}", amount / 1000, amount % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes for people: in the largest unit that leaves a whole part, with at most one decimal.
pub fn size(bytes: u64) -> String {
    for (unit, size) in [
        ("TiB", 1u64 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ] {
        if bytes >= size {
            // Cut, not rounded: what is free must not look like more than it is.
            let tenths = u128::from(bytes) * 10 / u128::from(size);
            return match tenths % 10 {
                0 => format!("{} {unit}", tenths / 10),
                tenth => format!("{}.{tenth} {unit}", tenths / 10),
            };
        }
    }
    format!("{bytes} B")
}

/// A time for people: the time of day, with the date where that is not the day of `now`.
pub fn clock(at: Timestamp, now: Timestamp) -> String {
    let day = |time: Timestamp| time.strftime("%Y-%m-%d").to_string();
    if day(at) == day(now) {
        format!("{} UTC", at.strftime("%H:%M:%S"))
    } else {
        format!("{} UTC", at.strftime("%Y-%m-%d %H:%M:%S"))
    }
}

/// A count with its noun.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// At most five names of `count`, and how many more there are.
pub fn join_names(names: &[&str], count: u64) -> String {
    let shown = &names[..names.len().min(5)];
    let more = count.saturating_sub(u64::try_from(shown.len()).unwrap_or(u64::MAX));
    let shown = shown.join(", ");
    match more {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Why a deploy's change still stands in git.
pub fn take_back_trouble(trouble: &TakeBackTrouble) -> String {
    match trouble {
        TakeBackTrouble::Repository { message } => {
            format!("the repository could not be read or written: {message}")
        }
        TakeBackTrouble::Conflict { message } => {
            format!("its document cannot be put back: {message}")
        }
        TakeBackTrouble::Missing { message } => {
            format!("what it was before is not there: {message}")
        }
    }
}
