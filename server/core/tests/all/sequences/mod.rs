//! Random sequences of commits, deploys, rollbacks, approvals, freezes, crashes and faults, against what a person expects of
//! them.
//!
//! [`Said`] knows what people froze, [`Repository`] what git says, [`Cell`] plays the steps on the core. The [`Ledger`] reads the
//! journal as an auditor would, without the code that decides: every plan that was applied was allowed to be and says what its
//! commit says, every automated stop has its reason in an applied plan and its turn in no freeze, every rollout leaves enough
//! serving, every deploy ends once. At the end all faults are mended, everything is approved, and the fleet has to become what
//! the repository says.

mod cell;
mod ledger;
mod play;
mod repository;
mod said;
mod steps;

use crate::common::settings;
use cell::Cell;
use proptest_state_machine::prop_state_machine;

/// So many sequences keep the core's tests within seconds; `PROPTEST_CASES=10000` looks further.
const CASES: u32 = 48;

/// The jobs there may be: `nightly` is a batch, the others are services.
const NAMES: [&str; 4] = ["api", "shop", "web", "nightly"];

prop_state_machine! {
    #![proptest_config(settings(CASES, "tests/all/sequences.regressions"))]

    #[test]
    fn no_sequence_of_commits_words_and_faults_breaks_a_promise(sequential 1..40 => Cell);
}
