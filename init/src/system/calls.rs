//! Units that are started when they are needed: while one is down, PID 1 watches its listening sockets, and who knocks
//! starts it. PID 1 accepts nothing and reads nothing; the knock is still there when the service looks.

use super::System;
use super::sources::Source;

impl System {
    /// Watches exactly the sockets of units that are down. A socket whose service runs is the service's alone: PID 1
    /// would wake up for every caller.
    pub(super) fn watch_for_calls(&mut self) {
        let starts = |name: &&String| {
            let entry = self.manager.entries().get(*name);
            entry.is_some_and(|entry| entry.unit.sockets.iter().any(|socket| socket.starts))
        };
        let names: Vec<String> = self.names.iter().filter(starts).cloned().collect();
        for name in names {
            let (wanted, watched) = (self.manager.may_be_called(&name), self.on_call.contains(&name));
            if wanted && !watched {
                self.watch_sockets(&name);
            } else if watched && !wanted {
                self.forget_sockets(&name);
            }
        }
    }

    fn watch_sockets(&mut self, name: &str) {
        for socket in self.starting_sockets(name) {
            if let Err(error) = self.sources.watch(socket, Source::Call(self.index(name))) {
                log::warn!(unit = name; "a socket is not watched: {error}");
            }
        }
        self.on_call.insert(name.to_owned());
    }

    fn forget_sockets(&mut self, name: &str) {
        for socket in self.starting_sockets(name) {
            // One that was never watched is not watched now.
            let _ = self.sources.forget(socket);
        }
        self.on_call.remove(name);
    }

    /// The descriptors stand in the order of the file.
    fn starting_sockets(&self, name: &str) -> impl Iterator<Item = &std::os::fd::OwnedFd> {
        let declared = self.manager.entries().get(name).map(|entry| &entry.unit.sockets);
        let kept = self.sockets.get(name);
        declared
            .into_iter()
            .flatten()
            .zip(kept.into_iter().flatten())
            .filter_map(|(declared, kept)| declared.starts.then_some(kept))
    }
}
