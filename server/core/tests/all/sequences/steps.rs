//! What may happen to a cell.

use super::NAMES;
use crate::common::budgets::{some_budget, some_quick_rate};
use crate::common::random_job;
use crate::sequences::repository::holds;
use muster_schemas::plan::FreezeScope;
use muster_schemas::rollout::RolloutWord;
use muster_schemas::spec::{JobSpec, Millis, RedBlack};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::strategy::Union;

#[derive(Debug, Clone)]
pub enum Step {
    /// A document is written or written anew, and whether the commit is signed.
    Write(Written, bool),
    /// Documents are removed, perhaps all.
    Remove(Vec<&'static str>),
    /// A document that cannot be read takes the place of one that could.
    Break(&'static str),
    Policy(PolicyWords),
    /// Somebody goes back to what an earlier commit said, of one job or of everything.
    RollBack(Index, Option<&'static str>),
    /// The repository cannot be read.
    Trouble,
    /// A pipeline asks for a deploy.
    Deploy(Wish),
    /// What deploys ask for is committed, and what was canceled is taken back.
    CommitDeploys(Told),
    /// A pipeline takes any deploy back that there ever was.
    CancelDeploy(Index),
    /// Somebody has one of the rollouts that there are go on, go back, or begin again.
    Tell(Index, RolloutWord),
    /// Somebody approves the plan that is held, if one is.
    Approve(&'static str),
    /// Somebody approves any plan that there ever was: no harm may come of it.
    ApproveAny(Index),
    Refuse,
    Freeze(FreezeScope),
    Resume(FreezeScope),
    Pass(u32),
    Exit(Index, i32),
    Condemn(Index),
    Silent(Index),
    Connect,
    Stop(Index),
    /// Somebody gives a job another size beside git.
    Scale(&'static str, u32),
    /// Somebody changes a running container; whether it can be put back while it runs.
    Drift(Index, bool),
    /// Containers of a job do not become healthy, or do so again.
    Sick(&'static str, bool),
    /// The control plane is killed and another takes over, which begins with the snapshot of some moment.
    Lead(Index),
}

/// What a policy says.
#[derive(Debug, Clone)]
pub struct PolicyWords {
    /// Whether jobs without a document are stopped.
    pub prune: bool,
    /// So many seconds later.
    pub grace: u64,
    /// Whether drift is healed.
    pub heal: bool,
    /// Whether sizes may differ.
    pub ignore: bool,
    /// Whether commits have to be signed.
    pub sign: bool,
}

/// What a pipeline wishes of a job.
#[derive(Debug, Clone)]
pub struct Wish {
    pub job: &'static str,
    pub image: Option<u32>,
    pub desired: Option<u32>,
    /// The deploy has failed if it is not done in so many seconds.
    pub seconds: u32,
}

/// How the control plane hears that a deploy was committed.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    AtOnce,
    /// The commit is read first.
    AfterReading,
    /// The pipeline takes the deploy back while it is being committed.
    AfterCancel,
}

/// A job's spec, which tells in a line what is random about it.
#[derive(Clone)]
pub struct Written(pub Box<JobSpec>);

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spec = &self.0;
        write!(f, "{} of {}", spec.name, spec.image)?;
        match (&spec.service, &spec.batch) {
            (Some(service), _) => {
                let rollout = &service.rollout;
                write!(f, " x {}", service.capacity.desired)?;
                write!(f, ", {}", rollout.strategy().word())?;
                write!(f, " +{} -{}", rollout.max_surge, rollout.max_unavailable)
            }
            (_, batch) => write!(f, " x {:?}", batch.as_ref().map(|batch| batch.size)),
        }?;
        match &spec.disruption_budget {
            Some(budget) => write!(f, ", {budget:?}"),
            None => Ok(()),
        }
    }
}

/// A document of a job.
pub fn some_job() -> impl Strategy<Value = JobSpec> {
    let budget = prop::option::of(some_budget(some_quick_rate()));
    let keep_old = select(&[0, 10, 40][..]);
    (
        select(&NAMES[..]),
        1..6u32,
        1..4u32,
        0..3u32,
        0..2u32,
        budget,
        any::<bool>(),
        prop::option::weighted(0.2, select(&["api", "shop", "web"][..])),
        keep_old,
    )
        .prop_map(
            |(name, size, image, surge, unavailable, budget, waits, goes_like, keep_old)| {
                let mut spec = random_job(name, size, image, surge, unavailable);
                // Two whole sets of every service fit beside each other.
                spec.resources.cpu.0 = 500;
                spec.disruption_budget = budget;
                if !holds(&spec) {
                    spec.disruption_budget = None;
                }
                if waits && name == "shop" {
                    spec.depends_on = vec!["web".into()];
                }
                // Now and then a job goes another way than it is used to.
                let other =
                    goes_like.map(|other| random_job(other, size, image, surge, unavailable));
                if let (Some(service), Some(other)) =
                    (&mut spec.service, other.and_then(|other| other.service))
                {
                    service.rollout = other.rollout;
                }
                if let Some(service) = &mut spec.service
                    && let Some(red_black) = &mut service.rollout.red_black
                {
                    *red_black = RedBlack {
                        keep_old: Millis::secs(keep_old),
                    };
                }
                spec
            },
        )
}

fn some_scope() -> impl Strategy<Value = FreezeScope> {
    prop_oneof![
        Just(FreezeScope::Cell),
        select(&NAMES[..]).prop_map(|app| FreezeScope::App {
            app: app.to_owned()
        }),
        select(&NAMES[..]).prop_map(|job| FreezeScope::Job { job: job.into() }),
    ]
}

fn some_policy() -> impl Strategy<Value = PolicyWords> {
    (
        any::<bool>(),
        select(&[0, 20][..]),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(prune, grace, heal, ignore, sign)| PolicyWords {
            prune,
            grace,
            heal,
            ignore,
            sign,
        })
}

fn some_wish() -> impl Strategy<Value = Wish> {
    (
        select(&NAMES[..]),
        prop::option::weighted(0.8, 1..4u32),
        prop::option::weighted(0.2, 0..6u32),
        select(&[5, 60, 300][..]),
    )
        .prop_map(|(job, image, desired, seconds)| Wish {
            job,
            image,
            desired,
            seconds,
        })
}

/// Anything that needs nothing before it.
pub fn some_step() -> impl Strategy<Value = Step> {
    let name = || select(&NAMES[..]);
    let place = any::<Index>;
    let words = [RolloutWord::Promote, RolloutWord::Abort, RolloutWord::Retry];
    Union::new_weighted(vec![
        (
            8,
            (some_job(), prop::bool::weighted(0.8))
                .prop_map(|(spec, signed)| Step::Write(Written(Box::new(spec)), signed))
                .boxed(),
        ),
        (
            2,
            subsequence(NAMES.to_vec(), 1..=NAMES.len())
                .prop_map(Step::Remove)
                .boxed(),
        ),
        (1, name().prop_map(Step::Break).boxed()),
        (2, some_policy().prop_map(Step::Policy).boxed()),
        (
            2,
            (place(), prop::option::of(name()))
                .prop_map(|(to, job)| Step::RollBack(to, job))
                .boxed(),
        ),
        (1, Just(Step::Trouble).boxed()),
        (6, some_wish().prop_map(Step::Deploy).boxed()),
        (
            6,
            select(vec![
                Told::AtOnce,
                Told::AtOnce,
                Told::AfterReading,
                Told::AfterCancel,
            ])
            .prop_map(Step::CommitDeploys)
            .boxed(),
        ),
        (2, place().prop_map(Step::CancelDeploy).boxed()),
        (
            4,
            (place(), select(words.to_vec()))
                .prop_map(|(which, word)| Step::Tell(which, word))
                .boxed(),
        ),
        (
            2,
            select(&["ann", "bob"][..]).prop_map(Step::Approve).boxed(),
        ),
        (1, place().prop_map(Step::ApproveAny).boxed()),
        (1, Just(Step::Refuse).boxed()),
        (1, some_scope().prop_map(Step::Freeze).boxed()),
        (16, (1..25u32).prop_map(Step::Pass).boxed()),
        (
            2,
            (place(), 0..2i32)
                .prop_map(|(which, code)| Step::Exit(which, code))
                .boxed(),
        ),
        (1, place().prop_map(Step::Condemn).boxed()),
        (1, place().prop_map(Step::Silent).boxed()),
        (1, Just(Step::Connect).boxed()),
        (1, place().prop_map(Step::Stop).boxed()),
        (
            1,
            (name(), any::<bool>())
                .prop_map(|(job, sick)| Step::Sick(job, sick))
                .boxed(),
        ),
        (2, place().prop_map(Step::Lead).boxed()),
        (
            2,
            (name(), 0..8u32)
                .prop_map(|(job, size)| Step::Scale(job, size))
                .boxed(),
        ),
        (
            2,
            (place(), any::<bool>())
                .prop_map(|(which, stuck)| Step::Drift(which, stuck))
                .boxed(),
        ),
    ])
}
