//! The loop: wait, turn what is ready into events, let the supervisor step, perform its actions.

use std::collections::VecDeque;
use std::time::Duration;

use keelson_image_layout::boot_history::Asker;
use keelson_manager_api::PowerKind;
use nix::sys::signal::Signal;

use super::cgroup::Place;
use super::control::{self, Received};
use super::hardware::Hardware;
use super::sources::Source;
use super::{System, notify, spawn};
use crate::manager::{Connection, Event};

/// What is left waits for the next turn.
const NOTIFICATIONS_PER_TURN: usize = 1024;

impl System {
    pub(super) fn run(&mut self) -> PowerKind {
        loop {
            if let Some(kind) = self.finished {
                return kind;
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.watch_for_calls();
        for source in self.sources.wait(self.timeout()) {
            self.serve(source);
        }
        if self.more_to_reap {
            self.more_to_reap = self.reap();
        }
        if let Some(hardware) = self.hardware.as_mut() {
            hardware.feed(now());
        }
        self.dispatch(Event::Tick);
    }

    fn timeout(&self) -> Option<Duration> {
        if self.more_to_reap {
            return Some(Duration::ZERO);
        }
        // A millisecond more, so that a deadline has passed when the wait ends.
        let until = |deadline: Duration| deadline.saturating_sub(now()) + Duration::from_millis(1);
        let fed = self.hardware.as_ref().and_then(Hardware::feed_at);
        self.manager.next_deadline().into_iter().chain(fed).min().map(until)
    }

    fn serve(&mut self, source: Source) {
        match source {
            Source::Notify => self.drain_notifications(),
            Source::Pipe(index) => {
                if let Some(unit) = self.name(index) {
                    self.drain_status(&unit);
                }
            }
            Source::Group(index) => {
                if let Some(unit) = self.name(index)
                    && !self.groups.is_populated(&unit)
                {
                    self.dispatch(Event::GroupEmpty { unit });
                }
            }
            Source::Signals => self.drain_signals(),
            Source::Call(index) => {
                if let Some(unit) = self.name(index) {
                    self.dispatch(Event::Called { unit });
                }
            }
            Source::Devices => {
                if let Some(hardware) = self.hardware.as_mut() {
                    hardware.drain(&self.sources);
                }
            }
            Source::Button(index) => {
                if self
                    .hardware
                    .as_mut()
                    .is_some_and(|hardware| hardware.is_pressed(index))
                {
                    self.console.say("power button pressed");
                    self.dispatch(Event::AskedToPowerOff {
                        asker: Asker::PowerButton,
                    });
                }
            }
            Source::Listener => self.accept(),
            Source::Connection(number) => self.serve_connection(number),
        }
    }

    /// One event and everything that follows from it at once.
    pub(super) fn dispatch(&mut self, event: Event) {
        let mut pending = VecDeque::from([event]);
        while let Some(event) = pending.pop_front() {
            for action in self.manager.step(now(), event) {
                pending.extend(self.perform(action));
            }
        }
    }

    /// A bounded number, so that a unit that never stops talking does not stop everybody else.
    pub(super) fn drain_notifications(&mut self) {
        for _ in 0..NOTIFICATIONS_PER_TURN {
            let Some((sender, message)) = notify::receive(&self.notify) else {
                return;
            };
            if let Some(unit) = self.unit_of_process(sender) {
                self.dispatch(Event::Notified { unit, message });
            }
        }
    }

    pub(super) fn drain_status(&mut self, unit: &str) {
        let Some(pipe) = self.pipes.get(unit) else { return };
        let event = match spawn::read_status(pipe) {
            spawn::Status::Silent => return,
            spawn::Status::Executed => Event::Executed { unit: unit.to_owned() },
            spawn::Status::Failed(reason) => Event::ExecFailed {
                unit: unit.to_owned(),
                reason,
            },
        };
        self.pipes.remove(unit);
        self.dispatch(event);
    }

    fn drain_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo)
                .ok()
                .and_then(|number| Signal::try_from(number).ok());
            match signal {
                Some(Signal::SIGCHLD) => self.more_to_reap = true,
                Some(Signal::SIGINT) => {
                    let asker = sender(info.ssi_pid);
                    self.dispatch(Event::AskedToReboot { asker });
                }
                Some(Signal::SIGTERM) => {
                    let asker = sender(info.ssi_pid);
                    self.dispatch(Event::AskedToPowerOff { asker });
                }
                Some(Signal::SIGUSR1) => self.dispatch(Event::AskedToReexec),
                _ => {}
            }
        }
    }

    fn accept(&mut self) {
        if let Some((number, socket)) = self.control.accept(&self.groups, &self.manager)
            && let Err(error) = self.sources.watch(socket, Source::Connection(number))
        {
            log::warn!("control connection is not watched: {error}");
        }
    }

    fn serve_connection(&mut self, number: u32) {
        let connection = Connection(u64::from(number));
        let authority = self.control.authority(number);
        let unit = self.control.unit(number).map(str::to_owned);
        for received in self.control.receive(number) {
            let event = match received {
                Received::Request(frame) => {
                    log::info!(
                        "{} asks to {}, with authority {authority:?}",
                        unit.as_deref().unwrap_or("no unit"),
                        control::describe(&frame.request)
                    );
                    let (id, request) = (frame.id, frame.request);
                    Event::Asked {
                        connection,
                        id,
                        authority,
                        unit: unit.clone(),
                        request,
                    }
                }
                Received::Closed => Event::Disconnected { connection },
            };
            self.dispatch(event);
        }
    }

    /// The unit a process belongs to: as its main process, or by its control group.
    fn unit_of_process(&self, pid: i32) -> Option<String> {
        if let Some(unit) = self.manager.unit_of(pid) {
            return Some(unit.to_owned());
        }
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        match self.groups.place(&text) {
            Place::Unit(unit) => Some(unit.to_owned()),
            Place::Machine | Place::Outside => None,
        }
    }
}

/// Who sent a signal; the kernel does for Ctrl-Alt-Del.
fn sender(pid: u32) -> Asker {
    if pid == 0 {
        Asker::Keyboard
    } else {
        Asker::Signal { pid }
    }
}

/// The monotonic clock, which starts with the kernel.
pub(super) fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(time).unwrap_or_default()
}
