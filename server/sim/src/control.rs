//! The control plane: the core, a store that keeps what is durable, and crashes between deciding and writing.

use crate::Mutant;
use jiff::Timestamp;
use muster_core::assign::assignments;
use muster_core::decide::{Answer, Draft, Input, Refusal, follow, take};
use muster_core::fleet::Fleet;
use muster_schemas::event::Record;
use muster_schemas::ids::{CellName, HostId};
use muster_schemas::wire::Assignments;
use uuid::Uuid;

/// A control plane and its store.
pub struct Control {
    /// The durable journal.
    pub journal: Vec<Record>,
    /// The fleet; none while the process is down.
    pub fleet: Option<Fleet>,
    epoch: u64,
    ids: u128,
    mutant: Option<Mutant>,
}

/// Where a crash hits, if one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// None does.
    None,
    /// After deciding, before writing: all of the batch is lost.
    BeforeWrite,
    /// After writing, before anybody is told.
    AfterWrite,
}

impl Control {
    /// A control plane that has never run.
    pub fn new(mutant: Option<Mutant>) -> Self {
        Self {
            journal: Vec::new(),
            fleet: None,
            epoch: 0,
            ids: 0,
            mutant,
        }
    }

    /// Starts the process: folds what is durable and takes the leadership.
    pub fn start(&mut self, now: Timestamp) {
        let mut fleet = Fleet::default();
        for record in &self.journal {
            fleet.apply(record);
        }
        if self.mutant == Some(Mutant::ControlForgetsBudget) {
            fleet.stops.clear();
        }
        self.epoch = fleet.epoch + 1;
        self.fleet = Some(fleet);
        let lead = Input::Lead {
            cell: CellName::from("sim"),
            version: "0.1.0".to_owned(),
        };
        let _ = self.give(vec![lead], now, Crash::None);
    }

    /// The process dies.
    pub fn stop(&mut self) {
        self.fleet = None;
    }

    /// Gives a batch of inputs; answers what each led to, and the assignments that go out. A crash takes the process down and
    /// answers nothing (unless the mutant speaks too soon).
    pub fn give(
        &mut self,
        inputs: Vec<Input>,
        now: Timestamp,
        crash: Crash,
    ) -> (Vec<Result<Answer, Refusal>>, Vec<Assignments>) {
        let Some(fleet) = &mut self.fleet else {
            return (Vec::new(), Vec::new());
        };
        let mut ids = self.ids;
        let mut new_id = || {
            ids += 1;
            Uuid::from_u128(ids)
        };
        let mut draft = Draft::new(fleet, now, self.epoch, &mut new_id);
        let answers = inputs
            .into_iter()
            .map(|input| take(&mut draft, input))
            .collect();
        for _ in 0..50 {
            let before = draft.fleet.seq;
            follow(&mut draft);
            if draft.fleet.seq == before {
                break;
            }
        }
        let records = draft.into_records();
        self.ids = ids;
        let outgoing = || {
            fleet
                .hosts
                .keys()
                .map(|host| assignments(fleet, *host))
                .collect::<Vec<_>>()
        };
        match crash {
            Crash::None => {
                let outgoing = outgoing();
                self.journal.extend(records);
                (answers, outgoing)
            }
            Crash::BeforeWrite => {
                let spoken = if self.mutant == Some(Mutant::ControlSpeaksBeforeDurable) {
                    outgoing()
                } else {
                    Vec::new()
                };
                self.fleet = None;
                (Vec::new(), spoken)
            }
            Crash::AfterWrite => {
                self.journal.extend(records);
                self.fleet = None;
                (Vec::new(), Vec::new())
            }
        }
    }

    /// What a host is to do now; none while the process is down.
    pub fn assignments(&self, host: HostId) -> Option<Assignments> {
        self.fleet.as_ref().map(|fleet| assignments(fleet, host))
    }
}
