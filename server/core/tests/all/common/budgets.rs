//! Disruption budgets for tests.

use muster_schemas::spec::{
    DisruptionBudget, DisruptionRate, Millis, PerInterval, PercentagePerHour,
    PercentagePerInterval, SelfManaged,
};
use proptest::prelude::*;

/// All but so many tasks have to be healthy.
pub fn unhealthy(limit: u32) -> DisruptionBudget {
    DisruptionBudget {
        unhealthy_tasks_limit: Some(limit),
        ..DisruptionBudget::default()
    }
}

/// So many tasks in any stretch of so many seconds.
pub fn per_interval(limit: u32, secs: u64) -> DisruptionRate {
    DisruptionRate::PerInterval(PerInterval {
        limit,
        interval: Millis::secs(secs),
    })
}

/// Any of the four limits, with a rate.
pub fn some_budget(
    rate: impl Strategy<Value = DisruptionRate>,
) -> impl Strategy<Value = DisruptionBudget> {
    let limit = prop_oneof![
        (0..=100u32).prop_map(|percent| DisruptionBudget {
            availability_percentage_limit: Some(percent),
            ..DisruptionBudget::default()
        }),
        (0..3u32).prop_map(unhealthy),
        (0..2u32).prop_map(|limit| DisruptionBudget {
            relocation_limit: Some(limit),
            ..DisruptionBudget::default()
        }),
        (1..20u64).prop_map(|secs| DisruptionBudget {
            self_managed: Some(SelfManaged {
                relocation_time: Millis::secs(secs)
            }),
            ..DisruptionBudget::default()
        }),
    ];
    (limit, rate).prop_map(|(limit, rate)| DisruptionBudget { rate, ..limit })
}

/// Any rate.
pub fn some_rate() -> impl Strategy<Value = DisruptionRate> {
    prop_oneof![
        4 => some_quick_rate(),
        1 => (1..=100u32).prop_map(|percentage| {
            DisruptionRate::PercentagePerHour(PercentagePerHour { percentage })
        }),
    ]
}

/// A rate that lets another task go within a minute.
pub fn some_quick_rate() -> impl Strategy<Value = DisruptionRate> {
    prop_oneof![
        2 => Just(DisruptionRate::Unlimited),
        2 => (1..4u32, 1..60u64).prop_map(|(limit, secs)| per_interval(limit, secs)),
        1 => (1..=100u32, 1..60u64).prop_map(|(percentage, secs)| {
            let interval = Millis::secs(secs);
            DisruptionRate::PercentagePerInterval(PercentagePerInterval { percentage, interval })
        }),
    ]
}
