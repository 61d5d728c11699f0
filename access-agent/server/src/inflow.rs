//! What a client sends on a channel, between its arrival and the program or socket it is for.
//!
//! The connection's task must never wait for a reader that is slow: the answers the reader waits for go through the same
//! task. So bytes queue here, and the client is slowed down by the credit it gets: plenty while the queue is short, next
//! to nothing while it is long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::algorithms::WINDOW;

/// From here on a client gets no credit worth the name.
const LONG: usize = WINDOW as usize;
/// A client that kept to its credit gets here only by what trickles through afterwards.
const FULL: usize = 4 * WINDOW as usize;
/// Nobody who keeps to the credit gets here.
const CHEATED: usize = 8 * WINDOW as usize;
/// How long a client whose queue is full is kept from sending more.
const PAUSE: Duration = Duration::from_secs(1);

/// A queue of bytes with an end.
#[derive(Debug, Clone, Default)]
pub struct Inflow {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Notify,
    taken: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: BytesMut,
    ended: bool,
    /// Nobody will take any more.
    unwanted: bool,
}

/// The client sent more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditIgnored;

impl Inflow {
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues bytes. Waits, for a while, only if the queue is full.
    ///
    /// # Errors
    /// The client sends without having credit.
    pub async fn push(&self, bytes: &[u8]) -> Result<(), CreditIgnored> {
        let length = {
            let mut state = self.state();
            if !state.unwanted && !state.ended {
                state.bytes.extend_from_slice(bytes);
            }
            state.bytes.len()
        };
        self.shared.arrived.notify_one();
        if length > CHEATED {
            return Err(CreditIgnored);
        }
        if length > FULL {
            let _ = tokio::time::timeout(PAUSE, self.shared.taken.notified()).await;
        }
        Ok(())
    }

    /// The client sends nothing more.
    pub fn end(&self) {
        self.state().ended = true;
        self.shared.arrived.notify_one();
    }

    /// Nobody takes anything more: what is there and what comes is dropped.
    pub fn refuse(&self) {
        let mut state = self.state();
        state.unwanted = true;
        state.bytes = BytesMut::new();
    }

    /// Whether the client should be slowed down.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.state().bytes.len() > LONG
    }

    /// The next bytes, at most 64 KiB; `None` behind the end.
    pub async fn take(&self) -> Option<Bytes> {
        const MOST: usize = 64 << 10;
        loop {
            {
                let mut state = self.state();
                let length = state.bytes.len().min(MOST);
                if length > 0 {
                    let taken = state.bytes.split_to(length).freeze();
                    self.shared.taken.notify_one();
                    return Some(taken);
                }
                if state.ended {
                    return None;
                }
                // An idle channel keeps no memory.
                state.bytes = BytesMut::new();
            }
            self.shared.arrived.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(body: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(body)
    }

    #[test]
    fn bytes_come_out_in_order_and_the_end_behind_them() {
        run(async {
            let inflow = Inflow::default();
            inflow.push(b"one").await.unwrap();
            inflow.push(b"two").await.unwrap();
            inflow.end();
            inflow.push(b"late").await.unwrap();
            assert_eq!(inflow.take().await.unwrap(), "onetwo");
            assert_eq!(inflow.take().await, None);
        });
    }

    #[test]
    fn a_waiting_reader_is_woken() {
        run(async {
            let inflow = Inflow::default();
            let other = inflow.clone();
            let reader = tokio::spawn(async move { (other.take().await, other.take().await) });
            tokio::task::yield_now().await;
            inflow.push(b"x").await.unwrap();
            tokio::task::yield_now().await;
            inflow.end();
            assert_eq!(reader.await.unwrap(), (Some(Bytes::from_static(b"x")), None));
        });
    }

    #[test]
    fn a_long_queue_slows_and_a_cheat_is_found() {
        run(async {
            let inflow = Inflow::default();
            inflow.push(&vec![0; LONG]).await.unwrap();
            assert!(!inflow.is_long());
            inflow.push(b"x").await.unwrap();
            assert!(inflow.is_long());
            assert_eq!(inflow.push(&vec![0; CHEATED]).await, Err(CreditIgnored));
            inflow.refuse();
            assert!(!inflow.is_long());
            assert_eq!(inflow.push(&vec![0; CHEATED]).await, Ok(()));
        });
    }
}
