//! The rules of a job.

use super::rollout::rollout;
use super::{Checks, disruption, host, is_label_text, probe};
use crate::specs::image;
use crate::specs::report::{Code, quoted};
use muster_schemas::spec::{
    Batch, Bytes, Capacity, CpuMillis, JobSpec, Mbps, Millis, Resources, RetryPolicy, Service,
};
use std::collections::BTreeSet;

/// Environment variables in all, names and values: as in Titus, and well within the kernel's bound on a program's
/// arguments and environment.
const MAX_ENV_BYTES: usize = 32 << 10;

/// Entrypoint and command in all, as in Titus for the entrypoint.
const MAX_COMMAND_BYTES: usize = 16 << 10;

/// More labels than anybody filters by; each stands on every container.
const MAX_LABELS: usize = 64;

/// A job that waits for more is a sign that they should wait for each other.
const MAX_DEPENDENCIES: usize = 32;

/// Each port is a row in the console and a rule in the engine.
const MAX_PORTS: usize = 64;

/// The least CPU that the engine can grant: 1 ms in each period of 100 ms.
const MIN_CPU: CpuMillis = CpuMillis(10);
const MAX_CPU: CpuMillis = CpuMillis(1_024_000);

/// The least memory that the Docker engine accepts.
const MIN_MEMORY: Bytes = Bytes::mib(6);
/// More than any machine that runs containers has today; a larger number is a slip.
const MAX_MEMORY: Bytes = Bytes::mib(64 << 20);
const MAX_DISK: Bytes = Bytes::mib(1 << 30);

/// `shm` may be this much whatever the memory is: it is the engine's default, and takes memory only as it is used.
const DEFAULT_SHM: Bytes = Bytes::mib(64);
const MIN_SHM: Bytes = Bytes(64 << 10);

/// The fastest network of a machine, as in Titus.
const MAX_NETWORK: Mbps = Mbps(400_000);

/// More GPUs than that are in no machine.
const MAX_GPU: u32 = 16;

/// A stop that takes longer would hold up every rollout.
const MAX_KILL_GRACE: Millis = Millis::secs(600);

/// As in Titus.
const MAX_RUNTIME_LIMIT: Millis = Millis::secs(10 * 86_400);

/// A delay beyond a day is no retry.
const MAX_RETRY_DELAY: Millis = Millis::secs(86_400);
const MAX_RETRIES: u32 = 10_000;

/// Checks everything about a job.
pub(in crate::specs) fn job(job: &JobSpec, checks: &mut Checks<'_>) {
    checks.name(&["name"], job.name.as_str());
    for (field, text) in [
        ("app", &job.app),
        ("stack", &job.stack),
        ("detail", &job.detail),
    ] {
        if let Some(text) = text {
            checks.label_text(&[field], text);
        }
    }
    checks.short_text(&["owner"], &job.owner, 254);
    checks.name(&["capacityGroup"], &job.capacity_group);
    labels(job, checks);
    if let Err(wrong) = image::check(&job.image) {
        checks.refuse(&["image"], Code::BadImage, wrong.message, wrong.help);
    }
    words(job, checks);
    env(job, checks);
    resources(&job.resources, checks);
    ports(job, checks);
    for (field, probe) in [("readiness", &job.readiness), ("liveness", &job.liveness)] {
        if let Some(probe) = probe {
            probe::check(field, probe, job, checks);
        }
    }
    host::security(&job.security, checks);
    host::constraints(&job.constraints, checks);
    checks.within(&["killGrace"], job.kill_grace, Millis(0), MAX_KILL_GRACE);
    kind(job, checks);
    depends_on(job, checks);
    if let Some(budget) = &job.disruption_budget {
        disruption::check(job, budget, checks);
    }
}

fn kind(job: &JobSpec, checks: &mut Checks<'_>) {
    match (&job.service, &job.batch) {
        (Some(_), Some(_)) => checks.refuse_key(
            &["batch"],
            Code::Contradiction,
            "a job is a service or a batch job, and this one is both",
            "delete `service` or `batch`; for both, write two documents with two names",
        ),
        (None, None) => {
            // Either may have been meant by what was refused.
            if checks.sound(&["service"]) && checks.sound(&["batch"]) {
                checks.refuse_key::<&str>(
                    &[],
                    Code::MissingField,
                    "the job is neither a service nor a batch job",
                    "add `service:` with `capacity: {desired: 1}` for tasks that run until they are replaced, or `batch:` \
                     with `size: 1` for tasks that finish",
                );
            }
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
    if let Some(service) = &job.service {
        self::service(service, checks);
    }
    if let Some(batch) = &job.batch {
        self::batch(batch, checks);
    }
}

/// That each name can be one; whether there are such jobs shows only beside the other documents.
fn depends_on(job: &JobSpec, checks: &mut Checks<'_>) {
    if job.depends_on.len() > MAX_DEPENDENCIES {
        checks.refuse_key(
            &["dependsOn"],
            Code::OutOfRange,
            format!("the job depends on {} others", job.depends_on.len()),
            format!("it can depend on at most {MAX_DEPENDENCIES}"),
        );
    }
    if job.hook().is_some() && !job.depends_on.is_empty() {
        checks.refuse_key(
            &["dependsOn"],
            Code::Contradiction,
            "a hook waits for nobody: all of a plan waits for it, or it for all of the plan",
            "delete `dependsOn`",
        );
    }
    let mut names = BTreeSet::new();
    for (index, name) in job.depends_on.iter().enumerate() {
        let index = index.to_string();
        let at = ["dependsOn", index.as_str()];
        checks.name(&at, name.as_str());
        if !names.insert(name) {
            checks.refuse(
                &at,
                Code::DuplicateValue,
                format!("{} stands there twice", quoted(name.as_str())),
                "name each job once",
            );
        }
    }
}

fn labels(job: &JobSpec, checks: &mut Checks<'_>) {
    if job.labels.len() > MAX_LABELS {
        let message = format!("the job has {} labels", job.labels.len());
        checks.refuse_key(
            &["labels"],
            Code::OutOfRange,
            message,
            format!("it can have at most {MAX_LABELS}"),
        );
    }
    for (key, value) in &job.labels {
        let path = ["labels", key.as_str()];
        if !is_label_text(key, 63, &['.', '_', '-', '/']) {
            checks.refuse_key(
                &path,
                Code::BadName,
                format!("a label cannot be named {}", quoted(key)),
                "it is made of letters, digits, and `.`, `_`, `-`, `/` between them; at most 63 characters",
            );
        } else if key == "muster" || key.starts_with("muster.") || key.starts_with("muster/") {
            checks.refuse_key(
                &path,
                Code::Reserved,
                format!("the label {} cannot be set", quoted(key)),
                "names that begin with `muster.` are Muster's own: take another one",
            );
        }
        if value.chars().nth(256).is_some() || value.chars().any(char::is_control) {
            checks.refuse(
                &path,
                Code::BadValue,
                format!(
                    "the value of the label {} is too long or not plain text",
                    quoted(key)
                ),
                "it is one line of at most 256 characters",
            );
        }
    }
}

/// Entrypoint and command.
fn words(job: &JobSpec, checks: &mut Checks<'_>) {
    let mut bytes = 0;
    for (field, words) in [("entrypoint", &job.entrypoint), ("command", &job.command)] {
        let Some(words) = words else { continue };
        bytes += words.iter().map(|word| word.len() + 1).sum::<usize>();
        if words.is_empty() && checks.sound(&[field]) {
            checks.refuse(
                &[field],
                Code::BadValue,
                format!("`{field}` is empty"),
                format!("delete the line to use the image's {field}"),
            );
        }
        command_words(&[field], words, checks);
    }
    if bytes > MAX_COMMAND_BYTES {
        let field = if job.command.is_some() {
            "command"
        } else {
            "entrypoint"
        };
        checks.refuse_key(
            &[field],
            Code::OutOfRange,
            format!("entrypoint and command have {bytes} bytes together"),
            format!("they can have at most {MAX_COMMAND_BYTES}; put longer scripts into the image"),
        );
    }
}

/// What no program can be started with.
pub(super) fn command_words(path: &[&str], words: &[String], checks: &mut Checks<'_>) {
    let field = path.last().copied().unwrap_or_default();
    if words.first().is_some_and(|word| word.is_empty()) {
        checks.refuse(
            path,
            Code::BadValue,
            format!("the first word of `{field}` is empty"),
            "it is the program to run",
        );
    }
    if words.iter().any(|word| word.contains('\0')) {
        checks.refuse(
            path,
            Code::BadValue,
            format!("`{field}` holds a NUL character"),
            "no program can be given one",
        );
    }
}

fn env(job: &JobSpec, checks: &mut Checks<'_>) {
    let bytes: usize = job
        .env
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2)
        .sum();
    if bytes > MAX_ENV_BYTES {
        checks.refuse_key(
            &["env"],
            Code::OutOfRange,
            format!("the environment variables have {bytes} bytes together"),
            format!(
                "they can have at most {MAX_ENV_BYTES}; put larger data into a file of the image"
            ),
        );
    }
    for (name, value) in &job.env {
        let path = ["env", name.as_str()];
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let holds = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        if !begins || !holds {
            checks.refuse_key(
                &path,
                Code::BadName,
                format!("an environment variable cannot be named {}", quoted(name)),
                "it is made of letters, digits, `_`, `.` and `-`, and begins with a letter or `_`",
            );
        } else if name.starts_with("MUSTER_") {
            checks.refuse_key(
                &path,
                Code::Reserved,
                format!("the environment variable {} cannot be set", quoted(name)),
                "names that begin with `MUSTER_` are set by Muster: take another one",
            );
        }
        if value.contains('\0') {
            let message = format!("the value of {} holds a NUL character", quoted(name));
            checks.refuse(
                &path,
                Code::BadValue,
                message,
                "no environment variable can hold one",
            );
        }
    }
}

fn resources(resources: &Resources, checks: &mut Checks<'_>) {
    checks.within(&["resources", "cpu"], resources.cpu, MIN_CPU, MAX_CPU);
    checks.within(
        &["resources", "memory"],
        resources.memory,
        MIN_MEMORY,
        MAX_MEMORY,
    );
    checks.within(&["resources", "disk"], resources.disk, Bytes(0), MAX_DISK);
    checks.within(
        &["resources", "network"],
        resources.network,
        Mbps(0),
        MAX_NETWORK,
    );
    checks.within(&["resources", "gpu"], resources.gpu, 0, MAX_GPU);
    let most = resources.memory;
    let is_default = resources.shm == DEFAULT_SHM;
    if checks.sound(&["resources", "memory"])
        && !is_default
        && (resources.shm < MIN_SHM || resources.shm > most)
    {
        checks.refuse(
            &["resources", "shm"],
            Code::OutOfRange,
            format!("`resources.shm` cannot be {}", resources.shm),
            format!(
                "it counts against the memory: it can be from {MIN_SHM} to {most}, or the default, {DEFAULT_SHM}"
            ),
        );
    }
}

fn ports(job: &JobSpec, checks: &mut Checks<'_>) {
    if job.ports.len() > MAX_PORTS {
        let message = format!("the job has {} ports", job.ports.len());
        checks.refuse_key(
            &["ports"],
            Code::OutOfRange,
            message,
            format!("it can have at most {MAX_PORTS}"),
        );
    }
    let mut names = BTreeSet::new();
    let mut host_ports = BTreeSet::new();
    for (index, port) in job.ports.iter().enumerate() {
        let index = index.to_string();
        let at = |field| ["ports", index.as_str(), field];
        let name = port.name.as_str();
        if !crate::specs::is_name(name) || name.len() > 15 {
            checks.refuse(
                &at("name"),
                Code::BadName,
                format!("a port cannot be named {}", quoted(name)),
                "it is made of lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen; \
                 at most 15 characters",
            );
        }
        if !names.insert(name) {
            let message = format!("two ports are named {}", quoted(name));
            checks.refuse(
                &at("name"),
                Code::DuplicateValue,
                message,
                "give each its own name: probes and links use it",
            );
        }
        if port.port == 0 {
            checks.within(&at("port"), 0, 1, u16::MAX);
        }
        match port.host_port {
            Some(0) => checks.within(&at("hostPort"), 0, 1, u16::MAX),
            Some(host_port) if !host_ports.insert(host_port) => checks.refuse(
                &at("hostPort"),
                Code::DuplicateValue,
                format!("two ports want the port {host_port} of the host"),
                "a port of the host can be had once: take another one",
            ),
            Some(_) | None => {}
        }
    }
}

fn service(service: &Service, checks: &mut Checks<'_>) {
    let Capacity { min, desired, max } = service.capacity;
    let at = |field| ["service", "capacity", field];
    for (field, value) in [("min", min), ("desired", desired), ("max", max)] {
        checks.within(&at(field), value, 0, Capacity::LIMIT);
    }
    // A number that is out of range by itself has been told; comparing it with the others would say it again.
    let told = desired > Capacity::LIMIT || min > Capacity::LIMIT || max > Capacity::LIMIT;
    let whole = ["min", "desired", "max"]
        .iter()
        .all(|field| checks.sound(&at(field)));
    if !told && whole {
        let help = "min ≤ desired ≤ max";
        if min > max {
            let message = format!("`min` is {min}, which is more than `max`, {max}");
            checks.refuse(&at("min"), Code::Contradiction, message, help);
        } else if desired < min {
            let message = format!("`desired` is {desired}, which is less than `min`, {min}");
            checks.refuse(&at("desired"), Code::Contradiction, message, help);
        } else if desired > max {
            let message = format!("`desired` is {desired}, which is more than `max`, {max}");
            checks.refuse(&at("desired"), Code::Contradiction, message, help);
        }
    }
    rollout(&service.rollout, checks);
    retry("service", &service.retry, checks);
}

fn batch(batch: &Batch, checks: &mut Checks<'_>) {
    checks.within(&["batch", "size"], batch.size, 1, Batch::LIMIT);
    checks.within(
        &["batch", "runtimeLimit"],
        batch.runtime_limit,
        Millis::secs(1),
        MAX_RUNTIME_LIMIT,
    );
    if let Some(run) = &batch.run {
        checks.short_text(&["batch", "run"], run, 128);
    }
    if batch.hook.is_some() && batch.run.is_some() {
        checks.refuse_key(
            &["batch", "run"],
            Code::Contradiction,
            "a hook runs with each plan that changes other jobs, and at no other time",
            "delete `batch.run`, or `batch.hook` for a job that runs when you say so",
        );
    }
    retry("batch", &batch.retry, checks);
}

fn retry(kind: &str, policy: &RetryPolicy, checks: &mut Checks<'_>) {
    let (word, retries) = match policy {
        RetryPolicy::Immediate(policy) => ("immediate", policy.retries),
        RetryPolicy::Delayed(policy) => {
            checks.within(
                &[kind, "retry", "delayed", "delay"],
                policy.delay,
                Millis(0),
                MAX_RETRY_DELAY,
            );
            ("delayed", policy.retries)
        }
        RetryPolicy::ExponentialBackoff(policy) => {
            let at = |field| [kind, "retry", "exponentialBackoff", field];
            checks.within(&at("initial"), policy.initial, Millis(1), MAX_RETRY_DELAY);
            checks.within(&at("max"), policy.max, Millis(1), MAX_RETRY_DELAY);
            if policy.initial > policy.max
                && policy.initial <= MAX_RETRY_DELAY
                && policy.max > Millis(0)
            {
                checks.refuse(
                    &at("initial"),
                    Code::Contradiction,
                    format!(
                        "`initial` is {}, which is more than `max`, {}",
                        policy.initial, policy.max
                    ),
                    "the delay grows from `initial` to `max`",
                );
            }
            ("exponentialBackoff", policy.retries)
        }
    };
    if let Some(retries) = retries {
        checks.within(&[kind, "retry", word, "retries"], retries, 0, MAX_RETRIES);
    }
}
