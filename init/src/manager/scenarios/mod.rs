//! The supervisor's behaviour as small stories: events in, actions and states out, on a clock that is set by hand.

mod ending;
mod requests;
mod restarting;
mod starting;

use std::collections::BTreeMap;
use std::time::Duration;

use keelson_manager_api::{Reply, Request};

use super::boot::Otherwise;
use super::state::State;
use super::{Action, Authority, BootPolicy, Connection, Event, Exit, Level, Manager, Notification};
use crate::unit::{self, Unit};

/// A manager, a clock, and the actions nobody has looked at yet.
pub(super) struct Story {
    pub manager: Manager,
    pub now: Duration,
    pub actions: Vec<Action>,
    next_pid: i32,
}

pub(super) fn unit(name: &str, table: &str, service: &str) -> Unit {
    let kind = if service.is_empty() {
        "target"
    } else if service.contains("oneshot") {
        "oneshot"
    } else {
        "service"
    };
    let service = match service {
        "" => String::new(),
        text => format!("[service]\nexec = [\"/bin/{name}\"]\n{}", text.replace("oneshot", "")),
    };
    let text = format!("schema = 1\n[unit]\ndescription = \"d\"\nkind = \"{kind}\"\n{table}\n{service}");
    unit::parse(name, &text).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

impl Story {
    pub fn of(units: Vec<Unit>) -> Self {
        let policy = BootPolicy {
            target: "boot-complete".into(),
            within: Duration::from_secs(300),
            otherwise: Otherwise::Stay,
            commit: None,
        };
        Self::with_policy(units, policy)
    }

    fn with_policy(units: Vec<Unit>, policy: BootPolicy) -> Self {
        let units: BTreeMap<_, _> = units.into_iter().map(|unit| (unit.name.clone(), unit)).collect();
        Story {
            manager: Manager::new(units, policy),
            now: Duration::from_secs(5),
            actions: Vec::new(),
            next_pid: 100,
        }
    }

    /// One event; spawns are answered at once, as the system stage does.
    pub fn event(&mut self, event: Event) -> &mut Self {
        let mut pending = vec![event];
        while let Some(event) = pending.pop() {
            for action in self.manager.step(self.now, event) {
                if let Action::Spawn { unit } = &action {
                    self.next_pid += 1;
                    pending.push(Event::Spawned {
                        unit: unit.clone(),
                        pid: self.next_pid,
                    });
                }
                self.actions.push(action);
            }
        }
        self
    }

    pub fn boot(&mut self) -> &mut Self {
        self.event(Event::Boot)
    }

    fn after(&mut self, milliseconds: u64) -> &mut Self {
        self.now += Duration::from_millis(milliseconds);
        self.event(Event::Tick)
    }

    fn executed(&mut self, unit: &str) -> &mut Self {
        self.event(Event::Executed { unit: unit.into() })
    }

    fn ready(&mut self, unit: &str) -> &mut Self {
        let message = Notification {
            ready: true,
            ..Notification::default()
        };
        self.event(Event::Notified {
            unit: unit.into(),
            message,
        })
    }

    /// The main process ends and its group with it.
    fn exits(&mut self, unit: &str, exit: Exit) -> &mut Self {
        let pid = self.pid(unit);
        self.event(Event::GroupEmpty { unit: unit.into() })
            .event(Event::Exited { pid, exit })
    }

    fn ask(&mut self, id: u64, request: Request) -> &mut Self {
        let connection = Connection(1);
        self.event(Event::Asked {
            connection,
            id,
            authority: Authority::Control,
            unit: None,
            request,
        })
    }

    fn pid(&self, unit: &str) -> i32 {
        self.manager.entries()[unit]
            .process
            .as_ref()
            .expect("a main process")
            .pid
    }

    fn state(&self, unit: &str) -> &State {
        &self.manager.entries()[unit].state
    }

    fn is_up(&self, unit: &str) -> bool {
        self.manager.entries()[unit].is_up()
    }

    fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    fn spawned(&mut self) -> Vec<String> {
        let actions = self.take();
        let spawn = |action| {
            if let Action::Spawn { unit } = action {
                Some(unit)
            } else {
                None
            }
        };
        actions.into_iter().filter_map(spawn).collect()
    }

    fn replies(&mut self) -> Vec<(u64, Reply)> {
        let actions = self.take();
        let reply = |action| {
            if let Action::Reply { id, reply, .. } = action {
                Some((id, reply))
            } else {
                None
            }
        };
        actions.into_iter().filter_map(reply).collect()
    }

    fn failures(&self) -> Vec<&str> {
        let failure = |action: &'_ Action| matches!(action, Action::Report(report) if report.level == Level::Failure);
        let text = |action| {
            if let &Action::Report(super::Report { ref text, .. }) = action {
                text.as_str()
            } else {
                ""
            }
        };
        self.actions.iter().filter(|action| failure(action)).map(text).collect()
    }
}

const SERVICE: &str = "ready = \"notify\"\nrestart = \"always\"\n";
