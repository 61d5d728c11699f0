//! Bounds how much one source may say, so that a chatty service cannot push out what the others said. Pure.

use std::collections::HashMap;
use std::time::Duration;

/// Entries one source may write per [`WINDOW`].
pub const BURST: u32 = 10_000;
/// The time after which a source starts afresh.
pub const WINDOW: Duration = Duration::from_secs(30);
/// Sources remembered at a time.
const MOST_SOURCES: usize = 4096;

/// What to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it.
    Keep,
    /// Keep it, and say that this many before it were dropped.
    KeepAfter(u32),
    /// Drop it.
    Drop,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Duration,
    written: u32,
    dropped: u32,
}

/// Counts per source.
#[derive(Debug, Default)]
pub struct Rates(HashMap<String, Window>);

impl Rates {
    /// Judges an entry of a source at a time since boot.
    pub fn judge(&mut self, source: &str, now: Duration) -> Verdict {
        if self.0.len() >= MOST_SOURCES {
            self.0.retain(|_, window| now.saturating_sub(window.since) < WINDOW);
        }
        let fresh = Window {
            since: now,
            written: 0,
            dropped: 0,
        };
        let window = self.0.entry(source.to_owned()).or_insert(fresh);
        let dropped = window.dropped;
        if now.saturating_sub(window.since) >= WINDOW {
            *window = fresh;
        }
        if window.written >= BURST {
            window.dropped += 1;
            return Verdict::Drop;
        }
        window.written += 1;
        if dropped > 0 && window.dropped == 0 {
            Verdict::KeepAfter(dropped)
        } else {
            Verdict::Keep
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted_and_others_are_not_hurt() {
        let mut rates = Rates::default();
        let start = Duration::from_secs(5);
        for _ in 0..BURST {
            assert_eq!(rates.judge("loud", start), Verdict::Keep);
        }
        assert_eq!(rates.judge("loud", start), Verdict::Drop);
        assert_eq!(rates.judge("loud", start), Verdict::Drop);
        assert_eq!(rates.judge("calm", start), Verdict::Keep);
        assert_eq!(rates.judge("loud", start + WINDOW), Verdict::KeepAfter(2));
        assert_eq!(rates.judge("loud", start + WINDOW), Verdict::Keep);
    }
}
