//! The job as this machine runs it, and in what that differs from the fleet.

use crate::runtime::EngineInfo;
use muster_schemas::spec::{
    Bytes, Constraints, CpuMillis, DelayedRetry, JobSpec, Millis, RetryPolicy,
};
use std::fmt;

/// Longer than anybody waits for a next attempt that is not to come.
const ONCE_DELAY: Millis = Millis::secs(3600);

/// What the developer wants otherwise than the spec says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// So many tasks.
    pub tasks: u32,
    /// Whether to end with the first attempt of each task.
    pub once: bool,
    /// Fields of the spec that were set on the command line, by name.
    pub set: Vec<String>,
}

/// The job for this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapted {
    /// What is run.
    pub job: JobSpec,
    /// In what it differs from the fleet.
    pub differences: Vec<Difference>,
}

/// Something that is otherwise here than in the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Other than so many tasks.
    Tasks {
        /// Here.
        here: u32,
        /// By the spec.
        fleet: u32,
    },
    /// Fields that were set on the command line.
    Set {
        /// Their names.
        fields: Vec<String>,
    },
    /// What ends is not started again.
    Once,
    /// There is one host, and nobody asks where the job wants to be.
    Constraints,
    /// What it depends on is not waited for.
    DependsOn,
    /// It is a hook, and runs at once.
    Hook,
    /// How much of it may be disturbed at once does not matter: nothing automated does.
    DisruptionBudget,
    /// The machine has fewer CPUs than the bound.
    Cpu {
        /// It has.
        here: CpuMillis,
        /// The spec asks for.
        asked: CpuMillis,
    },
    /// The machine has less memory than the bound.
    Memory {
        /// It has.
        here: Bytes,
        /// The spec asks for.
        asked: Bytes,
    },
    /// The engine cannot bound something.
    Unenforced {
        /// What.
        what: String,
    },
    /// What the container sees of where it is.
    Place {
        /// `MUSTER_HOST`.
        host: String,
    },
    /// Host ports are open to this machine alone.
    HostPorts,
    /// The image is one that the engine has, and the registry does not tell a digest for it.
    OnlyHere {
        /// The image.
        image: String,
        /// Why there is no digest.
        why: String,
    },
    /// The engine has another image under the reference than the registry.
    OtherImage {
        /// The image.
        image: String,
        /// What the fleet would take.
        fleet: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tasks { here, fleet } => write!(
                f,
                "{here} of its {fleet} tasks {} here (--task-count)",
                if *here == 1 { "runs" } else { "run" }
            ),
            Self::Set { fields } => write!(f, "set on the command line: {}", fields.join(", ")),
            Self::Once => f.write_str("what ends is not started again (--once)"),
            Self::Constraints => {
                f.write_str("its constraints are not asked: there is this machine alone")
            }
            Self::DependsOn => f.write_str("the jobs that it depends on are not waited for"),
            Self::Hook => f.write_str("it is a hook, and runs at once here"),
            Self::DisruptionBudget => {
                f.write_str("its disruption budget is not asked: nothing disturbs it here")
            }
            Self::Cpu { here, asked } => {
                write!(f, "it may use {asked} CPUs, and this machine has {here}")
            }
            Self::Memory { here, asked } => write!(
                f,
                "it may use {asked} of memory, and this machine has {here}"
            ),
            Self::Unenforced { what } => {
                write!(f, "the engine cannot bound {what} on this machine")
            }
            Self::Place { host } => {
                write!(f, "MUSTER_CELL is {}, MUSTER_HOST is {host}", super::CELL)
            }
            Self::HostPorts => f.write_str(
                "host ports are open on 127.0.0.1 alone; in the fleet, on the host's address",
            ),
            Self::OnlyHere { image, why } => write!(
                f,
                "{image} is the one that this machine's engine has; the fleet needs it in a registry ({why})"
            ),
            Self::OtherImage { image, fleet } => write!(
                f,
                "{image} is another image here than in the registry; the one here is run, the fleet would take {fleet} (--pull \
                 takes that one)"
            ),
        }
    }
}

/// Makes the job one for this machine.
pub fn adapt(mut job: JobSpec, wishes: &Wishes, engine: &EngineInfo, host: &str) -> Adapted {
    let mut differences = Vec::new();
    let fleet = job.size();
    if fleet != wishes.tasks {
        differences.push(Difference::Tasks {
            here: wishes.tasks,
            fleet,
        });
    }
    if let Some(service) = &mut job.service {
        let capacity = &mut service.capacity;
        capacity.desired = wishes.tasks;
        capacity.min = capacity.min.min(wishes.tasks);
        capacity.max = capacity.max.max(wishes.tasks);
    }
    if let Some(batch) = &mut job.batch {
        batch.size = wishes.tasks;
    }
    if !wishes.set.is_empty() {
        differences.push(Difference::Set {
            fields: wishes.set.clone(),
        });
    }
    if wishes.once {
        // The delay is for what is retried in any case, since it is not the job's fault: its end comes first.
        let never = RetryPolicy::Delayed(DelayedRetry {
            delay: ONCE_DELAY,
            retries: Some(0),
        });
        if let Some(service) = &mut job.service {
            service.retry = never.clone();
        }
        if let Some(batch) = &mut job.batch {
            batch.retry = never;
            batch.retry_on_runtime_limit = false;
        }
        differences.push(Difference::Once);
    }
    if !job.constraints.is_empty() {
        job.constraints = Constraints::default();
        differences.push(Difference::Constraints);
    }
    if !job.depends_on.is_empty() {
        job.depends_on.clear();
        differences.push(Difference::DependsOn);
    }
    if let Some(batch) = &mut job.batch
        && batch.hook.take().is_some()
    {
        differences.push(Difference::Hook);
    }
    if job.disruption_budget.take().is_some() {
        differences.push(Difference::DisruptionBudget);
    }
    let resources = &job.resources;
    let here = CpuMillis(engine.cpus.saturating_mul(1000));
    if here < resources.cpu {
        differences.push(Difference::Cpu {
            here,
            asked: resources.cpu,
        });
    }
    let here = Bytes(engine.memory_bytes);
    if here < resources.memory {
        differences.push(Difference::Memory {
            here,
            asked: resources.memory,
        });
    }
    differences.extend(
        engine
            .unenforced
            .iter()
            .map(|what| Difference::Unenforced { what: what.clone() }),
    );
    if job.ports.iter().any(|port| port.host_port.is_some()) {
        differences.push(Difference::HostPorts);
    }
    differences.push(Difference::Place {
        host: host.to_owned(),
    });
    Adapted { job, differences }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::testing::engine_info;
    use muster_core::specs::{SpecFile, read_local};
    use muster_schemas::spec::Spec;

    fn job(text: &str) -> JobSpec {
        let file = SpecFile {
            path: "job.yaml".to_owned(),
            bytes: format!("apiVersion: muster/v1\nkind: Job\nname: web\nowner: a@example.com\nimage: web:1\n{text}")
                .into_bytes()
                .into(),
        };
        let documents = read_local(&[file]);
        assert_eq!(documents.diagnostics, []);
        match &documents.specs[0].spec {
            Spec::Job(job) => (**job).clone(),
            Spec::Policy(_) => unreachable!("it is a job"),
        }
    }

    fn one() -> Wishes {
        Wishes {
            tasks: 1,
            once: false,
            set: Vec::new(),
        }
    }

    #[test]
    fn what_is_otherwise_is_told() {
        let service = job(
            "resources: {cpu: 32, memory: 64GiB}\nports: [{name: http, port: 80, hostPort: 8080}]\n\
             constraints: {hard: {zones: [b]}}\ndependsOn: [db]\ndisruptionBudget: {unhealthyTasksLimit: 1}\nservice: {capacity: {min: 2, desired: 3}}\n",
        );
        let mut engine = engine_info();
        engine.unenforced = vec!["swap".to_owned()];
        let wishes = Wishes {
            tasks: 1,
            once: true,
            set: vec!["env.LOG_LEVEL".to_owned()],
        };
        let adapted = adapt(service, &wishes, &engine, "laptop");
        let mut lines: Vec<String> = adapted
            .differences
            .iter()
            .map(ToString::to_string)
            .collect();
        lines.push(
            Difference::OnlyHere {
                image: "web:dev".into(),
                why: "docker.io has no image `web:dev`".into(),
            }
            .to_string(),
        );
        lines.push(
            Difference::OtherImage {
                image: "web:1".into(),
                fleet: "docker.io/library/web@sha256:00".into(),
            }
            .to_string(),
        );
        insta::assert_snapshot!(lines.join("\n"), @r##"
    1 of its 3 tasks runs here (--task-count)
    set on the command line: env.LOG_LEVEL
    what ends is not started again (--once)
    its constraints are not asked: there is this machine alone
    the jobs that it depends on are not waited for
    its disruption budget is not asked: nothing disturbs it here
    it may use 32 CPUs, and this machine has 4
    it may use 64GiB of memory, and this machine has 8GiB
    the engine cannot bound swap on this machine
    host ports are open on 127.0.0.1 alone; in the fleet, on the host's address
    MUSTER_CELL is muster-run, MUSTER_HOST is laptop
    web:dev is the one that this machine's engine has; the fleet needs it in a registry (docker.io has no image `web:dev`)
    web:1 is another image here than in the registry; the one here is run, the fleet would take docker.io/library/web@sha256:00 (--pull takes that one)
    "##);
        let service = adapted.job.service.unwrap();
        assert_eq!((service.capacity.min, service.capacity.desired), (1, 1));
        assert_eq!(service.retry.retries(), Some(0));
        assert!(adapted.job.constraints.is_empty());
        assert!(adapted.job.depends_on.is_empty());
    }

    #[test]
    fn what_is_as_in_the_fleet_is_left() {
        let batch = job("batch: {size: 1, retry: {immediate: {retries: 2}}}\n");
        let adapted = adapt(batch.clone(), &one(), &engine_info(), "laptop");
        assert_eq!(adapted.job, batch);
        assert_eq!(
            adapted.differences,
            [Difference::Place {
                host: "laptop".into()
            }]
        );
    }
}
