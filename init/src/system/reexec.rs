//! PID 1 becomes a new copy of itself under running services: same process, same children, same sockets.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use keelson_image_layout::paths;
use keelson_sys::handover::{close_on_exec, leave_open};
use keelson_sys::spawn::take_left_open;
use keelson_sys::watchdog;
use nix::sys::signalfd::SignalFd;

use super::cgroup::Groups;
use super::console::Console;
use super::control::Control;
use super::handover::Handover;
use super::hardware::Hardware;
use super::options::Options;
use super::perform::describe;
use super::sources::Source;
use super::{System, notify};
use crate::manager::Event;

impl System {
    /// Returns only if there is no new copy; this one goes on then.
    pub(super) fn reexec(&mut self) {
        let mut command = Command::new(program(&self.options));
        let watchdog = self.hardware.as_mut().and_then(Hardware::take_watchdog);
        let watchdog = watchdog.and_then(|watchdog| watchdog.hand_over().ok());
        command.env_remove(watchdog::VARIABLE);
        command.envs(watchdog.iter().map(|number| (watchdog::VARIABLE, number)));
        let error = match self.leave() {
            Ok(memfd) => command.args(self.options.to_arguments(memfd.as_raw_fd())).exec(),
            Err(error) => error,
        };
        for descriptor in self.descriptors() {
            close_on_exec(descriptor);
        }
        if let Some(hardware) = self.hardware.as_mut() {
            // Closed first: the device can be open once only.
            drop(watchdog.and_then(|number| take_left_open(number.parse().ok()?)));
            hardware.rearm();
        }
        self.console
            .complain(format!("no new copy of PID 1: {error}; this one goes on"));
    }

    fn leave(&self) -> io::Result<std::fs::File> {
        for descriptor in self.descriptors() {
            leave_open(descriptor)?;
        }
        let (control, connections, next_connection) = self.control.keep();
        let numbers = |descriptors: &Vec<OwnedFd>| descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let handover = Handover {
            manager: self.manager.clone(),
            notify: self.notify.as_raw_fd(),
            control,
            connections,
            next_connection,
            sockets: self
                .sockets
                .iter()
                .map(|(unit, kept)| (unit.clone(), numbers(kept)))
                .collect(),
            pipes: self
                .pipes
                .iter()
                .map(|(unit, pipe)| (unit.clone(), pipe.as_raw_fd()))
                .collect(),
        };
        handover.write()
    }

    fn descriptors(&self) -> impl Iterator<Item = &OwnedFd> {
        let own = [&self.notify, self.control.listener()];
        let connections = self.control.connections().map(|(_, socket)| socket);
        own.into_iter()
            .chain(connections)
            .chain(self.sockets.values().flatten())
            .chain(self.pipes.values())
    }

    /// Takes up what the copy before this one left in descriptor `number`.
    pub(super) fn resume(options: Options, console: Console, signals: SignalFd, number: i32) -> io::Result<Self> {
        let memfd = take_left_open(number).ok_or_else(|| io::Error::other("nothing was left to take up"))?;
        let left = Handover::read(memfd)?;
        let groups = Groups::set_up(&options.cgroup).map_err(|error| io::Error::other(describe(&error)))?;
        let notify = match take_left_open(left.notify) {
            Some(socket) => socket,
            None => notify::listen(&options.notify())?,
        };
        let control = match take_left_open(left.control) {
            Some(listener) => Control::resume(listener, left.connections, left.next_connection, take_left_open),
            None => Control::listen(&options.control())?,
        };
        let mut system = Self::assemble(options, console, left.manager, signals, notify, control, groups)?;
        system.sockets = take_sockets(left.sockets);
        let taken = left
            .pipes
            .into_iter()
            .filter_map(|(unit, number)| Some((unit, take_left_open(number)?)));
        system.pipes = taken.collect();
        system.watch_again()?;
        system.console.say("a new copy of PID 1 has taken over");
        Ok(system)
    }

    fn watch_again(&mut self) -> io::Result<()> {
        for (number, socket) in self.control.connections() {
            self.sources.watch(socket, Source::Connection(number))?;
        }
        for (unit, pipe) in &self.pipes {
            self.sources.watch(pipe, Source::Pipe(self.index(unit)))?;
        }
        for name in self.names.clone() {
            if self.groups.adopt(&name)
                && let Some(events) = self.groups.events(&name)
            {
                self.sources.watch(events, Source::Group(self.index(&name)))?;
            }
            // What emptied while nobody looked.
            let thought_populated = self
                .manager
                .entries()
                .get(&name)
                .is_some_and(|entry| entry.group_populated);
            if thought_populated && !self.groups.is_populated(&name) {
                self.dispatch(Event::GroupEmpty { unit: name });
            }
        }
        Ok(())
    }
}

/// Sockets of which one is missing are made anew at the unit's next start.
fn take_sockets(left: BTreeMap<String, Vec<i32>>) -> BTreeMap<String, Vec<OwnedFd>> {
    let take = |numbers: Vec<i32>| numbers.into_iter().map(take_left_open).collect::<Option<Vec<_>>>();
    left.into_iter()
        .filter_map(|(unit, numbers)| Some((unit, take(numbers)?)))
        .collect()
}

/// What the new copy runs: on a machine the installed program, which may have been replaced; else this same file.
fn program(options: &Options) -> PathBuf {
    if options.hardware {
        return paths::INIT.into();
    }
    std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into())
}
