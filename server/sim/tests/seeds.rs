//! Many seeds, and mutants that must be caught.

use muster_sim::{Mutant, Settings, run};

fn settings(seed: u64) -> Settings {
    Settings {
        seed,
        hosts: 4,
        steps: 400,
        mutant: None,
    }
}

/// How many seeds: `MUSTER_SEEDS=5000 cargo test -p muster-sim` looks further than the usual run.
fn seeds() -> u64 {
    std::env::var("MUSTER_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20)
}

#[test]
fn nothing_that_must_not_happen_does() {
    let mut records = 0;
    for seed in 0..seeds() {
        let outcome = run(settings(seed));
        assert_eq!(outcome.violation, None, "seed {seed}");
        records += outcome.records;
    }
    // An idle world would pass anything.
    assert!(
        records as u64 > seeds() * 150,
        "{records} records in {} seeds",
        seeds()
    );
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    for seed in 0..5 {
        assert_eq!(run(settings(seed)), run(settings(seed)));
    }
}

fn is_caught(mutant: Mutant) {
    let caught = (0..200).any(|seed| {
        run(Settings {
            mutant: Some(mutant),
            ..settings(seed)
        })
        .violation
        .is_some()
    });
    assert!(caught, "{mutant:?} goes unseen");
}

#[test]
fn an_agent_that_stops_what_it_does_not_know_is_caught() {
    is_caught(Mutant::AgentStopsUnknown);
}

#[test]
fn an_agent_that_ignores_fences_is_caught() {
    is_caught(Mutant::AgentIgnoresFence);
}

#[test]
fn an_agent_that_starts_an_attempt_twice_is_caught() {
    is_caught(Mutant::AgentStartsTwice);
}

#[test]
fn a_control_plane_that_speaks_before_it_is_durable_is_caught() {
    is_caught(Mutant::ControlSpeaksBeforeDurable);
}

#[test]
fn a_control_plane_that_forgets_its_budget_is_caught() {
    is_caught(Mutant::ControlForgetsBudget);
}
