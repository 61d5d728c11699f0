//! Whether the kernel killed in the container for memory: memory.events, watched.

use keelson_oci::cgroup::group::Group;
use std::fs::File;
use std::io::Read;

/// The watch. Where there is no memory controller it never fires.
#[derive(Debug)]
pub struct OomWatch {
    group: Group,
    events: Option<File>,
    seen: u64,
    /// It has happened.
    pub happened: bool,
}

impl OomWatch {
    /// From now on.
    pub fn new(group: Group) -> Self {
        let events = File::open(group.path().join("memory.events")).ok();
        let mut watch = Self {
            group,
            events,
            seen: 0,
            happened: false,
        };
        watch.seen = watch.group.oom_kills();
        watch.rearm();
        watch
    }

    /// Goes on counting where another copy stopped.
    pub fn resume(group: Group, seen: u64, happened: bool) -> Self {
        let mut watch = Self::new(group);
        watch.seen = seen;
        watch.happened = happened;
        watch
    }

    /// Kills seen so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The file to poll for priority events.
    pub fn file(&self) -> Option<&File> {
        self.events.as_ref()
    }

    /// Reads the count; whether it has grown.
    pub fn check(&mut self) -> bool {
        self.rearm();
        let kills = self.group.oom_kills();
        let has_grown = kills > self.seen;
        self.seen = kills;
        self.happened |= has_grown;
        has_grown
    }

    /// The kernel reports changes since the last read of this very descriptor. A file whose cgroup is gone is let go.
    fn rearm(&mut self) {
        use std::io::Seek;
        let Some(file) = &mut self.events else { return };
        let mut text = String::new();
        if file.rewind().and_then(|()| file.read_to_string(&mut text)).is_err() {
            self.events = None;
        }
    }
}
