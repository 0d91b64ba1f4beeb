//! The laws of [`super::decide`], on worlds that are made at random.

use super::*;
use crate::agent::testing::{World, attempt, container, launch, marker, order};
use muster_schemas::state::Outcome;
use proptest::prelude::*;

/// Attempts 0 to 5 may be assigned; 6 and 7 never are, so that their containers are orphans.
const ASSIGNED: u128 = 6;
const ALL: u128 = 8;

fn one_item(number: u128) -> impl Strategy<Value = Option<Assignment>> {
    let launch = Box::new(launch(number));
    let order = order(&launch);
    prop_oneof![
        Just(None),
        Just(Some(Assignment::Run(launch.clone()))),
        Just(Some(Assignment::Stop {
            launch: launch.clone(),
            order: order.clone(),
        })),
        // An order for another attempt than the entry's.
        Just(Some(Assignment::Stop {
            launch,
            order: StopOrder {
                attempt: attempt(ALL),
                ..order
            },
        })),
        Just(Some(Assignment::Keep {
            attempt: attempt(number)
        })),
        Just(Some(Assignment::Remove {
            attempt: attempt(number)
        })),
    ]
}

fn one_container(number: u128) -> impl Strategy<Value = Option<Container>> {
    let state = prop_oneof![
        Just(ContainerState::Created),
        Just(ContainerState::Running),
        Just(ContainerState::Exited)
    ];
    prop::option::of((state, 0..3i32).prop_map(move |(state, exit_code)| {
        let mut container = container(&launch(number), state);
        container.exit_code = exit_code;
        container
    }))
}

fn one_marker(number: u128) -> impl Strategy<Value = Option<Arc<Marker>>> {
    let launch = launch(number);
    prop_oneof![
        Just(None),
        Just(Some(Stage::Creating)),
        (0..10i64).prop_map(|ago| {
            Some(Stage::Starting {
                since: World::default().now - SignedDuration::from_secs(ago),
            })
        }),
        Just(Some(Stage::Undoing {
            container: container(&launch, ContainerState::Created).id,
            ended: ends::start_unknown(Timestamp::UNIX_EPOCH),
        })),
        Just(Some(Stage::Ended {
            ended: ends::lost(Timestamp::UNIX_EPOCH)
        })),
    ]
    .prop_map(move |stage| {
        // The containers of these worlds have other settings than this says.
        let settings = Some(crate::runtime::settings::settings("as-created"));
        stage.map(|stage| {
            Arc::new(Marker {
                settings: settings.clone(),
                ..marker(&launch, stage)
            })
        })
    })
}

fn image() -> impl Strategy<Value = Option<Image>> {
    prop_oneof![
        Just(None),
        Just(Some(Image::Here)),
        Just(Some(Image::Coming(PullProgress::default()))),
        (-5..5i64).prop_map(|seconds| Some(Image::Failed(retry(seconds)))),
    ]
}

fn retry(seconds: i64) -> Retry {
    Retry {
        message: "the registry is away".into(),
        until: World::default().now + SignedDuration::from_secs(seconds),
        tries: 1,
    }
}

prop_compose! {
    fn worlds()(
        items in (0..ASSIGNED).map(one_item).collect::<Vec<_>>(),
        containers in (0..ALL).map(one_container).collect::<Vec<_>>(),
        markers in (0..ALL).map(one_marker).collect::<Vec<_>>(),
        image in image(),
        retries in prop::collection::vec(prop::option::of(-5..5i64), 6),
        busy in prop::collection::vec(prop::bool::weighted(0.1), 6),
        put_back in prop::collection::vec(prop::option::of(prop::bool::ANY), 6),
        mends in prop::collection::vec(prop::option::of(-5..5i64), 6),
    ) -> World {
        let numbered = |number: usize| attempt(number as u128);
        World {
            items: items.into_iter().flatten().collect(),
            containers: containers.into_iter().enumerate()
                .filter_map(|(number, container)| Some((numbered(number), container?))).collect(),
            markers: markers.into_iter().enumerate()
                .filter_map(|(number, marker)| Some((numbered(number), marker?))).collect(),
            images: image.into_iter().map(|image| (launch(0).image, image)).collect(),
            retries: retries.into_iter().enumerate()
                .filter_map(|(number, seconds)| Some((numbered(number), retry(seconds?)))).collect(),
            put_back: put_back.into_iter().enumerate()
                .filter_map(|(number, name)| {
                    let field = if name? { DriftField::Name } else { DriftField::Paused };
                    Some((numbered(number), vec![field]))
                })
                .collect(),
            mends: mends.into_iter().enumerate()
                .filter_map(|(number, seconds)| Some((numbered(number), retry(seconds?)))).collect(),
            busy: busy.into_iter().enumerate()
                .filter(|(_, busy)| *busy).map(|(number, _)| numbered(number)).collect(),
            ..World::default()
        }
    }
}

fn stage(world: &World, attempt: AttemptId) -> Option<&Stage> {
    world.markers.get(&attempt).map(|marker| &marker.stage)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_is_stopped_without_an_order_for_it(world in worlds()) {
        for action in decide(&world.view()) {
            if let Action::Stop { launch, container, order } = action {
                let ordered = world.items.iter().any(|item| matches!(
                    item,
                    Assignment::Stop { launch: wanted, order: given }
                        if wanted.attempt == launch.attempt && *given == order && given.attempt == launch.attempt
                ));
                prop_assert!(ordered);
                prop_assert_eq!(&world.containers[&launch.attempt].id, &container);
            }
        }
    }

    /// Only on an order for that very container, only what is ordered and has changed, and only where it is to run.
    #[test]
    fn nothing_is_put_back_without_an_order_for_it(world in worlds()) {
        let actions = decide(&world.view());
        for action in &actions {
            let Action::PutBack { launch, container, fields } = action else { continue };
            prop_assert_eq!(&world.put_back[&launch.attempt], fields);
            prop_assert_eq!(fields, &[DriftField::Name]);
            let there = &world.containers[&launch.attempt];
            prop_assert_eq!(&there.id, container);
            prop_assert_eq!(there.state, ContainerState::Running);
            prop_assert!(world.items.contains(&Assignment::Run(launch.clone())));
        }
        // And then it is.
        for item in &world.items {
            let Assignment::Run(launch) = item else { continue };
            let attempt = launch.attempt;
            let ordered = world.put_back.get(&attempt).is_some_and(|fields| *fields == [DriftField::Name]);
            let is_over = |retry: Option<&Retry>| retry.is_none_or(|retry| retry.until <= world.now);
            let free = !world.busy.contains(&attempt)
                && is_over(world.retries.get(&attempt)) && is_over(world.mends.get(&attempt));
            let runs = world.containers.get(&attempt)
                .is_some_and(|container| container.state == ContainerState::Running);
            let known = matches!(stage(&world, attempt), Some(Stage::Creating | Stage::Starting { .. }));
            if ordered && free && runs && known {
                let done = actions.iter().any(|action| matches!(
                    action, Action::PutBack { launch, .. } if launch.attempt == attempt
                ));
                prop_assert!(done);
            }
        }
    }

    #[test]
    fn an_order_for_a_running_container_is_followed(world in worlds()) {
        let actions = decide(&world.view());
        for item in &world.items {
            let Assignment::Stop { launch, order } = item else { continue };
            let idle = !world.busy.contains(&launch.attempt)
                && world.retries.get(&launch.attempt).is_none_or(|retry| retry.until <= world.now);
            let runs = world.containers.get(&launch.attempt)
                .is_some_and(|container| container.state == ContainerState::Running);
            if idle && runs && order.attempt == launch.attempt {
                // One that is being taken back is stopped by that.
                let followed = actions.iter().any(|action| matches!(
                    action,
                    Action::Stop { launch: stopped, .. } | Action::Undo { launch: stopped, .. }
                        if stopped.attempt == launch.attempt
                ));
                prop_assert!(followed);
            }
        }
    }

    #[test]
    fn nothing_is_started_that_may_have_been(world in worlds()) {
        for action in decide(&world.view()) {
            match action {
                Action::Launch { launch } => {
                    prop_assert!(!world.containers.contains_key(&launch.attempt));
                    let never_started = matches!(stage(&world, launch.attempt), None | Some(Stage::Creating));
                    prop_assert!(never_started);
                    prop_assert!(world.items.contains(&Assignment::Run(launch)));
                }
                Action::Start { launch, container } => {
                    let there = &world.containers[&launch.attempt];
                    prop_assert_eq!(&there.id, &container);
                    prop_assert_eq!(there.state, ContainerState::Created);
                    prop_assert_eq!(there.exit_code, 0);
                    let never_started = matches!(stage(&world, launch.attempt), None | Some(Stage::Creating));
                    prop_assert!(never_started);
                    prop_assert!(world.items.contains(&Assignment::Run(launch)));
                }
                Action::Fetch { .. } | Action::Stop { .. } | Action::PutBack { .. } | Action::Undo { .. }
                | Action::Settle { .. } | Action::Remove { .. } | Action::Forget { .. } => {}
            }
        }
    }

    #[test]
    fn nothing_is_removed_that_runs_or_was_not_to_be(world in worlds()) {
        for action in decide(&world.view()) {
            match action {
                Action::Remove { attempt, container } => {
                    let wanted = world.items.contains(&Assignment::Remove { attempt });
                    prop_assert!(wanted);
                    prop_assert_eq!(&world.containers[&attempt].id, &container);
                    prop_assert_ne!(world.containers[&attempt].state, ContainerState::Running);
                }
                Action::Forget { attempt } => {
                    prop_assert!(!world.containers.contains_key(&attempt));
                }
                Action::Fetch { .. } | Action::Launch { .. } | Action::Start { .. }
                | Action::Stop { .. } | Action::PutBack { .. } | Action::Undo { .. } | Action::Settle { .. } => {}
            }
        }
    }

    /// Only what was asked to start, has had its time, and by the engine's word did not.
    #[test]
    fn nothing_is_undone_that_runs_or_may_be_starting(world in worlds()) {
        for action in decide(&world.view()) {
            let Action::Undo { launch, container, .. } = action else { continue };
            match stage(&world, launch.attempt) {
                Some(Stage::Starting { since }) => {
                    let there = &world.containers[&launch.attempt];
                    prop_assert_eq!(&there.id, &container);
                    prop_assert_eq!(there.state, ContainerState::Created);
                    prop_assert!(world.now.duration_since(*since) >= START_SETTLES);
                }
                // Begun once, it is gone through with.
                Some(Stage::Undoing { container: begun, .. }) => prop_assert_eq!(begun, &container),
                other => prop_assert!(false, "{:?}", other),
            }
            let wanted = world.items.iter().any(|item| match item {
                Assignment::Run(run) => **run == *launch,
                Assignment::Stop { launch: stopped, order } => {
                    **stopped == *launch && order.attempt == launch.attempt
                }
                Assignment::Keep { .. } | Assignment::Remove { .. } => false,
            });
            prop_assert!(wanted);
        }
    }

    #[test]
    fn orphans_and_busy_attempts_are_left_alone(world in worlds()) {
        let mut seen = BTreeSet::new();
        for action in decide(&world.view()) {
            let Some(attempt) = action.attempt() else { continue };
            prop_assert!(seen.insert(attempt), "two actions for {}", attempt);
            prop_assert!(!world.busy.contains(&attempt));
            let named = world.items.iter().any(|item| item.attempt() == attempt);
            if world.containers.contains_key(&attempt) {
                prop_assert!(named);
            }
        }
    }

    /// What the engine says of a container while its start is undone is no end of its own.
    #[test]
    fn no_end_is_told_while_a_start_is_undone(world in worlds()) {
        for item in &world.items {
            if let Some(Stage::Undoing { .. }) = stage(&world, item.attempt()) {
                let told = phase(&world.view(), item);
                let is_end = matches!(told, Some(Phase::Ended(_) | Phase::Running));
                prop_assert!(!is_end, "{:?}", told);
            }
        }
    }

    /// An end, once written, is the only thing ever told.
    #[test]
    fn ends_stand(world in worlds()) {
        for item in &world.items {
            let told = phase(&world.view(), item);
            if let Some(Stage::Ended { ended }) = stage(&world, item.attempt()) {
                prop_assert_eq!(told, Some(Phase::Ended(ended.clone())));
            }
        }
        for action in decide(&world.view()) {
            if let Action::Settle { attempt, ended, .. } = action {
                let before = stage(&world, attempt);
                let settled = matches!(before, Some(Stage::Ended { .. }));
                prop_assert!(!settled);
                if ended.outcome == Outcome::Lost {
                    prop_assert!(!world.containers.contains_key(&attempt));
                    let starting = matches!(before, Some(Stage::Starting { .. }));
                    prop_assert!(starting);
                }
            }
        }
    }
}

#[test]
fn a_clock_that_was_set_back_does_not_keep_a_start_undecided() {
    let launch = launch(1);
    let mut world = World::assigned(vec![Assignment::Run(Box::new(launch.clone()))]);
    world
        .containers
        .insert(launch.attempt, container(&launch, ContainerState::Created));
    let since = world.now + SignedDuration::from_hours(5);
    world.markers.insert(
        launch.attempt,
        Arc::new(marker(&launch, Stage::Starting { since })),
    );
    assert!(matches!(decide(&world.view())[..], [Action::Undo { .. }]));
}

#[test]
fn one_fetch_serves_all_who_wait_for_the_image() {
    let items = (0..4).map(|number| Assignment::Run(Box::new(launch(number))));
    let world = World::assigned(items.collect());
    assert_eq!(
        decide(&world.view()),
        [Action::Fetch {
            image: launch(0).image
        }]
    );
}

#[test]
fn markers_that_nobody_names_are_forgotten_after_a_day() {
    let launch = launch(1);
    let mut world = World::default();
    let mut old = marker(&launch, Stage::Creating);
    old.made_at = world.now - SignedDuration::from_hours(23);
    world.markers.insert(launch.attempt, Arc::new(old.clone()));
    assert_eq!(decide(&world.view()), []);
    old.made_at = world.now - SignedDuration::from_hours(25);
    world.markers.insert(launch.attempt, Arc::new(old));
    assert_eq!(
        decide(&world.view()),
        [Action::Forget {
            attempt: launch.attempt
        }]
    );
}
