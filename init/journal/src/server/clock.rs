//! When an entry was made.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::store::Stamp;

fn microseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1000)
}

/// Now.
pub fn now() -> Stamp {
    Stamp {
        realtime: microseconds(clock_gettime(ClockId::Realtime)),
        monotonic: microseconds(clock_gettime(ClockId::Monotonic)),
    }
}

/// A moment of this boot, by the clock as it stands now.
pub fn stamp_at(monotonic: u64) -> Stamp {
    let now = now();
    Stamp {
        realtime: now.realtime.saturating_sub(now.monotonic.saturating_sub(monotonic)),
        monotonic,
    }
}
