//! What the owner keeps in memory about one container beside its record: whom to answer, its timer,
//! its shim.

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::action::{Reply, StopRequest, WaitFor, Waited};
use super::error::EngineError;
use super::record::ContainerRecord;
use crate::net::held::Held;
use crate::shim::{Joining, Shim};

/// One container in memory.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its record; what is durable is never ahead of this.
    pub record: ContainerRecord,
    /// Its ports of the host while it runs.
    pub held: Option<Held>,
    /// Its shim while it runs.
    pub shim: Option<Shim>,
    /// The delay before a restart, or the patience of a stop.
    pub timer: Option<JoinHandle<()>>,
    /// Counts runs, so that a timer of an earlier one is void.
    pub run: u64,
    /// How the stop under way should go.
    pub stop: StopRequest,
    /// Remove anonymous volumes with it.
    pub remove_volumes: bool,
    /// Whoever waits to be joined to its streams; before it runs.
    pub attaching: Vec<Joining>,
    /// Whoever waits for it to run.
    pub starting: Vec<Reply<()>>,
    /// Whoever waits for it to have ended.
    pub ending: Vec<Reply<()>>,
    /// Whoever waits for it to be gone.
    pub removing: Vec<Reply<()>>,
    waiters: Vec<(WaitFor, oneshot::Sender<Waited>)>,
}

impl Entry {
    /// A container as its record has it.
    pub fn new(record: ContainerRecord) -> Entry {
        Entry {
            record,
            held: None,
            shim: None,
            timer: None,
            run: 0,
            stop: StopRequest::default(),
            remove_volumes: false,
            attaching: vec![],
            starting: vec![],
            ending: vec![],
            removing: vec![],
            waiters: vec![],
        }
    }

    /// A promise for the end that `until` means; kept at once when that is now.
    pub fn wait(&mut self, until: WaitFor) -> oneshot::Receiver<Waited> {
        let (sender, receiver) = oneshot::channel();
        let live = self.record.state.is_live() || self.record.state.phase == super::container::Phase::Restarting;
        if until == WaitFor::NotRunning && !live {
            // Whoever asked may have gone.
            let _ = sender.send(self.waited());
        } else {
            self.waiters.push((until, sender));
        }
        receiver
    }

    /// Keeps the promises that the end of a run keeps, or with `gone` all of them.
    pub fn keep_promises(&mut self, gone: bool) {
        let waited = self.waited();
        for (until, sender) in std::mem::take(&mut self.waiters) {
            if until == WaitFor::Removed && !gone {
                self.waiters.push((until, sender));
            } else {
                let _ = sender.send(waited.clone());
            }
        }
    }

    fn waited(&self) -> Waited {
        let state = &self.record.state;
        Waited {
            exit_code: state.exit_code,
            error: state.error.clone(),
        }
    }

    /// Stops the timer, if one runs.
    pub fn cancel_timer(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
    }

    /// When its last run ended, for event attributes.
    pub fn ran_seconds(&self, now: Timestamp) -> u64 {
        self.record.state.ran(now).as_secs()
    }
}

/// Answers all of `replies`.
pub(super) fn answer_all(replies: &mut Vec<Reply<()>>, outcome: impl Fn() -> Result<(), EngineError>) {
    for reply in replies.drain(..) {
        // Whoever asked may have gone.
        let _ = reply.send(outcome());
    }
}
