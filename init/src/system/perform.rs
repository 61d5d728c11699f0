//! Action → call. What went wrong comes back as an event; nothing here decides.

use std::os::fd::AsFd;

use keelson_manager_api::PowerKind;

use super::sources::Source;
use super::{System, sockets, spawn};
use crate::accounts;
use crate::exec::spec::WithoutJournal;
use crate::manager::{Action, Event};
use crate::unit::Unit;

impl System {
    /// Performs one action; gives the event it caused at once, if any.
    pub(super) fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn { unit } if !self.is_needed(&unit) => Some(Event::Unneeded { unit }),
            Action::Spawn { unit } => Some(match self.spawn(&unit) {
                Ok(pid) => Event::Spawned { unit, pid },
                Err(reason) => Event::SpawnFailed { unit, reason },
            }),
            Action::Signal { pid, signal } => {
                // A child that ended but was not reaped yet takes the signal without effect.
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), to_signal(signal));
                None
            }
            Action::KillGroup { unit } => {
                self.groups.kill(&unit);
                None
            }
            Action::RemoveGroup { unit } => {
                self.groups.remove(&unit);
                None
            }
            Action::Reply { connection, id, reply } => {
                let sent = self.control.reply(connection, id, reply);
                (!sent).then_some(Event::Disconnected { connection })
            }
            Action::Notify { connection, notice } => {
                let sent = self.control.send(connection, &notice);
                (!sent).then_some(Event::Disconnected { connection })
            }
            Action::Report(report) => {
                self.console.report(&report);
                None
            }
            Action::BootComplete => {
                self.say_boot_complete();
                None
            }
            Action::AnnounceEnd { kind, asker } => {
                self.asker = Some(asker);
                let word = match kind {
                    PowerKind::Reboot => "reboot\n",
                    PowerKind::PowerOff => "power-off\n",
                };
                if let Err(error) = std::fs::write(self.options.ending(), word) {
                    log::warn!("no word of the end is left: {error}");
                }
                None
            }
            Action::SignalAll { signal } => {
                self.signal_all(signal);
                None
            }
            Action::Reexec => {
                self.reexec();
                None
            }
            Action::Finish { kind } => {
                self.finished = Some(kind);
                None
            }
        }
    }

    /// Whether the condition of the unit, if it has one, is met.
    fn is_needed(&self, name: &str) -> bool {
        let unit = self.manager.entries().get(name).map(|entry| &entry.unit);
        let condition = unit.and_then(|unit| unit.service.as_ref()?.condition_directory_not_empty.as_deref());
        condition.is_none_or(|directory| std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()))
    }

    fn spawn(&mut self, name: &str) -> Result<i32, String> {
        let entry = self.manager.entries().get(name).ok_or("no such unit")?;
        let unit = entry.unit.clone();
        let service = unit.service.as_ref().ok_or("a target has no process")?;
        let owner = if service.delegate { owner(&service.user) } else { None };
        let group = self.groups.prepare(&unit, owner).map_err(|error| describe(&error))?;
        if let Some(events) = self.groups.events(name) {
            // It is there already after the first start.
            let _ = self.sources.watch(events, Source::Group(self.index(name)));
        }
        let _ = self.groups.is_populated(name);
        self.make_sockets(&unit)?;
        let without_journal = if self.options.hardware {
            WithoutJournal::KernelLog
        } else {
            WithoutJournal::Inherit
        };
        let spec = spawn::plan_spec(&unit, service, &self.options.notify(), without_journal);
        let kept = self.sockets.get(name).map(Vec::as_slice).unwrap_or_default();
        let (pid, pipe) = spawn::start(&spec, group.as_fd(), kept).map_err(|error| format!("cannot spawn: {error}"))?;
        if let Err(error) = self.sources.watch(&pipe, Source::Pipe(self.index(name))) {
            log::warn!(unit = name; "status pipe is not watched: {error}");
        }
        self.pipes.insert(name.to_owned(), pipe);
        Ok(pid)
    }

    /// Makes the sockets a unit declares, unless they are there.
    pub(super) fn make_sockets(&mut self, unit: &Unit) -> Result<(), String> {
        if unit.sockets.is_empty() || self.sockets.contains_key(&unit.name) {
            return Ok(());
        }
        let mut made = Vec::new();
        for socket in &unit.sockets {
            made.push(sockets::make(socket).map_err(|error| format!("cannot make socket {}: {error}", socket.path))?);
        }
        self.sockets.insert(unit.name.clone(), made);
        Ok(())
    }

    fn signal_all(&mut self, signal: i32) {
        if signal == nix::libc::SIGKILL {
            self.groups.kill_all();
        }
        // Only PID 1 means "its own tree" by -1; anybody else would mean the whole machine.
        if std::process::id() == 1 {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), to_signal(signal));
        }
        self.more_to_reap = true;
    }
}

fn to_signal(number: i32) -> Option<nix::sys::signal::Signal> {
    nix::sys::signal::Signal::try_from(number).ok()
}

fn owner(user: &str) -> Option<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let identity = accounts::identity(&passwd, "", user, &[]).ok()?;
    Some((identity.uid, identity.gid))
}

/// An error and its causes in one line.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
