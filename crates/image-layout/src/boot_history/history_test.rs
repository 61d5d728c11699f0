//! Evidence and what is concluded from it.

use proptest::prelude::*;

use super::*;
use crate::slot_state::{Reason, State};

fn boot(id: &str) -> Boot {
    Boot {
        boot_id: Some(id.to_owned()),
        slot: Slot::A,
        version: "1.0.0".to_owned(),
        trial: false,
        started: Some(1_000),
        slots: None,
        end: None,
    }
}

fn ending(id: &str, asker: Asker) -> Ending {
    Ending {
        boot_id: id.to_owned(),
        kind: Kind::Reboot,
        asker,
        at: 1_600,
        up: 600,
    }
}

fn facts(state: State, tries: u8, reason: Reason) -> SlotFacts {
    SlotFacts {
        state,
        tries,
        reason,
        version: "1.0.0".to_owned(),
    }
}

fn by_core() -> Asker {
    Asker::request(
        Some("access".to_owned()),
        Some("core".to_owned()),
        Some("new kernel".to_owned()),
    )
}

/// The causes of everything that ended, the oldest first.
fn causes(history: &History) -> Vec<Cause> {
    history
        .boots
        .iter()
        .filter_map(|boot| Some(boot.end.as_ref()?.cause))
        .collect()
}

#[test]
fn each_kind_of_evidence_has_its_cause() {
    let by_update = Asker::request(Some("update".to_owned()), None, None);
    let failed = Asker::FailedBoot {
        reason: "netd is not up".to_owned(),
    };
    let by_rollback = Asker::request(
        Some("rollback".to_owned()),
        None,
        Some("back from version 2".to_owned()),
    );
    let judged = Asker::request(
        Some("mark-good".to_owned()),
        None,
        Some("probe page: refused".to_owned()),
    );
    let panic = Some((Reason::Panic, 7, Some("Kernel panic - not syncing: sysrq")));
    let table = [
        (None, None, vec![Cause::PowerLoss], "no orderly end"),
        (
            Some(by_core()),
            None,
            vec![Cause::AskedFor],
            "reboot was asked for by core through access: new kernel",
        ),
        (Some(Asker::PowerButton), None, vec![Cause::AskedFor], "power button"),
        (Some(by_update), None, vec![Cause::Update], "the service update"),
        (
            Some(by_rollback),
            None,
            vec![Cause::Update],
            "the service rollback: back from version 2",
        ),
        (Some(failed), None, vec![Cause::FailedHealth], "netd is not up"),
        (Some(judged), None, vec![Cause::FailedHealth], "probe page: refused"),
        (None, panic, vec![Cause::Panic], "not syncing: sysrq"),
        (
            None,
            Some((Reason::Watchdog, 0, None)),
            vec![Cause::Watchdog],
            "watchdog",
        ),
        (
            None,
            Some((Reason::Corruption, 8, None)),
            vec![Cause::Corruption],
            "hash",
        ),
        (
            Some(by_core()),
            panic,
            vec![Cause::AskedFor, Cause::Panic],
            "after the orderly end: the kernel gave up",
        ),
    ];
    for (asker, trace, expected, words) in table {
        let ending = asker.map(|asker| ending("one", asker));
        let mut history = History::default();
        history.begin(boot("one"), &Evidence::default());
        let evidence = Evidence {
            ending: ending.as_ref(),
            trace,
            ..Evidence::default()
        };
        history.begin(boot("two"), &evidence);
        assert_eq!(causes(&history), expected, "{words}");
        let end = history.last_ended().and_then(|boot| boot.end.as_ref()).unwrap();
        assert!(end.words.contains(words), "{} has no {words:?}", end.words);
    }
}

#[test]
fn a_release_given_up_for_its_health_is_told_once() {
    let trial = facts(State::Trial, 2, Reason::None);
    let good = facts(State::Good, 3, Reason::None);
    let judged = Asker::request(Some("mark-good".to_owned()), None, None);
    let ending = ending("one", judged);
    let mut history = History::default();
    let first = Boot {
        slots: Some([trial, good.clone()]),
        ..boot("one")
    };
    history.begin(first, &Evidence::default());
    let evidence = Evidence {
        ending: Some(&ending),
        slots: Some([facts(State::Bad, 0, Reason::Health), good]),
        ..Evidence::default()
    };
    history.begin(boot("two"), &evidence);
    assert_eq!(causes(&history), [Cause::FailedHealth]);
}

#[test]
fn an_ending_of_another_boot_says_nothing() {
    let mut history = History::default();
    history.begin(boot("one"), &Evidence::default());
    let ending = ending("zero", by_core());
    let evidence = Evidence {
        ending: Some(&ending),
        ..Evidence::default()
    };
    history.begin(boot("two"), &evidence);
    assert_eq!(causes(&history), [Cause::PowerLoss]);
}

#[test]
fn a_trace_that_stays_is_told_once() {
    let mut history = History::default();
    history.begin(boot("one"), &Evidence::default());
    let evidence = Evidence {
        trace: Some((Reason::Panic, 9, None)),
        ..Evidence::default()
    };
    history.begin(boot("two"), &evidence);
    history.begin(boot("three"), &evidence);
    assert_eq!(causes(&history), [Cause::Panic, Cause::PowerLoss]);
}

#[test]
fn attempts_in_between_are_told_by_what_they_cost() {
    use State::{Bad, Good, Trial};
    let none = facts(Good, 3, Reason::None);
    let table = [
        (none.clone(), none.clone(), None),
        (
            none.clone(),
            facts(Good, 2, Reason::Corruption),
            Some(Cause::Corruption),
        ),
        (
            facts(Trial, 1, Reason::None),
            facts(Bad, 0, Reason::Tries),
            Some(Cause::FailedHealth),
        ),
        (
            facts(Trial, 3, Reason::None),
            facts(Bad, 0, Reason::Other),
            Some(Cause::Corruption),
        ),
        (facts(Trial, 2, Reason::None), facts(Good, 3, Reason::None), None),
        (none.clone(), facts(Good, 2, Reason::Panic), None),
        (facts(Bad, 0, Reason::Tries), facts(Bad, 0, Reason::Tries), None),
    ];
    for (before, now, expected) in table {
        let found = decide_attempts(&[before.clone(), none.clone()], &[now.clone(), none.clone()]);
        assert_eq!(
            found.first().map(|(_, _, end)| end.cause),
            expected,
            "{before:?} {now:?}"
        );
    }
}

#[test]
fn the_newest_event_is_the_answer() {
    let slots = |a| Some([a, facts(State::Good, 3, Reason::None)]);
    let mut history = History::default();
    let mut first = boot("one");
    first.slots = slots(facts(State::Good, 3, Reason::None));
    history.begin(first, &Evidence::default());
    let ending = ending("one", by_core());
    let evidence = Evidence {
        ending: Some(&ending),
        slots: slots(facts(State::Good, 2, Reason::Corruption)),
        ..Evidence::default()
    };
    history.begin(boot("two"), &evidence);
    assert_eq!(causes(&history), [Cause::AskedFor, Cause::Corruption]);
    assert_eq!(history.last_ended().map(|boot| &boot.boot_id), Some(&None));
}

#[test]
fn a_saved_clock_counts_if_it_is_of_that_boot() {
    for (alive, expected) in [(1_234, Some(1_234)), (999, None)] {
        let mut history = History::default();
        history.begin(boot("one"), &Evidence::default());
        let evidence = Evidence {
            last_alive: Some(alive),
            ..Evidence::default()
        };
        history.begin(boot("two"), &evidence);
        let end = history.last_ended().and_then(|boot| boot.end.clone()).unwrap();
        assert_eq!(end.last_alive, expected);
    }
}

#[test]
fn the_history_is_bounded_and_comes_back_as_it_was() {
    let mut history = History::default();
    for number in 0..200 {
        history.begin(boot(&number.to_string()), &Evidence::default());
    }
    assert_eq!(history.boots.len(), MOST_BOOTS);
    assert_eq!(History::parse(&history.to_bytes()).unwrap(), history);
    assert!(history.to_bytes().len() < MOST_BYTES);
}

#[test]
fn what_a_newer_release_writes_is_read() {
    let text = br#"{"format":2,"min_reader":2,"boots":[{"slot":"a","version":"2","x":1,"end":
        {"cause":"meteor","words":"w","ending":{"boot_id":"i","kind":"reboot","asker":{"by":"moon"},"at":1,"up":1}}}]}"#;
    let history = History::parse(text).unwrap();
    assert!(!history.may_write());
    assert_eq!(causes(&history), [Cause::Unknown]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(history) = History::parse(&bytes) {
            prop_assert_eq!(History::parse(&history.to_bytes()).unwrap(), history);
        }
    }
}
