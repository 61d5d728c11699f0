//! The only place in the process that waits for children. Whatever a child said before it ended is looked at before its
//! pid is free again.

use keelson_sys::children;
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

use super::System;
use crate::manager::{Event, Exit};

/// Children reaped in one turn; other sources get their turn in between.
const PER_TURN: usize = 256;
/// `__WALL`: also children that were made without an exit signal.
const ALL_KINDS: WaitOptions = WaitOptions::from_bits_retain(0x4000_0000);

impl System {
    /// Reaps what has ended. Whether there may be more.
    pub(super) fn reap(&mut self) -> bool {
        for _ in 0..PER_TURN {
            let pid = match children::peek() {
                Ok(Some(pid)) => pid,
                Ok(None) => return false,
                Err(Errno::CHILD) => {
                    if self.manager.is_shutting_down() {
                        self.dispatch(Event::NoChildren);
                    }
                    return false;
                }
                Err(_) => return false,
            };
            self.hear_last_words(pid);
            let Some(exit) = reap_one(pid) else { return false };
            self.dispatch(Event::Exited { pid, exit });
        }
        true
    }

    fn hear_last_words(&mut self, pid: i32) {
        self.drain_notifications();
        let Some(unit) = self.manager.unit_of(pid).map(str::to_owned) else {
            return;
        };
        self.drain_status(&unit);
        if !self.groups.is_populated(&unit) {
            self.dispatch(Event::GroupEmpty { unit });
        }
    }
}

fn reap_one(pid: i32) -> Option<Exit> {
    let options = WaitOptions::NOHANG | ALL_KINDS;
    match waitpid(Pid::from_raw(pid), options) {
        Ok(Some((_, status))) => Some(to_exit(status)),
        Ok(None) | Err(_) => None,
    }
}

fn to_exit(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        // Neither is impossible without asking for stopped children; a failure is the safe reading.
        (None, None) => Exit::Code(255),
    }
}
