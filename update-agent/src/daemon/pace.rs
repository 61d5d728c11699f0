//! How fast bytes may come, and how many came. A line that was idle may not catch up: the rate holds over any second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Shared by all transfers of the agent.
#[derive(Debug)]
pub struct Pace {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    rate: Option<u64>,
    /// When all that came would have come at the allowed rate.
    due: Instant,
    fetched: u64,
}

impl Pace {
    /// At most `rate` bytes a second.
    #[must_use]
    pub fn new(rate: Option<u64>) -> Pace {
        let inner = Inner {
            rate,
            due: Instant::now(),
            fetched: 0,
        };
        Pace {
            inner: Mutex::new(inner),
        }
    }

    /// Another rate from now on.
    pub fn set_rate(&self, rate: Option<u64>) {
        self.with(|inner| inner.rate = rate);
    }

    /// Bytes that came.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.with(|inner| inner.fetched)
    }

    /// Counts bytes, and waits until they may have come.
    pub async fn took(&self, bytes: u64) {
        let due = self.with(|inner| {
            inner.fetched += bytes;
            let from = inner.due.max(Instant::now());
            inner.due = from + plan_pause(inner.rate, bytes);
            inner.due
        });
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn plan_pause(rate: Option<u64>, bytes: u64) -> Duration {
    let nanos = rate.map(|rate| u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1)));
    Duration::from_nanos(nanos.map_or(0, |nanos| u64::try_from(nanos).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time_and_are_counted() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let pace = Pace::new(Some(1 << 20));
            let began = Instant::now();
            for _ in 0..8 {
                pace.took(64 << 10).await;
            }
            let took = began.elapsed();
            assert!(took >= Duration::from_millis(499), "{took:?}");
            assert_eq!(pace.fetched(), 512 << 10);
            pace.set_rate(None);
            let began = Instant::now();
            pace.took(1 << 30).await;
            assert!(began.elapsed() < Duration::from_millis(400));
        });
    }
}
