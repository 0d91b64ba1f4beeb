//! The rules of what touches the host: security and placement.

use super::{Checks, is_label_text};
use crate::specs::report::{Code, quoted};
use muster_schemas::spec::{Capability, ConstraintSet, Constraints, Security};
use std::collections::BTreeSet;

/// Longer lists are asked by a label of the hosts instead.
const MAX_CHOICES: usize = 1000;

/// What a job may do beyond the defaults.
pub(super) fn security(security: &Security, checks: &mut Checks<'_>) {
    if let Some(user) = &security.user {
        let part = |text: &str| is_label_text(text, 32, &['.', '_', '-']);
        let good = match user.split_once(':') {
            Some((user, group)) => part(user) && part(group),
            None => part(user),
        };
        if !good {
            checks.refuse(
                &["security", "user"],
                Code::BadValue,
                format!("{} is no user", quoted(user)),
                "write `user` or `user:group`, by name or by number, such as \"1000:1000\"",
            );
        }
    }
    let mut seen: BTreeSet<Capability> = BTreeSet::new();
    for (index, capability) in security.capabilities.iter().enumerate() {
        if !seen.insert(*capability) {
            let message = "this capability is written twice";
            let path = [
                "security".to_owned(),
                "capabilities".to_owned(),
                index.to_string(),
            ];
            checks.refuse(&path, Code::DuplicateValue, message, "keep one of them");
        }
    }
}

/// Where tasks may run.
pub(super) fn constraints(constraints: &Constraints, checks: &mut Checks<'_>) {
    constraint_set("hard", &constraints.hard, checks);
    constraint_set("soft", &constraints.soft, checks);
    if constraints.hard.zone_balance && constraints.hard.zones.len() == 1 {
        checks.refuse(
            &["constraints", "hard", "zoneBalance"],
            Code::Contradiction,
            "tasks cannot be spread over zones where only one zone is allowed",
            "delete `zoneBalance`, or allow more `zones`",
        );
    }
}

fn constraint_set(strength: &str, set: &ConstraintSet, checks: &mut Checks<'_>) {
    for (field, choices) in [("zones", &set.zones), ("hosts", &set.hosts)] {
        let path = ["constraints", strength, field];
        if choices.len() > MAX_CHOICES {
            let message = format!("`{field}` has {} entries", choices.len());
            let help = format!("it can have at most {MAX_CHOICES}; for more, use `hostLabels`");
            checks.refuse_key(&path, Code::OutOfRange, message, help);
        }
        let mut seen = BTreeSet::new();
        for (index, choice) in choices.iter().enumerate() {
            let index = index.to_string();
            let path = ["constraints", strength, field, index.as_str()];
            checks.short_text(&path, choice, 253);
            if !seen.insert(choice) {
                let message = format!("{} is written twice", quoted(choice));
                checks.refuse(&path, Code::DuplicateValue, message, "keep one of them");
            }
        }
    }
    for (key, value) in &set.host_labels {
        let path = ["constraints", strength, "hostLabels", key.as_str()];
        if !is_label_text(key, 63, &['.', '_', '-', '/']) {
            checks.refuse_key(
                &path,
                Code::BadName,
                format!("no host has a label named {}", quoted(key)),
                "a label's name is made of letters, digits, and `.`, `_`, `-`, `/` between them; at most 63 characters",
            );
        }
        if value.chars().nth(256).is_some() || value.chars().any(char::is_control) {
            let message = format!("no host has such a value of the label {}", quoted(key));
            checks.refuse(
                &path,
                Code::BadValue,
                message,
                "it is one line of at most 256 characters",
            );
        }
    }
}
