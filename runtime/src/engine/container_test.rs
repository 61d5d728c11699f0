//! Tables and random walks over the state machine.

use super::*;
use proptest::prelude::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn ended(code: i32, second: i64) -> Event {
    Event::Ended(Ending {
        code,
        oom_killed: false,
        at: at(second),
    })
}

fn launched() -> Event {
    Event::Launched { pid: 42, at: at(0) }
}

/// Runs legal events from a fresh container; the effects of the last one.
fn walk(policy: RestartPolicy, events: &[Event]) -> (ContainerState, Vec<Effect>) {
    let mut state = ContainerState::default();
    let mut effects = vec![];
    for event in events {
        effects = state.step(policy, event.clone()).unwrap();
    }
    (state, effects)
}

#[test]
fn starts_and_ends() {
    let (state, effects) = walk(RestartPolicy::No, &[Event::Start, launched(), ended(3, 5)]);
    assert_eq!((state.phase, state.exit_code, state.pid), (Phase::Exited, 3, None));
    assert_eq!(effects, [Effect::Settled]);
}

#[test]
fn policy_schedules_a_restart_and_counts_it() {
    let events = [Event::Start, launched(), ended(1, 1), Event::Due, launched()];
    let (state, _) = walk(RestartPolicy::Always, &events);
    assert_eq!((state.phase, state.restart_count), (Phase::Running, 1));
}

#[test]
fn a_container_stopped_by_hand_stays_stopped() {
    let events = [Event::Start, launched(), Event::Stop, ended(143, 2)];
    let (state, effects) = walk(RestartPolicy::Always, &events);
    assert_eq!((state.phase, state.wish), (Phase::Exited, Wish::Stop));
    assert_eq!(effects, [Effect::Settled]);
}

#[test]
fn only_a_stop_asks_again_after_the_engines_end() {
    let (start, first) = (Event::Start, launched());
    for (event, stopping) in [
        (Event::Stop, true),
        (Event::Restart, true),
        (Event::KilledByHand, false),
    ] {
        let (state, _) = walk(RestartPolicy::Always, &[start.clone(), first.clone(), event.clone()]);
        assert_eq!(state.stopping, stopping, "{event:?}");
        let (state, _) = walk(
            RestartPolicy::Always,
            &[start.clone(), first.clone(), event, ended(0, 5)],
        );
        assert!(!state.stopping);
    }
}

#[test]
fn a_stop_during_the_delay_ends_it() {
    let events = [Event::Start, launched(), ended(1, 1), Event::Stop];
    let (state, effects) = walk(RestartPolicy::Always, &events);
    assert_eq!(state.phase, Phase::Exited);
    assert_eq!(effects, [Effect::CancelRestart, Effect::Settled]);
}

#[test]
fn a_stop_while_starting_ends_it_once_launched() {
    let (_, effects) = walk(RestartPolicy::Always, &[Event::Start, Event::Stop, launched()]);
    assert_eq!(effects, [Effect::Terminate]);
}

#[test]
fn a_restart_by_hand_launches_again_whatever_the_policy() {
    let events = [Event::Start, launched(), Event::Restart, ended(143, 1)];
    let (state, effects) = walk(RestartPolicy::No, &events);
    assert_eq!((state.phase, effects), (Phase::Starting, vec![Effect::Launch]));
}

#[test]
fn a_start_that_fails_leaves_it_created_with_the_reason() {
    let failed = Event::LaunchFailed {
        code: 127,
        error: "no such file".into(),
        at: at(0),
    };
    let (state, effects) = walk(RestartPolicy::Always, &[Event::Start, failed]);
    assert_eq!((state.phase, state.exit_code), (Phase::Created, 127));
    assert_eq!(state.error, "no such file");
    assert_eq!(effects, [Effect::NotStarted]);
}

#[test]
fn a_restart_that_fails_is_tried_again_later() {
    let failed = Event::LaunchFailed {
        code: 128,
        error: "port taken".into(),
        at: at(2),
    };
    let events = [Event::Start, launched(), ended(1, 1), Event::Due, failed];
    let (state, effects) = walk(RestartPolicy::Always, &events);
    assert_eq!(state.phase, Phase::Restarting);
    assert!(matches!(effects[..], [Effect::ScheduleRestart(_)]), "{effects:?}");
}

#[test]
fn forced_removal_kills_first_and_deletes_after_the_end() {
    let remove = Event::Remove { force: true };
    let (state, effects) = walk(RestartPolicy::Always, &[Event::Start, launched(), remove]);
    assert_eq!((state.phase, effects), (Phase::Removing, vec![Effect::Kill]));
    let mut state = state;
    let effects = state.step(RestartPolicy::Always, ended(137, 1)).unwrap();
    assert_eq!(effects, [Effect::Settled, Effect::Delete]);
}

#[test]
fn refuses_what_docker_refuses() {
    let run = [Event::Start, launched()];
    let stop = |code| [Event::Start, launched(), ended(code, 1)];
    let table: [(&[Event], Event, Refusal); 7] = [
        (&run, Event::Start, Refusal::AlreadyRunning),
        (&run, Event::Remove { force: false }, Refusal::StillRunning),
        (&stop(0), Event::Stop, Refusal::AlreadyStopped),
        (&stop(0), Event::KilledByHand, Refusal::NotRunning),
        (&[], Event::Stop, Refusal::AlreadyStopped),
        (&[], Event::KilledByHand, Refusal::NotRunning),
        (
            &[Event::Remove { force: false }],
            Event::Start,
            Refusal::RemovalInProgress,
        ),
    ];
    for (before, event, want) in table {
        let (mut state, _) = walk(RestartPolicy::No, before);
        let kept = state.clone();
        assert_eq!(state.step(RestartPolicy::No, event.clone()), Err(want), "{event:?}");
        assert_eq!(state, kept, "a refusal changes nothing");
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Start),
        Just(Event::Due),
        Just(launched()),
        Just(Event::LaunchFailed {
            code: 128,
            error: "x".into(),
            at: at(1)
        }),
        (0i32..3, 0i64..30).prop_map(|(code, second)| ended(code, second)),
        Just(Event::Stop),
        Just(Event::Restart),
        Just(Event::KilledByHand),
        any::<bool>().prop_map(|force| Event::Remove { force }),
    ]
}

/// Whether the world could send `event` in this phase: a process ends only where one runs.
fn is_possible(phase: Phase, event: &Event, in_flight: bool, has_process: bool) -> bool {
    match event {
        Event::Launched { .. } | Event::LaunchFailed { .. } => in_flight,
        Event::Ended(_) => has_process,
        Event::Due => phase == Phase::Restarting,
        _ => true,
    }
}

proptest! {
    /// At most one launch is under way, none while a process runs, and nothing is deleted while
    /// either is so.
    #[test]
    fn never_two_launches_and_never_a_deletion_of_what_runs(
        events in proptest::collection::vec(any_event(), 0..60),
        always in any::<bool>(),
    ) {
        let policy = if always { RestartPolicy::Always } else { RestartPolicy::No };
        let mut state = ContainerState::default();
        let (mut in_flight, mut has_process) = (false, false);
        for event in events {
            if !is_possible(state.phase, &event, in_flight, has_process) {
                continue;
            }
            match event {
                Event::Launched { .. } => (in_flight, has_process) = (false, true),
                Event::LaunchFailed { .. } => in_flight = false,
                Event::Ended(_) => has_process = false,
                _ => {}
            }
            for effect in state.step(policy, event).unwrap_or_default() {
                match effect {
                    Effect::Launch => {
                        prop_assert!(!in_flight && !has_process);
                        in_flight = true;
                    }
                    Effect::Delete => prop_assert!(!in_flight && !has_process),
                    _ => {}
                }
            }
            prop_assert_eq!(state.phase == Phase::Running, has_process && state.phase != Phase::Removing);
        }
    }
}
