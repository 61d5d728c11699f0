//! Whether the machine's clock may judge what has expired: after a server set it, or when the hardware clock says a time
//! that can be true. The network service lifts a clock that lags to the release's time, and from then on it looks right;
//! so the hardware clock itself is asked.

use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use keelson_tuf::Clock;
use serde::Deserialize;

/// The system's clock and the hardware's may differ by this much: it is only read once, at boot.
const DRIFT: Duration = Duration::from_secs(24 * 3600);

/// What the network service says of the time.
#[derive(Debug, Deserialize)]
struct Published {
    time: Time,
}

#[derive(Debug, Deserialize)]
struct Time {
    synchronised: bool,
}

/// Reads what is known of the clock. `release` is when the running release was made.
#[must_use]
pub fn read(netd: &Path, rtc: &Path, release: Duration) -> Clock {
    let published = std::fs::read(netd).ok();
    let published = published.and_then(|bytes| serde_json::from_slice::<Published>(&bytes).ok());
    let hardware = std::fs::read_to_string(rtc).ok();
    let hardware = hardware
        .and_then(|text| text.trim().parse().ok())
        .map(Duration::from_secs);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let known = published.is_some_and(|published| published.time.synchronised);
    let at = i64::try_from(now.as_secs()).ok().map(Timestamp::from_second);
    match at {
        Some(Ok(at)) if known || decide_plausible(now, hardware, release) => Clock::Trusted(at),
        _ => Clock::Untrusted,
    }
}

/// Whether a hardware clock stands behind the time: later than the release, and near the system's.
#[must_use]
pub fn decide_plausible(now: Duration, hardware: Option<Duration>, release: Duration) -> bool {
    hardware.is_some_and(|hardware| hardware > release && hardware.abs_diff(now) <= DRIFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hardware_clock_past_the_release_vouches_for_the_time() {
        let second = Duration::from_secs;
        let release = second(1_790_000_000);
        let table = [
            (1_795_000_000, Some(1_795_000_001), true),
            (1_795_000_000, None, false),
            // Lifted to the release's time over a hardware clock in 1970, or one that stands still there.
            (1_790_000_500, Some(500), false),
            (1_790_000_500, Some(1_790_000_000), false),
            (1_795_000_000, Some(1_796_000_000), false),
        ];
        for (now, hardware, expected) in table {
            let plausible = decide_plausible(second(now), hardware.map(second), release);
            assert_eq!(plausible, expected, "{now} {hardware:?}");
        }
    }

    #[test]
    fn a_clock_that_a_server_set_needs_no_hardware() {
        let folder = tempfile::tempdir().unwrap();
        let (netd, rtc) = (folder.path().join("netd"), folder.path().join("rtc"));
        assert_eq!(read(&netd, &rtc, Duration::ZERO), Clock::Untrusted);
        for (text, trusted) in [("false", false), ("true", true)] {
            std::fs::write(&netd, format!("{{\"format\":1,\"time\":{{\"synchronised\":{text}}}}}")).unwrap();
            assert_eq!(read(&netd, &rtc, Duration::ZERO) != Clock::Untrusted, trusted);
        }
    }
}
