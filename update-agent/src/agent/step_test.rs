//! Stories of single machines.

use keelson_image_layout::Reason;

use super::event::{Cost, Staged};
use super::*;

fn settings() -> Settings {
    Settings {
        configured: true,
        pin: None,
        floor: None,
        automatic: true,
        reboot_now: true,
        byte_budget: None,
        check_every: Duration::from_secs(3600),
        first_check: Duration::from_secs(60),
    }
}

fn offer() -> Offer {
    Offer {
        version: "2".to_owned(),
        root_hash: RootHash([2; 32]),
        halted: false,
        rejected: None,
        cost: Cost::default(),
    }
}

fn found() -> Found {
    Found {
        version: "1".to_owned(),
        committed: true,
        ..Found::default()
    }
}

#[test]
fn without_anybody_to_ask_nothing_is_ever_due_until_the_document_says_more() {
    let mut off = settings();
    off.configured = false;
    let mut story = Story::new(off, found());
    assert_eq!(story.wake(), []);
    assert_eq!(story.agent.wakes_at(), None);
    assert_eq!(*story.agent.state(), State::Idle);
    assert!(matches!(
        story.tell(Event::Settings(settings())).as_slice(),
        [Action::Check { .. }]
    ));
}

struct Story {
    agent: Agent,
    now: Duration,
}

impl Story {
    fn new(settings: Settings, found: Found) -> Story {
        let mut story = Story {
            agent: Agent::new(settings),
            now: Duration::ZERO,
        };
        assert_eq!(story.tell(Event::Started { found, held: false }), []);
        story
    }

    fn tell(&mut self, event: Event) -> Vec<Action> {
        self.agent.step(self.now, event)
    }

    fn wake(&mut self) -> Vec<Action> {
        self.now = self.agent.wakes_at().unwrap();
        self.tell(Event::Woke)
    }

    fn end(&mut self, ended: Ended) -> Vec<Action> {
        let work = self.agent.work;
        self.tell(Event::Ended { work, ended })
    }

    /// Until the repository has answered.
    fn offered(&mut self, offer: Offer) -> Vec<Action> {
        assert!(matches!(self.wake().as_slice(), [Action::Check { .. }]));
        self.end(Ended::Check(Ok(Some(offer))))
    }

    fn why(&self) -> Option<Why> {
        match self.agent.state() {
            State::Waiting { why, .. } => Some(why.clone()),
            State::Staged { why, .. } => why.clone(),
            _ => None,
        }
    }
}

#[test]
fn a_release_goes_all_the_way() {
    let mut story = Story::new(settings(), found());
    assert!(matches!(story.offered(offer()).as_slice(), [Action::Describe { .. }]));
    let cost = Cost {
        patch: Some(5),
        full: 50,
    };
    let actions = story.end(Ended::Described(Ok(cost)));
    assert!(
        matches!(actions.as_slice(), [Action::Write { full: true, .. }]),
        "{actions:?}"
    );
    let work = story.agent.work;
    story.tell(Event::Progress {
        work,
        done: 3,
        total: 50,
    });
    assert!(matches!(story.agent.state(), State::Writing { done: 3, total: 50, .. }));
    assert!(matches!(
        story.end(Ended::Write(Ok(()))).as_slice(),
        [Action::Verify { .. }]
    ));
    assert!(matches!(
        story.end(Ended::Verify(Ok(()))).as_slice(),
        [Action::ReadHalt { .. }]
    ));
    assert_eq!(story.end(Ended::Halt(Ok(false))), [Action::Reboot]);
    assert_eq!(*story.agent.state(), State::Rebooting);
}

#[test]
fn every_reason_not_to_write_has_its_name() {
    let bad = Offer {
        rejected: Some(Reason::Health),
        ..offer()
    };
    let halted = Offer {
        halted: true,
        ..offer()
    };
    let pinned = Settings {
        pin: Some("3".to_owned()),
        ..settings()
    };
    let floored = Settings {
        floor: Some("2.1".to_owned()),
        ..settings()
    };
    let manual = Settings {
        automatic: false,
        ..settings()
    };
    let table = [
        (settings(), bad, Why::Failed { reason: Reason::Health }),
        (settings(), halted, Why::Halted),
        (pinned, offer(), Why::Pinned { pin: "3".to_owned() }),
        (
            floored,
            offer(),
            Why::Floor {
                floor: "2.1".to_owned(),
            },
        ),
        (manual, offer(), Why::Manual),
    ];
    for (settings, offer, why) in table {
        let mut story = Story::new(settings, found());
        assert_eq!(story.offered(offer), []);
        assert_eq!(story.why(), Some(why));
    }
}

#[test]
fn a_byte_budget_is_never_passed_silently() {
    let settings = Settings {
        byte_budget: Some(10),
        ..settings()
    };
    let cost = |patch| Cost { patch, full: 50 };
    let mut story = Story::new(settings.clone(), found());
    story.offered(offer());
    assert_eq!(story.end(Ended::Described(Ok(cost(None)))), []);
    assert_eq!(story.why(), Some(Why::Budget { needed: 50, budget: 10 }));
    // A patch fits, but then nothing may be fetched in full.
    let mut story = Story::new(settings, found());
    story.offered(offer());
    let actions = story.end(Ended::Described(Ok(cost(Some(5)))));
    assert!(
        matches!(actions.as_slice(), [Action::Write { full: false, .. }]),
        "{actions:?}"
    );
    story.tell(Event::Asked(Request::Hold(true)));
    story.tell(Event::Asked(Request::Hold(false)));
    story.tell(Event::Asked(Request::Apply));
    story.end(Ended::Check(Ok(Some(offer()))));
    let actions = story.end(Ended::Described(Ok(cost(Some(5)))));
    assert!(
        matches!(actions.as_slice(), [Action::Write { full: true, .. }]),
        "asked for: {actions:?}"
    );
}

#[test]
fn a_machine_that_is_not_committed_asks_nobody() {
    let mut story = Story::new(
        settings(),
        Found {
            committed: false,
            ..found()
        },
    );
    assert_eq!(*story.agent.state(), State::Assessing);
    assert_eq!(story.wake(), [Action::LookAtSlots]);
    assert_eq!(story.tell(Event::Asked(Request::Apply)), []);
    story.tell(Event::Committed);
    assert_eq!(*story.agent.state(), State::Committed);
    assert!(matches!(story.wake().as_slice(), [Action::Check { .. }]));
}

#[test]
fn what_is_staged_is_found_again_and_waits_for_the_reboot_to_be_asked_for() {
    let staged = Staged {
        version: "2".to_owned(),
        root_hash: RootHash([2; 32]),
    };
    let found = Found {
        staged: Some(staged),
        ..found()
    };
    let on_request = Settings {
        reboot_now: false,
        ..settings()
    };
    let mut story = Story::new(on_request, found);
    assert_eq!(story.wake(), []);
    assert_eq!(story.why(), Some(Why::Manual));
    assert!(matches!(
        story.tell(Event::Asked(Request::Apply)).as_slice(),
        [Action::ReadHalt { .. }]
    ));
    assert_eq!(story.end(Ended::Halt(Ok(true))), []);
    assert_eq!(story.why(), Some(Why::Halted));
    assert!(matches!(story.wake().as_slice(), [Action::ReadHalt { .. }]));
    assert_eq!(story.end(Ended::Halt(Ok(false))), [Action::Reboot]);
}

#[test]
fn failures_wait_longer_each_time_and_an_unsound_release_is_not_fetched_again() {
    let mut story = Story::new(settings(), found());
    let mut waits = Vec::new();
    for _ in 0..9 {
        story.wake();
        let what = "no route".to_owned();
        story.end(Ended::Check(Err(Failure::Network { what })));
        waits.push((story.agent.wakes_at().unwrap() - story.now).as_secs());
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
    story.offered(offer());
    story.end(Ended::Described(Ok(Cost::default())));
    let what = "segment 3".to_owned();
    assert_eq!(story.end(Ended::Write(Err(Failure::Unsound { what }))), []);
    assert_eq!(story.offered(offer()), []);
    assert_eq!(story.why(), Some(Why::Unsound));
    story.tell(Event::Asked(Request::Apply));
    let actions = story.end(Ended::Check(Ok(Some(offer()))));
    assert!(
        matches!(actions.as_slice(), [Action::Describe { .. }]),
        "asked for: {actions:?}"
    );
}

#[test]
fn a_release_that_cannot_be_written_is_tried_less_often_each_time_though_the_repository_answers() {
    let mut story = Story::new(settings(), found());
    let mut waits = Vec::new();
    for _ in 0..4 {
        story.offered(offer());
        story.end(Ended::Described(Ok(Cost::default())));
        let what = "busy".to_owned();
        story.end(Ended::Write(Err(Failure::Machine { what })));
        waits.push((story.agent.wakes_at().unwrap() - story.now).as_secs());
    }
    assert_eq!(waits, [60, 120, 240, 480]);
    story.offered(Offer {
        root_hash: keelson_image_layout::RootHash([7; 32]),
        ..offer()
    });
    story.end(Ended::Described(Ok(Cost::default())));
    let what = "busy".to_owned();
    story.end(Ended::Write(Err(Failure::Machine { what })));
    let wait = story.agent.wakes_at().unwrap() - story.now;
    assert_eq!(wait.as_secs(), 60, "another release begins anew");
}

#[test]
fn held_updates_stop_and_late_reports_count_for_nothing() {
    let mut story = Story::new(settings(), found());
    story.offered(offer());
    story.end(Ended::Described(Ok(Cost::default())));
    let late = story.agent.work;
    let actions = story.tell(Event::Asked(Request::Hold(true)));
    assert_eq!(actions, [Action::KeepHold(true), Action::Stop]);
    let ended = Ended::Write(Ok(()));
    assert_eq!(story.tell(Event::Ended { work: late, ended }), []);
    assert_eq!(story.why(), Some(Why::Held));
    assert_eq!(story.offered(offer()), []);
    assert_eq!(story.why(), Some(Why::Held));
}

#[test]
fn going_back_reboots_once_the_slot_is_given_up() {
    let mut story = Story::new(settings(), found());
    assert!(matches!(
        story.tell(Event::Asked(Request::Rollback)).as_slice(),
        [Action::GoBack { .. }]
    ));
    let what = "no fallback".to_owned();
    assert_eq!(story.end(Ended::GoBack(Err(Failure::Machine { what }))), []);
    assert_eq!(*story.agent.state(), State::Idle);
    story.tell(Event::Asked(Request::Rollback));
    assert_eq!(story.wake(), [], "nothing is begun while it goes back");
    assert_eq!(story.end(Ended::GoBack(Ok(()))), [Action::Reboot]);
    // Killed between the record and the reboot: it goes on from there.
    let found = Found {
        leaving: true,
        committed: false,
        ..found()
    };
    let mut agent = Agent::new(settings());
    let actions = agent.step(Duration::ZERO, Event::Started { found, held: false });
    assert!(matches!(actions.as_slice(), [Action::GoBack { .. }]), "{actions:?}");
}

#[test]
fn nothing_older_and_nothing_equal_is_taken() {
    for version in ["1", "0.9", "1~rc1"] {
        let mut story = Story::new(settings(), found());
        let version = version.to_owned();
        assert_eq!(story.offered(Offer { version, ..offer() }), []);
        assert_eq!(*story.agent.state(), State::Idle);
    }
}
