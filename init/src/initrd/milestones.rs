//! How long each step took: microseconds since the kernel started, for the boot's facts.

use rustix::time::{ClockId, clock_gettime};

/// Names and times, in order.
#[derive(Debug, Default)]
pub struct Milestones(Vec<(String, u64)>);

impl Milestones {
    /// Notes that a step is done.
    pub fn reached(&mut self, name: &str) {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let micros = u64::try_from(now.tv_nsec).unwrap_or(0) / 1000;
        self.0.push((name.to_owned(), seconds * 1_000_000 + micros));
    }

    /// All of them.
    #[must_use]
    pub fn into_list(self) -> Vec<(String, u64)> {
        self.0
    }
}
