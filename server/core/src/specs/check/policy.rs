//! The rules of a policy.

use super::super::report::{Code, quoted};
use super::Checks;
use crate::signatures::{KeyFault, SignerKey};
use crate::window;
use muster_schemas::access::{self, ADMIN, Role};
use muster_schemas::spec::{Bound, Headroom, Limits, Millis, PolicySpec, ScopeLimits, Signatures};
use std::collections::BTreeSet;

const MAX_WINDOWS: usize = 64;
const MAX_APPS: usize = 1000;
const MAX_GROUPS: usize = 1000;
const MAX_IGNORED: usize = 1000;
const MAX_COUNT: u32 = 100_000;
const MAX_REASON: usize = 1000;
/// More people than commit to one repository of specs; each key is compared with each commit's.
const MAX_SIGNERS: usize = 256;
const MAX_SIGNER_NAME: usize = 200;
const MAX_ACCESS: usize = 1000;
const MAX_OWNED: usize = 256;
/// An approval that counts for less can hardly be used, one that counts for longer is forgotten before.
const LEAST_EXPIRY: Millis = Millis::secs(60);
const MOST_EXPIRY: Millis = Millis::secs(30 * 86_400);

/// The rules of a policy.
pub(in crate::specs) fn policy(policy: &PolicySpec, checks: &mut Checks<'_>) {
    checks.name(&["name"], &policy.name);
    checks.within(&["pruneGrace"], policy.prune_grace, Millis(0), MOST_EXPIRY);
    let limits = &policy.limits;
    bound(&["limits", "stopsPerPlan"], limits.stops_per_plan, checks);
    checks.within(
        &["limits", "planWindow"],
        limits.plan_window,
        Millis(0),
        Limits::LONGEST_PLAN_WINDOW,
    );
    bound(
        &["limits", "stopsPerMinute"],
        limits.stops_per_minute,
        checks,
    );
    if policy.apps.len() > MAX_APPS {
        checks.refuse(
            &["apps"],
            Code::OutOfRange,
            format!("{} apps have limits here", policy.apps.len()),
            format!("at most {MAX_APPS} can"),
        );
    }
    for (app, limits) in &policy.apps {
        scope_limits(&["apps", app], limits, checks);
    }
    for (tier, limits) in [
        ("critical", &policy.tiers.critical),
        ("flex", &policy.tiers.flex),
    ] {
        if let Some(limits) = limits {
            scope_limits(&["tiers", tier], limits, checks);
        }
    }
    headroom(&policy.headroom, checks);
    let approvals = &policy.approvals;
    checks.within(&["approvals", "required"], approvals.required, 1, 10);
    checks.within(
        &["approvals", "expireAfter"],
        approvals.expire_after,
        LEAST_EXPIRY,
        MOST_EXPIRY,
    );
    enough_approvers(policy, checks);
    windows(policy, checks);
    if let Some(signatures) = &policy.signatures {
        signers(signatures, checks);
    }
    access(policy, checks);
    ignored_fields(policy, checks);
    if let Some(reason) = &policy.freeze {
        checks.short_text(&["freeze"], reason, MAX_REASON);
    }
}

/// A policy that wants more approvals than there are people to give them could never be changed again.
fn enough_approvers(policy: &PolicySpec, checks: &mut Checks<'_>) {
    let approvals = &policy.approvals;
    let sound = checks.sound(&["approvals", "required"]) && checks.sound(&["access"]);
    let operators = policy.access.iter().filter(|entry| match entry.role {
        Role::Operator | Role::Admin => true,
        Role::Owner | Role::Viewer => false,
    });
    // Beside those that are named there is the token `admin`.
    let people = 1 + u32::try_from(operators.count()).unwrap_or(u32::MAX - 1);
    if sound && approvals.for_policy && approvals.required > people {
        checks.refuse(
            &["approvals", "required"],
            Code::Contradiction,
            format!(
                "{} people have to approve a change of the policy, and only {people} may: nobody could ever change it again",
                approvals.required
            ),
            "name more operators or admins under `access` first, in a commit of its own, or want fewer approvals",
        );
    }
}

fn signers(signatures: &Signatures, checks: &mut Checks<'_>) {
    let count = signatures.signers.len();
    if count == 0 || count > MAX_SIGNERS {
        let message = match count {
            0 => "signatures are required and nobody is a signer: no revision could ever be followed again".to_owned(),
            count => format!("there are {count} signers"),
        };
        checks.refuse(
            &["signatures", "signers"],
            Code::OutOfRange,
            message,
            format!("write from 1 to {MAX_SIGNERS} signers, or leave `signatures` out"),
        );
    }
    let mut names = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for (index, signer) in signatures.signers.iter().take(MAX_SIGNERS).enumerate() {
        let index = index.to_string();
        let at = |field: &'static str| ["signatures", "signers", index.as_str(), field];
        checks.short_text(&at("name"), &signer.name, MAX_SIGNER_NAME);
        if !names.insert(signer.name.as_str()) {
            checks.refuse(
                &at("name"),
                Code::DuplicateValue,
                format!("another signer is called {}, too", quoted(&signer.name)),
                "give each signer a name of their own; one with two keys is two signers",
            );
        }
        let field = if signer.gpg.is_some() { "gpg" } else { "ssh" };
        match SignerKey::of(signer) {
            Err(fault) => {
                let code = match &fault {
                    KeyFault::NotOne => Code::Contradiction,
                    KeyFault::TooLong
                    | KeyFault::Private
                    | KeyFault::Unreadable(_)
                    | KeyFault::Kind(_)
                    | KeyFault::Weak { .. }
                    | KeyFault::CannotSign(_) => Code::BadValue,
                };
                checks.refuse(&at(field), code, fault.to_string(), fault.help());
            }
            Ok(key) => {
                if !keys.insert(key.fingerprint()) {
                    checks.refuse(
                        &at(field),
                        Code::DuplicateValue,
                        "another signer has this key, too",
                        "leave one of them out: a signature has one signer",
                    );
                }
            }
        }
    }
}

fn scope_limits(path: &[&str], limits: &ScopeLimits, checks: &mut Checks<'_>) {
    for (field, limit) in [
        ("stopsPerPlan", limits.stops_per_plan),
        ("stopsPerMinute", limits.stops_per_minute),
    ] {
        if let Some(limit) = limit {
            bound(&[path, &[field]].concat(), limit, checks);
        }
    }
}

fn bound(path: &[&str], bound: Bound, checks: &mut Checks<'_>) {
    checks.within(&[path, &["count"]].concat(), bound.count, 0, MAX_COUNT);
    checks.within(&[path, &["percent"]].concat(), bound.percent, 0, 100);
}

fn headroom(headroom: &Headroom, checks: &mut Checks<'_>) {
    if let Some(percent) = headroom.percent {
        checks.within(&["headroom", "percent"], percent, 0, 100);
    }
    if headroom.groups.len() > MAX_GROUPS {
        checks.refuse(
            &["headroom", "groups"],
            Code::OutOfRange,
            format!("{} capacity groups stand here", headroom.groups.len()),
            format!("at most {MAX_GROUPS} can"),
        );
    }
    for (group, share) in &headroom.groups {
        checks.within(
            &["headroom", "groups", group, "atMost"],
            share.at_most,
            0,
            100,
        );
    }
}

fn access(policy: &PolicySpec, checks: &mut Checks<'_>) {
    if policy.access.len() > MAX_ACCESS {
        checks.refuse(
            &["access"],
            Code::OutOfRange,
            format!("there are {} entries", policy.access.len()),
            format!("at most {MAX_ACCESS} can be written"),
        );
    }
    let mut seen = BTreeSet::new();
    for (index, entry) in policy.access.iter().enumerate() {
        let index = index.to_string();
        let at = |field: &'static str| ["access", index.as_str(), field];
        if !access::is_token_name(&entry.who) {
            checks.refuse(
                &at("who"),
                Code::BadName,
                format!("no token can be named {}", quoted(&entry.who)),
                format!(
                    "write a token's name: 1 to {} letters, digits, `.`, `_`, `@` and `-`",
                    access::MAX_NAME
                ),
            );
        }
        if entry.who == ADMIN {
            checks.refuse(
                &at("who"),
                Code::Contradiction,
                "the token `admin` may do everything already".to_owned(),
                "leave it out: it is the way back from a policy that shuts everybody out",
            );
        }
        if !seen.insert(&entry.who) {
            checks.refuse(
                &at("who"),
                Code::DuplicateValue,
                format!("{} stands here twice", quoted(&entry.who)),
                "write one entry for it, with the apps of both",
            );
        }
        match (entry.role, entry.apps.len()) {
            (Role::Owner, 0) => checks.refuse(
                &at("apps"),
                Code::OutOfRange,
                "an owner of no app may change nothing".to_owned(),
                "write at least one app, or `role: viewer`",
            ),
            (Role::Owner, 1..=MAX_OWNED) => {}
            (Role::Owner, apps) => checks.refuse(
                &at("apps"),
                Code::OutOfRange,
                format!("there are {apps} apps"),
                format!("at most {MAX_OWNED} can be written; who owns so many is an operator"),
            ),
            (_, 0) => {}
            (role, _) => checks.refuse(
                &at("apps"),
                Code::Contradiction,
                format!("a role of `{}` is not for some apps alone", role.word()),
                "delete `apps`, or write `role: owner`",
            ),
        }
    }
}

fn ignored_fields(policy: &PolicySpec, checks: &mut Checks<'_>) {
    if policy.ignored_fields.len() > MAX_IGNORED {
        checks.refuse(
            &["ignoredFields"],
            Code::OutOfRange,
            format!("there are {} entries", policy.ignored_fields.len()),
            format!("at most {MAX_IGNORED} can be written"),
        );
    }
    for (index, ignored) in policy.ignored_fields.iter().enumerate() {
        let index = index.to_string();
        let at = |field: &'static str| ["ignoredFields", index.as_str(), field];
        if ignored.job.is_some() && ignored.app.is_some() {
            checks.refuse(
                &at("app"),
                Code::Contradiction,
                "both `job` and `app` are written".to_owned(),
                "write one of them, or none for every job",
            );
        }
        if ignored.fields.is_empty() {
            checks.refuse(
                &at("fields"),
                Code::OutOfRange,
                "no field is written".to_owned(),
                "write at least one, such as service.capacity.desired",
            );
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = ignored.fields.iter().find(|field| !seen.insert(**field)) {
            checks.refuse(
                &at("fields"),
                Code::DuplicateValue,
                format!("`{twice}` stands here twice"),
                "write each field once",
            );
        }
    }
}

fn windows(policy: &PolicySpec, checks: &mut Checks<'_>) {
    if policy.windows.len() > MAX_WINDOWS {
        checks.refuse(
            &["windows"],
            Code::OutOfRange,
            format!("there are {} windows", policy.windows.len()),
            format!("at most {MAX_WINDOWS} can be written"),
        );
    }
    let mut names = BTreeSet::new();
    for (index, window) in policy.windows.iter().enumerate() {
        let index = index.to_string();
        let at = |field: &'static str| ["windows", index.as_str(), field];
        checks.name(&at("name"), &window.name);
        if !names.insert(window.name.as_str()) {
            checks.refuse(
                &at("name"),
                Code::DuplicateValue,
                format!("another window is called {}, too", quoted(&window.name)),
                "give each window a name of its own: people are told by it what holds their plan",
            );
        }
        if window::zone(&window.time_zone).is_none() {
            checks.refuse(
                &at("timeZone"),
                Code::UnknownWord,
                format!("there is no time zone {}", quoted(&window.time_zone)),
                "write a name of the IANA time zone database, such as Europe/Vienna or UTC",
            );
        }
    }
}
