//! Random events against what must always hold. The world is simulated: processes are born by spawns, die by signals
//! or by themselves, and are reaped; time only goes on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use keelson_image_layout::boot_history::Asker;
use keelson_manager_api::{PowerKind, Request};
use proptest::prelude::*;

use super::boot::Otherwise;
use super::scenarios::unit;
use super::state::State;
use super::{Action, Authority, BootPolicy, Connection, Event, Exit, Manager, Notification};
use crate::unit::{Kind, Restart};

/// What the outside does next; numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Deed {
    Pass(u16),
    Die(usize, Exit),
    CrashLoop(usize),
    Executed(usize),
    ExecFails(usize),
    Ready(usize),
    Watchdog(usize),
    Ask(usize, u8),
    Call(usize),
    Disconnect,
    Orphan(i32),
    SpawnFails,
    SpawnUnneeded,
    Power,
    NoChildren,
    Handover,
}

fn deed() -> impl Strategy<Value = Deed> {
    let exit = prop_oneof![(0..3).prop_map(Exit::Code), (1..65).prop_map(Exit::Signal)];
    prop_oneof![
        4 => (0..40_000_u16).prop_map(Deed::Pass),
        4 => (any::<usize>(), exit).prop_map(|(index, exit)| Deed::Die(index, exit)),
        1 => any::<usize>().prop_map(Deed::CrashLoop),
        4 => any::<usize>().prop_map(Deed::Executed),
        1 => any::<usize>().prop_map(Deed::ExecFails),
        4 => any::<usize>().prop_map(Deed::Ready),
        1 => any::<usize>().prop_map(Deed::Watchdog),
        3 => (any::<usize>(), any::<u8>()).prop_map(|(index, what)| Deed::Ask(index, what)),
        1 => any::<usize>().prop_map(Deed::Call),
        1 => Just(Deed::Disconnect),
        1 => (1000..2000).prop_map(Deed::Orphan),
        1 => Just(Deed::SpawnFails),
        1 => Just(Deed::SpawnUnneeded),
        1 => Just(Deed::NoChildren),
        1 => Just(Deed::Handover),
    ]
}

/// A socket's table after the service's keys.
const CALLED: &str =
    "restart = \"on-failure\"\n[[socket]]\nname = \"s\"\nkind = \"stream\"\npath = \"/s\"\nstarts = true";

const UNITS: [(&str, &str, &str); 8] = [
    ("a", "", "ready = \"notify\"\nrestart = \"always\"\nwatchdog = \"30s\""),
    (
        "b",
        "requires = [\"a\"]",
        "ready = \"notify\"\nrestart = \"on-failure\"\nrestart-delay = \"1s\"",
    ),
    (
        "c",
        "after = [\"b\"]\nwants = [\"d\"]",
        "restart = \"always\"\nkill = \"main\"",
    ),
    ("d", "boot = false", "oneshot\nrestart = \"on-failure\""),
    (
        "e",
        "requires = [\"b\", \"d\"]",
        "restart = \"never\"\nstop-timeout = \"2s\"",
    ),
    ("called", "boot = false", CALLED),
    ("f", "requires = [\"missing\"]", "oneshot"),
    ("boot-complete", "requires = [\"a\", \"e\"]", ""),
];

/// The supervisor and everything it acts on.
struct World {
    manager: Manager,
    now: Duration,
    /// Living processes: pid → unit.
    alive: BTreeMap<i32, String>,
    /// Every spawn that was not reaped.
    unreaped: BTreeSet<i32>,
    starts: BTreeMap<String, Vec<Duration>>,
    open: BTreeSet<u64>,
    connected: bool,
    fail_next_spawn: bool,
    next_spawn_unneeded: bool,
    next: u64,
    finished: Option<PowerKind>,
}

impl World {
    fn new() -> Self {
        let policy = BootPolicy {
            target: "boot-complete".into(),
            within: Duration::from_secs(300),
            otherwise: Otherwise::Stay,
            commit: None,
        };
        let units = UNITS
            .iter()
            .map(|(name, table, service)| ((*name).to_owned(), unit(name, table, service)));
        let mut world = World {
            manager: Manager::new(units.collect(), policy),
            now: Duration::from_secs(4),
            alive: BTreeMap::new(),
            unreaped: BTreeSet::new(),
            starts: BTreeMap::new(),
            open: BTreeSet::new(),
            connected: true,
            fail_next_spawn: false,
            next_spawn_unneeded: false,
            next: 100,
            finished: None,
        };
        world.event(Event::Boot);
        world
    }

    fn event(&mut self, event: Event) {
        let mut pending = VecDeque::from([event]);
        while let Some(event) = pending.pop_front() {
            if let Event::Exited { pid, .. } = &event {
                self.unreaped.remove(pid);
            }
            let going_down = self.manager.is_shutting_down();
            for action in self.manager.step(self.now, event) {
                let is_reply = matches!(action, Action::Reply { .. });
                assert!(
                    self.finished.is_none() || is_reply,
                    "an action after the last one: {action:?}"
                );
                assert!(
                    !(going_down && matches!(action, Action::Spawn { .. })),
                    "a spawn while going down"
                );
                self.act(action, &mut pending);
            }
            self.check();
        }
    }

    fn act(&mut self, action: Action, pending: &mut VecDeque<Event>) {
        match action {
            Action::Spawn { unit } => pending.push_front(self.spawn(unit)),
            Action::Signal { pid, signal } => {
                assert!(self.unreaped.contains(&pid), "a signal to {pid}, which is nobody's");
                if signal == 9 {
                    self.die(pid, Exit::Signal(9), pending);
                }
            }
            Action::KillGroup { unit } => {
                let of_unit: Vec<i32> = self
                    .alive
                    .iter()
                    .filter(|(_, owner)| **owner == unit)
                    .map(|(pid, _)| *pid)
                    .collect();
                for pid in of_unit {
                    self.die(pid, Exit::Signal(9), pending);
                }
            }
            Action::RemoveGroup { unit } => {
                assert!(
                    !self.alive.values().any(|owner| *owner == unit),
                    "a group is removed under its processes"
                );
            }
            Action::Reply { id, .. } => assert!(self.open.remove(&id), "a second reply to {id}, or one to nobody"),
            Action::Finish { kind } => self.finished = Some(kind),
            Action::Notify { .. }
            | Action::Report(_)
            | Action::BootComplete
            | Action::AnnounceEnd { .. }
            | Action::SignalAll { .. }
            | Action::Reexec => {}
        }
    }

    fn spawn(&mut self, unit: String) -> Event {
        for name in &self.manager.entries()[&unit].unit.requires {
            assert!(
                self.manager.entries()[name].is_up(),
                "{unit} starts before {name}, which it requires"
            );
        }
        assert!(
            !self.alive.values().any(|owner| *owner == unit) || unit == "c",
            "{unit} starts beside itself"
        );
        let starts = self.starts.entry(unit.clone()).or_default();
        starts.push(self.now);
        if std::mem::take(&mut self.fail_next_spawn) {
            return Event::SpawnFailed {
                unit,
                reason: "out of pids".into(),
            };
        }
        // A condition goes with units that may rest only.
        let rests = self.manager.entries()[&unit]
            .service()
            .is_some_and(|service| service.restart != Restart::Always);
        if rests && std::mem::take(&mut self.next_spawn_unneeded) {
            return Event::Unneeded { unit };
        }
        self.next += 1;
        let pid = i32::try_from(self.next).unwrap();
        self.alive.insert(pid, unit.clone());
        self.unreaped.insert(pid);
        Event::Spawned { unit, pid }
    }

    /// A process ends and is reaped; the group is empty then.
    fn die(&mut self, pid: i32, exit: Exit, pending: &mut VecDeque<Event>) {
        let Some(unit) = self.alive.remove(&pid) else { return };
        if !self.alive.values().any(|owner| *owner == unit) {
            pending.push_back(Event::GroupEmpty { unit });
        }
        pending.push_back(Event::Exited { pid, exit });
    }

    fn check(&self) {
        for pid in &self.unreaped {
            // Between its spawn and the next event a process is on its way to its unit.
            let owners = self.manager.entries().values();
            let owners = owners
                .filter(|entry| entry.process.as_ref().is_some_and(|process| process.pid == *pid))
                .count();
            let on_its_way = self.manager.entries().values().any(|entry| entry.spawning);
            assert!(owners == 1 || on_its_way, "{pid} belongs to {owners} units");
        }
        for entry in self.manager.entries().values() {
            let name = &entry.unit.name;
            if matches!(
                entry.state,
                State::Stopped | State::Failed | State::Done | State::Waiting
            ) {
                assert_eq!(entry.deadline(), None, "{name} is at rest with a deadline");
                assert!(entry.process.is_none(), "{name} is at rest with a process");
            }
            if entry.unit.kind == Kind::Target {
                assert!(matches!(
                    entry.state,
                    State::Stopped | State::Waiting | State::Running | State::Failed
                ));
            }
            assert!(
                entry.waiters.iter().all(|waiter| self.open.contains(&waiter.id)),
                "{name} owes a reply twice"
            );
        }
        if self.connected {
            let owed = self
                .manager
                .entries()
                .values()
                .map(|entry| entry.waiters.len())
                .sum::<usize>();
            assert!(self.open.len() >= owed);
        }
    }

    fn pick(&self, index: usize) -> Option<(i32, String)> {
        let count = self.alive.len().max(1);
        self.alive
            .iter()
            .nth(index % count)
            .map(|(pid, unit)| (*pid, unit.clone()))
    }

    fn do_deed(&mut self, deed: Deed) {
        let notify = |ready, watchdog| Notification {
            ready,
            watchdog,
            ..Notification::default()
        };
        match deed {
            Deed::Pass(milliseconds) => {
                self.now += Duration::from_millis(milliseconds.into());
                self.event(Event::Tick);
            }
            Deed::Die(index, exit) => {
                if let Some((pid, _)) = self.pick(index) {
                    let mut pending = VecDeque::new();
                    self.die(pid, exit, &mut pending);
                    pending.into_iter().for_each(|event| self.event(event));
                }
            }
            Deed::CrashLoop(index) => self.crash_loop(UNITS[index % UNITS.len()].0),
            Deed::Executed(index) => {
                if let Some((_, unit)) = self.pick(index) {
                    self.event(Event::Executed { unit });
                }
            }
            Deed::Call(index) => {
                let unit = UNITS[index % UNITS.len()].0.to_owned();
                self.event(Event::Called { unit });
            }
            Deed::ExecFails(index) => {
                if let Some((_, unit)) = self.pick(index) {
                    self.event(Event::ExecFailed {
                        unit,
                        reason: "no such file".into(),
                    });
                }
            }
            Deed::Ready(index) => {
                if let Some((_, unit)) = self.pick(index) {
                    self.event(Event::Notified {
                        unit,
                        message: notify(true, false),
                    });
                }
            }
            Deed::Watchdog(index) => {
                if let Some((_, unit)) = self.pick(index) {
                    self.event(Event::Notified {
                        unit,
                        message: notify(false, true),
                    });
                }
            }
            Deed::Ask(index, what) => self.ask(index, what),
            Deed::Disconnect => {
                self.open.clear();
                self.event(Event::Disconnected {
                    connection: Connection(1),
                });
            }
            Deed::Orphan(pid) => self.event(Event::Exited {
                pid: pid + 1_000_000,
                exit: Exit::Code(0),
            }),
            Deed::SpawnFails => self.fail_next_spawn = true,
            Deed::SpawnUnneeded => self.next_spawn_unneeded = true,
            Deed::Power => self.event(Event::AskedToPowerOff {
                asker: Asker::PowerButton,
            }),
            Deed::NoChildren if self.alive.is_empty() && self.manager.is_shutting_down() => {
                self.event(Event::NoChildren)
            }
            Deed::NoChildren => {}
            Deed::Handover => {
                let text = serde_json::to_vec(&self.manager).unwrap();
                self.manager = serde_json::from_slice(&text).unwrap();
            }
        }
    }

    /// A unit that ends as often as it is started, as fast as it is started.
    fn crash_loop(&mut self, unit: &str) {
        for _ in 0..8 {
            let found = self.alive.iter().find(|(_, owner)| *owner == unit).map(|(pid, _)| *pid);
            let mut pending = VecDeque::new();
            found
                .into_iter()
                .for_each(|pid| self.die(pid, Exit::Code(1), &mut pending));
            pending.into_iter().for_each(|event| self.event(event));
            let State::BackOff { until } = self.manager.entries()[unit].state else {
                return;
            };
            self.now = self.now.max(until);
            self.event(Event::Tick);
        }
    }

    fn ask(&mut self, index: usize, what: u8) {
        let name = UNITS[index % UNITS.len()].0.to_owned();
        let request = match what % 5 {
            0 => Request::Start { unit: name },
            1 => Request::Stop { unit: name },
            2 => Request::Restart { unit: name },
            3 => Request::List,
            _ => Request::Subscribe,
        };
        self.next += 1;
        let id = self.next;
        self.open.insert(id);
        // A person's wish starts a new budget for everything it touches.
        if matches!(request, Request::Start { .. } | Request::Restart { .. }) {
            self.starts.clear();
        }
        let connection = Connection(1);
        self.event(Event::Asked {
            connection,
            id,
            authority: Authority::Control,
            unit: None,
            request,
        });
        self.check_budget();
    }

    /// Without a person's wish in between, no unit starts more often than it may.
    fn check_budget(&self) {
        for (name, starts) in &self.starts {
            let Some(service) = self.manager.entries()[name].service() else {
                continue;
            };
            let (burst, interval) = (service.start_limit.burst as usize, service.start_limit.interval);
            for window in starts.windows(burst + 1) {
                let span = window[burst] - window[0];
                assert!(span >= interval, "{name} started {} times within {span:?}", burst + 1);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_the_invariants_hold(
        deeds in proptest::collection::vec(deed(), 1..120),
        power_at in proptest::option::of(0..120_usize),
    ) {
        let mut world = World::new();
        for (number, deed) in deeds.into_iter().enumerate() {
            if power_at == Some(number) {
                world.do_deed(Deed::Power);
            }
            world.do_deed(deed);
            world.check_budget();
        }
        // However it stands now, it goes down within a bounded time, even if nothing ever ends by itself.
        world.do_deed(Deed::Power);
        for _ in 0..150 {
            world.do_deed(Deed::Pass(1000));
        }
        prop_assert!(world.finished.is_some(), "{:#?}", world.manager);
        prop_assert!(world.open.is_empty(), "without a reply: {:?}", world.open);
        prop_assert_eq!(world.manager.next_deadline(), None);
    }
}
