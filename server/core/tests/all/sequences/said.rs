//! What people have said beside git.

use crate::sequences::steps::{Step, Written, some_job, some_step};
use muster_schemas::plan::FreezeScope;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use proptest_state_machine::ReferenceStateMachine;
use std::collections::BTreeSet;

/// The cell that they say it of, and what they want frozen.
#[derive(Debug, Clone)]
pub struct Said {
    pub hosts: u32,
    /// The documents that it begins with.
    pub first: Vec<Written>,
    pub frozen: BTreeSet<FreezeScope>,
}

impl ReferenceStateMachine for Said {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let written = some_job().prop_map(|spec| Written(Box::new(spec)));
        (3..5u32, vec(written, 0..4))
            .prop_map(|(hosts, first)| Self {
                hosts,
                first,
                frozen: BTreeSet::new(),
            })
            .boxed()
    }

    fn transitions(said: &Self) -> BoxedStrategy<Step> {
        if said.frozen.is_empty() {
            return some_step().boxed();
        }
        let frozen: Vec<FreezeScope> = said.frozen.iter().cloned().collect();
        let resume = select(frozen).prop_map(Step::Resume).boxed();
        Union::new_weighted(vec![(14, some_step().boxed()), (1, resume)]).boxed()
    }

    fn apply(mut said: Self, step: &Step) -> Self {
        match step {
            Step::Freeze(scope) => drop(said.frozen.insert(scope.clone())),
            Step::Resume(scope) => drop(said.frozen.remove(scope)),
            _ => {}
        }
        said
    }

    /// Shrinking may take away what a step stands on.
    fn preconditions(said: &Self, step: &Step) -> bool {
        match step {
            Step::Resume(scope) => said.frozen.contains(scope),
            _ => true,
        }
    }
}
