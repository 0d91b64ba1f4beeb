//! Signed commits: what is not signed as the policy wants it leaves all as it is, and says which commit and why.

use crate::common::{World, service, with_image};
use jiff::SignedDuration;
use muster_core::decide::{Command, Input};
use muster_core::signatures::{MAX_COMMITS, Signed, SignedCommit, SignerKey};
use muster_core::view::alerts;
use muster_schemas::api::Severity;
use muster_schemas::event::{Event, RepositoryTrouble, SignatureFault};
use muster_schemas::plan::HoldReason;
use muster_schemas::spec::{PolicySpec, RequiredSignatures, Signatures, Signer};

const ANN: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID0IhVQ4T8yyAeSV1eJp371AdchiEq5HiBHx9pjZj/lP";
const CI: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPtf0T7RHeIfM0X1+H/4bY1gdnDcLNH17jNbmW82W7C1";

fn signer(name: &str, key: &str) -> Signer {
    Signer {
        name: name.to_owned(),
        ssh: Some(key.to_owned()),
        gpg: None,
        policy: false,
        not_after: None,
    }
}

fn fingerprint(key: &str) -> String {
    SignerKey::of(&signer("somebody", key))
        .expect("a key")
        .fingerprint()
}

fn policy(require: RequiredSignatures, signers: Vec<Signer>) -> PolicySpec {
    PolicySpec {
        signatures: Some(Signatures { require, signers }),
        ..PolicySpec::named("default")
    }
}

fn of_head(signers: Vec<Signer>) -> PolicySpec {
    policy(RequiredSignatures::Head, signers)
}

/// A commit whose signature by a key holds, or not.
fn commit(number: u32, key: Result<&str, SignatureFault>) -> SignedCommit {
    SignedCommit {
        commit: format!("{number:040x}").as_str().into(),
        author: "Mal <mal@example.com>".to_owned(),
        key: key.map(fingerprint),
    }
}

/// A world with two tasks of `web`, in which this policy holds.
fn world(policy: &PolicySpec) -> World {
    let mut world = World::new(2);
    world.commit(vec![service("web", 2)], Some(policy.clone()));
    world.pass(12);
    assert_eq!(world.healthy("web"), 2);
    world
}

/// A commit that wants another image and this policy, with these signatures, the head first.
fn push(world: &mut World, next: &PolicySpec, commits: Vec<SignedCommit>) {
    push_with(world, next, commits, false);
}

fn push_with(world: &mut World, next: &PolicySpec, commits: Vec<SignedCommit>, more: bool) {
    let asked = world
        .fleet
        .policy
        .as_ref()
        .and_then(|policy| policy.signatures.clone());
    // The same without a word about signatures is not taken, whatever it holds.
    let image = format!("registry.example.com/app:{}", world.journal.len());
    let revision = world.fleet.revision.clone();
    let said = world.journal.len();
    world.commit(
        vec![with_image(service("web", 2), &image)],
        Some(next.clone()),
    );
    if asked.is_some() {
        assert_eq!(world.fleet.revision, revision);
        assert_eq!(world.journal.len(), said, "it is only read again");
    }
    let mut input = world.last_input.clone().expect("a commit was made");
    input.signed = Signed {
        asked,
        commits,
        more,
    };
    world.last_input = Some(input.clone());
    world
        .give(Input::Revision(Box::new(input)))
        .expect("a revision is always taken");
    world.pass(30);
}

fn trouble(world: &World) -> Option<&RepositoryTrouble> {
    world.fleet.trouble.as_ref().map(|(trouble, _)| trouble)
}

/// What is refused leaves all as it is: what runs, the revision, the policy. It pages, and says which commit and why.
fn assert_refused(world: &World, before: &World, commit: u32, why: &SignatureFault) {
    let expected = RepositoryTrouble::Unsigned {
        commit: format!("{commit:040x}").as_str().into(),
        author: "Mal <mal@example.com>".to_owned(),
        why: why.clone(),
    };
    assert_eq!(trouble(world), Some(&expected));
    assert_eq!(world.fleet.revision, before.fleet.revision);
    assert_eq!(world.fleet.policy, before.fleet.policy);
    assert_eq!(world.fleet.jobs, before.fleet.jobs);
    assert_eq!(world.fleet.plans.len(), before.fleet.plans.len());
    assert_eq!((world.healthy("web"), world.stops()), (2, before.stops()));
    let alerts = alerts(&world.fleet, None, world.now);
    let alert = alerts
        .iter()
        .find(|alert| alert.code == "repository-unsigned")
        .expect("it is an alert");
    assert_eq!(alert.severity, Severity::Page);
    assert!(
        alert.message.contains(&format!("{commit:040x}")),
        "{}",
        alert.message
    );
    assert!(
        alert.message.contains(&why.to_string()),
        "{}",
        alert.message
    );
}

fn snapshot(world: &World) -> World {
    let mut copy = World::new(0);
    copy.fleet = world.fleet.clone();
    copy.journal = world.journal.clone();
    copy.now = world.now;
    copy
}

/// Feature 18 of the reference: an unsigned commit is refused with its reason.
#[test]
fn an_unsigned_commit_is_refused_with_its_reason_until_a_signed_one_comes() {
    let policy = of_head(vec![signer("ann", ANN)]);
    for why in [
        SignatureFault::Missing,
        SignatureFault::Invalid {
            message: "it does not fit the commit".to_owned(),
        },
        SignatureFault::UnknownKey {
            key: "0123456789ABCDEF".to_owned(),
        },
    ] {
        let mut world = world(&policy);
        let before = snapshot(&world);
        push(&mut world, &policy, vec![commit(2, Err(why.clone()))]);
        assert_refused(&world, &before, 2, &why);
        push(&mut world, &policy, vec![commit(3, Ok(ANN))]);
        assert_eq!(trouble(&world), None);
        assert_ne!(world.fleet.revision, before.fleet.revision);
        assert_eq!(
            world.fleet.plans.back().unwrap().plan.signed_by.as_deref(),
            Some("ann")
        );
        let recovered =
            |record: &muster_schemas::event::Record| record.event == Event::RepositoryRecovered;
        assert_eq!(
            world
                .journal
                .iter()
                .filter(|record| recovered(record))
                .count(),
            1
        );
    }
}

#[test]
fn a_signature_by_a_key_that_is_not_listed_does_not_count() {
    let policy = of_head(vec![signer("ann", ANN)]);
    let mut world = world(&policy);
    let before = snapshot(&world);
    push(&mut world, &policy, vec![commit(2, Ok(CI))]);
    let key = fingerprint(CI);
    assert_refused(&world, &before, 2, &SignatureFault::UnknownKey { key });
}

#[test]
fn no_commit_makes_its_own_key_one_that_counts() {
    let ann = of_head(vec![signer("ann", ANN)]);
    let both = of_head(vec![signer("ann", ANN), signer("ci", CI)]);
    let mut world = world(&ann);
    let before = snapshot(&world);
    // Neither by adding a signer, nor by asking for no signature any more.
    for next in [&both, &PolicySpec::named("default")] {
        push(&mut world, next, vec![commit(2, Ok(CI))]);
        let key = fingerprint(CI);
        assert_refused(&world, &before, 2, &SignatureFault::UnknownKey { key });
    }
    push(&mut world, &both, vec![commit(3, Ok(ANN))]);
    assert_eq!(world.fleet.policy.as_ref(), Some(&both));
    push(&mut world, &both, vec![commit(4, Ok(CI))]);
    assert_eq!(trouble(&world), None);
    // A signer who is taken off the list is off it for the next commit.
    push(&mut world, &ann, vec![commit(5, Ok(CI))]);
    let before = snapshot(&world);
    push(&mut world, &ann, vec![commit(6, Ok(CI))]);
    let key = fingerprint(CI);
    assert_refused(&world, &before, 6, &SignatureFault::UnknownKey { key });
}

#[test]
fn where_every_commit_has_to_be_signed_a_signed_head_hides_nothing() {
    let policy = policy(
        RequiredSignatures::Every,
        vec![signer("ann", ANN), signer("ci", CI)],
    );
    let mut world = world(&policy);
    let before = snapshot(&world);
    let missing = || Err(SignatureFault::Missing);
    push(
        &mut world,
        &policy,
        vec![
            commit(5, Ok(ANN)),
            commit(4, missing()),
            commit(3, missing()),
            commit(2, Ok(CI)),
        ],
    );
    assert_refused(&world, &before, 3, &SignatureFault::Missing);
    push(
        &mut world,
        &policy,
        vec![commit(6, Ok(ANN)), commit(2, Ok(CI))],
    );
    assert_eq!(trouble(&world), None);
    let before = snapshot(&world);
    push_with(&mut world, &policy, vec![commit(9, Ok(ANN))], true);
    let most = u32::try_from(MAX_COMMITS).unwrap();
    assert_refused(&world, &before, 9, &SignatureFault::TooMany { most });
}

#[test]
fn a_signer_whose_time_is_over_does_not_count() {
    let start = World::new(0).now;
    let not_after = start + SignedDuration::from_secs(120);
    let policy = of_head(vec![
        Signer {
            not_after: Some(not_after),
            ..signer("ann", ANN)
        },
        signer("ci", CI),
    ]);
    let mut world = world(&policy);
    push(&mut world, &policy, vec![commit(2, Ok(ANN))]);
    assert_eq!(trouble(&world), None);
    world.pass(120);
    let before = snapshot(&world);
    push(&mut world, &policy, vec![commit(3, Ok(ANN))]);
    let why = SignatureFault::SignerExpired {
        signer: "ann".to_owned(),
        not_after,
    };
    assert_refused(&world, &before, 3, &why);
}

#[test]
fn the_applied_revision_read_again_needs_no_signature() {
    // The commit that first asks for signatures is signed by nobody, and a restart reads it again.
    let policy = of_head(vec![signer("ann", ANN)]);
    let mut world = world(&policy);
    let mut input = world.last_input.clone().expect("a commit was made");
    input.signed.asked.clone_from(&policy.signatures);
    let plans = world.fleet.plans.len();
    world.give(Input::Revision(Box::new(input))).unwrap();
    assert_eq!(trouble(&world), None);
    assert_eq!(world.fleet.plans.len(), plans);
}

#[test]
fn only_some_may_change_the_policy() {
    let guarded = |prune| PolicySpec {
        prune,
        ..of_head(vec![
            Signer {
                policy: true,
                ..signer("ann", ANN)
            },
            signer("ci", CI),
        ])
    };
    let mut world = world(&guarded(false));
    // What does not touch the policy may come from any signer.
    push(&mut world, &guarded(false), vec![commit(2, Ok(CI))]);
    assert!(world.fleet.held_plan().is_none());
    let held = guarded(true);
    push(&mut world, &held, vec![commit(3, Ok(CI))]);
    let holds = world.fleet.held_plan().expect("it is held").holds.clone();
    assert_eq!(
        holds,
        [HoldReason::PolicySigner {
            signed_by: Some("ci".to_owned())
        }]
    );
    assert_eq!(
        holds[0].to_string(),
        "it changes the policy, and ci, who signed its head, is not one of those who may change it"
    );
    assert!(!world.fleet.policy.as_ref().unwrap().prune);
    // Signed by one who may, it goes ahead …
    push(&mut world, &held, vec![commit(4, Ok(ANN))]);
    assert!(world.fleet.held_plan().is_none());
    assert!(world.fleet.policy.as_ref().unwrap().prune);
    // … and so it does when a person approves it.
    push(&mut world, &guarded(false), vec![commit(5, Ok(CI))]);
    let plan = world.fleet.held_plan().expect("it is held").plan.id.clone();
    world
        .command(Command::ApprovePlan {
            plan,
            reason: "ann is away".to_owned(),
        })
        .unwrap();
    world.pass(2);
    assert!(!world.fleet.policy.as_ref().unwrap().prune);
}
