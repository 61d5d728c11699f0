//! The agent driven by a queue of events over a model of its machine, whose record is changed by the shipped decisions.
//! Networks fail, agents are killed, power goes, releases are bad or halted: what must never happen is checked at each
//! action, and once the faults end the machine runs the newest release that works on it.

use std::collections::{BTreeMap, BTreeSet};

use keelson_image_layout::slot_state::boot::{Attempt, Boot, Choice, decide_boot};
use keelson_image_layout::slot_state::decide::mark_good;
use keelson_image_layout::slot_state::update::{Running, Wanted, begin, give_up, has_fallback, put_on_trial};
use keelson_image_layout::{Reason, Slot, SlotRecord, SlotState, State as Stored};
use proptest::prelude::*;

use super::event::{Cost, Staged};
use super::*;

/// A release: its number is its version and the bytes of its root hash.
#[derive(Debug, Clone, Copy)]
struct Release {
    number: u8,
    healthy: bool,
    /// Its description does not fit it.
    unsound: bool,
}

/// What comes over the machine, one after another.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    NetworkDown,
    AgentKilled,
    PowerCut,
    Publish(Release),
    Halt(bool),
    Hold(bool),
    Apply,
    Rollback,
}

/// How long the repository takes to answer.
const ANSWER: Duration = Duration::from_secs(1);

struct World {
    agent: Agent,
    now: Duration,
    queue: BTreeMap<(Duration, u64), Event>,
    sent: u64,
    record: SlotState,
    slot: Slot,
    releases: Vec<Release>,
    halted: bool,
    /// Since when the flag says so.
    flag_set: Duration,
    held: bool,
    network: bool,
    /// The whole of this release lies in the other slot.
    complete: Option<u8>,
    /// Root hashes that were booted on trial and given up.
    failed: BTreeSet<u8>,
    gone_back: bool,
    rebooted_while_halted: bool,
}

fn hash(number: u8) -> RootHash {
    RootHash([number; 32])
}

fn settings() -> Settings {
    Settings {
        configured: true,
        pin: None,
        floor: None,
        automatic: true,
        reboot_now: true,
        byte_budget: None,
        check_every: Duration::from_secs(3600),
        first_check: Duration::from_secs(30),
    }
}

impl World {
    fn new() -> World {
        let record = |state| SlotRecord {
            state,
            tries: 3,
            root_hash: hash(1).0,
            version: SlotRecord::version_bytes("1"),
            ..SlotRecord::EMPTY
        };
        let mut world = World {
            agent: Agent::new(settings()),
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            sent: 0,
            record: SlotState::new([record(Stored::Good), record(Stored::Trial)]),
            slot: Slot::A,
            releases: Vec::new(),
            halted: false,
            flag_set: Duration::ZERO,
            held: false,
            network: true,
            complete: None,
            failed: BTreeSet::new(),
            gone_back: false,
            rebooted_while_halted: false,
        };
        world.start_agent();
        world
    }

    fn running(&self) -> Running {
        Running {
            slot: self.slot,
            root_hash: RootHash(self.record.slot(self.slot).root_hash),
        }
    }

    fn number_in(&self, slot: Slot) -> u8 {
        self.record.slot(slot).root_hash[0]
    }

    /// The agent remembers nothing: all it gets is what the slots hold.
    fn start_agent(&mut self) {
        self.queue.clear();
        let other = self.record.slot(self.slot.other());
        let differs = other.root_hash != self.record.slot(self.slot).root_hash;
        let found = Found {
            version: self.record.slot(self.slot).version_text(),
            committed: self.record.slot(self.slot).state == Stored::Good,
            leaving: self.record.slot(self.slot).state == Stored::Bad && has_fallback(&self.record, self.slot),
            staged: (other.state == Stored::Trial && differs).then(|| Staged {
                version: other.version_text(),
                root_hash: RootHash(other.root_hash),
            }),
            given_up: (other.state == Stored::Bad).then(|| (other.version_text(), other.reason)),
        };
        self.agent = Agent::new(settings());
        let held = self.held;
        self.tell(Event::Started { found, held });
    }

    fn send(&mut self, after: u64, event: Event) {
        self.sent += 1;
        self.queue
            .insert((self.now + Duration::from_secs(after), self.sent), event);
    }

    fn tell(&mut self, event: Event) {
        for action in self.agent.step(self.now, event) {
            self.carry_out(action);
        }
    }

    fn end(&mut self, after: u64, work: u64, ended: Ended) {
        self.send(after, Event::Ended { work, ended });
    }

    fn over_network<T>(&self, answer: T) -> Result<T, Failure> {
        let what = "down".to_owned();
        if self.network {
            Ok(answer)
        } else {
            Err(Failure::Network { what })
        }
    }

    fn release(&self, offer: &Offer) -> Release {
        let number = offer.root_hash.0[0];
        *self.releases.iter().find(|release| release.number == number).unwrap()
    }

    fn wanted(offer: &Offer) -> Wanted {
        Wanted {
            version: offer.version.clone(),
            root_hash: offer.root_hash,
            entry_sha256: [0; 32],
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Check { work } => {
                let newest = self.releases.last().map(|release| Offer {
                    version: release.number.to_string(),
                    root_hash: hash(release.number),
                    halted: self.halted,
                    rejected: self.record.rejection(&hash(release.number)),
                    cost: Cost::default(),
                });
                let answer = self.over_network(newest);
                self.end(1, work, Ended::Check(answer));
            }
            Action::Describe { work, .. } => {
                let answer = self.over_network(Cost {
                    patch: Some(1),
                    full: 9,
                });
                self.end(1, work, Ended::Described(answer));
            }
            Action::Write { work, offer, .. } => self.write(work, &offer),
            Action::Verify { work, offer } => self.verify(work, &offer),
            Action::ReadHalt { work } => {
                let answer = self.over_network(self.halted);
                self.end(1, work, Ended::Halt(answer));
            }
            Action::GoBack { work } => {
                let answer = give_up(&self.record, self.slot, Reason::Replaced);
                let what = "no fallback".to_owned();
                let answer = answer.map_err(|_| Failure::Machine { what });
                let answer = answer.map(|next| {
                    self.failed.insert(self.number_in(self.slot));
                    self.gone_back = true;
                    self.record = next.unwrap_or(self.record.clone());
                });
                self.end(1, work, Ended::GoBack(answer));
            }
            Action::Reboot => {
                // An answer takes a second: it may be older than the flag by that.
                let known = self.now.saturating_sub(self.flag_set) > ANSWER;
                self.rebooted_while_halted |= self.halted && known && !self.gone_back;
                self.boot();
            }
            Action::Stop => {}
            Action::LookAtSlots => {
                if self.record.slot(self.slot).state == Stored::Good {
                    self.send(0, Event::Committed);
                }
            }
            Action::KeepHold(held) => self.held = held,
        }
    }

    /// Never without a commit, never what failed, never the running slot.
    fn write(&mut self, work: u64, offer: &Offer) {
        let number = offer.root_hash.0[0];
        assert_eq!(
            self.record.slot(self.slot).state,
            Stored::Good,
            "written before the commit"
        );
        assert!(!self.failed.contains(&number), "release {number} is tried again");
        assert!(!self.held, "written while held");
        let before = self.record.slot(self.slot).clone();
        let next = begin(&self.record, &self.running(), &World::wanted(offer)).expect("the gates asked the record");
        self.record = next.unwrap_or(self.record.clone());
        assert_eq!(
            *self.record.slot(self.slot),
            before,
            "the running slot's record changed"
        );
        self.complete = None;
        let answer = if self.release(offer).unsound {
            let what = "digest".to_owned();
            Err(Failure::Unsound { what })
        } else {
            self.over_network(())
        };
        self.end(100, work, Ended::Write(answer));
    }

    fn verify(&mut self, work: u64, offer: &Offer) {
        self.complete = Some(offer.root_hash.0[0]);
        let next = put_on_trial(&self.record, &self.running(), &World::wanted(offer)).unwrap();
        self.record = next.unwrap_or(self.record.clone());
        self.end(5, work, Ended::Verify(Ok(())));
    }

    /// The loader takes the newest entry that is not bad and has tries; the initramfs counts; health decides.
    fn boot(&mut self) {
        let bootable = |slot: Slot| {
            let record = self.record.slot(slot);
            let complete = record.state != Stored::Trial
                || self.complete == Some(record.root_hash[0])
                || record.root_hash == hash(1).0;
            matches!(record.state, Stored::Good | Stored::Trial) && record.tries > 0 && complete
        };
        let candidates = Slot::ALL.into_iter().filter(|slot| bootable(*slot));
        let slot = candidates
            .max_by_key(|slot| self.number_in(*slot))
            .expect("something boots");
        let attempt = Attempt {
            slot,
            root_hash: RootHash(self.record.slot(slot).root_hash),
            version: "",
            choice: Choice::Open,
        };
        let Boot::Go { write, trial } = decide_boot(&self.record, &attempt) else {
            panic!("refused: {:?}", self.record)
        };
        self.record = write.unwrap_or(self.record.clone());
        self.slot = slot;
        self.gone_back = false;
        let number = self.number_in(slot);
        let healthy = number == 1
            || self
                .releases
                .iter()
                .any(|release| release.number == number && release.healthy);
        if trial && !healthy && has_fallback(&self.record, slot) {
            self.failed.insert(number);
            self.record = give_up(&self.record, slot, Reason::Health).unwrap().unwrap();
            return self.boot();
        }
        self.start_agent();
        if trial {
            self.record = mark_good(&self.record, slot, 3).unwrap_or(self.record.clone());
            self.send(60, Event::Committed);
        }
    }

    fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::None => {}
            Fault::NetworkDown => self.network = !self.network,
            Fault::AgentKilled => self.start_agent(),
            Fault::PowerCut => self.boot(),
            Fault::Publish(release) => {
                let number = self.releases.last().map_or(2, |newest| newest.number + 1);
                self.releases.push(Release { number, ..release });
            }
            Fault::Halt(halted) => (self.halted, self.flag_set) = (halted, self.now),
            Fault::Hold(held) => self.tell(Event::Asked(Request::Hold(held))),
            Fault::Apply => self.tell(Event::Asked(Request::Apply)),
            Fault::Rollback => self.tell(Event::Asked(Request::Rollback)),
        }
    }

    /// Everything that happens within so much time.
    fn run(&mut self, for_: Duration) {
        let end = self.now + for_;
        for _ in 0..100_000 {
            let woken = self.agent.wakes_at().unwrap_or(Duration::MAX);
            let next = self.queue.keys().next().copied();
            let due = next.map_or(woken, |(at, _)| at.min(woken));
            if due > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(due);
            match next.filter(|(at, _)| *at <= woken) {
                Some(key) => {
                    let event = self.queue.remove(&key).unwrap();
                    self.tell(event);
                }
                None => self.tell(Event::Woke),
            }
        }
        panic!("it never comes to rest: {:?}", self.agent.state());
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    let release = (any::<bool>(), proptest::bool::weighted(0.2)).prop_map(|(healthy, unsound)| Release {
        number: 0,
        healthy,
        unsound,
    });
    prop_oneof![
        2 => Just(Fault::None),
        1 => Just(Fault::NetworkDown),
        3 => Just(Fault::AgentKilled),
        3 => Just(Fault::PowerCut),
        4 => release.prop_map(Fault::Publish),
        1 => any::<bool>().prop_map(Fault::Halt),
        1 => any::<bool>().prop_map(Fault::Hold),
        1 => Just(Fault::Apply),
        1 => Just(Fault::Rollback),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_happens_the_machine_ends_with_the_newest_release_that_works(
        faults in proptest::collection::vec((fault(), 0..7200u64), 0..20),
    ) {
        let mut world = World::new();
        for (fault, seconds) in faults {
            world.suffer(fault);
            world.run(Duration::from_secs(seconds));
        }
        prop_assert!(!world.rebooted_while_halted, "rebooted into a halted release");
        world.network = true;
        world.halted = false;
        world.suffer(Fault::Hold(false));
        world.suffer(Fault::Publish(Release { number: 0, healthy: true, unsound: false }));
        world.run(Duration::from_secs(6 * 3600));
        let newest = world.releases.last().unwrap().number;
        prop_assert_eq!(world.number_in(world.slot), newest, "{:?}", world.agent.state());
        prop_assert_eq!(world.record.slot(world.slot).state, Stored::Good);
    }

    #[test]
    fn a_bad_release_is_left_and_named(cuts in 0..4usize) {
        let mut world = World::new();
        world.suffer(Fault::Publish(Release { number: 0, healthy: false, unsound: false }));
        world.run(Duration::from_secs(3600));
        for _ in 0..cuts {
            world.suffer(Fault::PowerCut);
            world.run(Duration::from_secs(3 * 3600));
        }
        prop_assert_eq!(world.number_in(world.slot), 1);
        world.run(Duration::from_secs(3 * 3600));
        let named = matches!(
            world.agent.state(),
            State::Waiting { why: Why::Failed { reason: Reason::Health }, .. }
        );
        prop_assert!(named, "{:?}", world.agent.state());
    }
}
