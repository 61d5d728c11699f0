//! The end of the machine: every container is ended in order. Their records go on saying that they run, so that the
//! next boot does with them what it does after a power cut, by their restart policies; nobody stopped them by hand.

use std::collections::BTreeSet;

use super::action::Reply;
use super::id::ContainerId;
use super::owner::{Happened, Owner};

/// Containers that have not ended yet, and who waits for them.
#[derive(Debug)]
pub(super) struct Closing {
    left: BTreeSet<ContainerId>,
    reply: Option<Reply<()>>,
}

impl Owner {
    /// Ends every container; answers when the last one has ended.
    pub(super) fn close(&mut self, reply: Reply<()>) {
        let live = self.containers.iter().filter(|(_, entry)| entry.record.state.is_live());
        let left: BTreeSet<ContainerId> = live.map(|(id, _)| id.clone()).collect();
        log::info!(containers = left.len(); "the machine ends: stopping containers");
        let running: Vec<ContainerId> = left.iter().filter(|id| self.has_shim(id)).cloned().collect();
        self.closing = Some(Closing {
            left,
            reply: Some(reply),
        });
        for id in running {
            self.terminate(&id);
        }
        self.answer_if_closed();
    }

    /// What happens while the machine ends: nothing is started again and no record is changed.
    pub(super) fn note_while_closing(&mut self, happened: Happened) {
        match happened {
            Happened::Ended { id, .. } => {
                if let Some(entry) = self.containers.get_mut(&id) {
                    entry.shim = None;
                    entry.cancel_timer();
                }
                self.has_ended(&id);
            }
            // It was being started when the end began.
            Happened::Launch {
                id,
                result: Ok(launched),
            } => {
                if let Some(entry) = self.containers.get_mut(&id) {
                    entry.shim = Some(launched.shim);
                }
                self.watch(&id);
                self.terminate(&id);
            }
            Happened::Launch { id, result: Err(_) } => self.has_ended(&id),
            Happened::PatienceOver { id, .. } => self.send_signal(&id, super::signal::KILL, true),
            Happened::Due { .. } | Happened::Removed { .. } | Happened::Frozen { .. } | Happened::Updated { .. } => {}
        }
    }

    fn has_shim(&self, id: &ContainerId) -> bool {
        self.containers.get(id).is_some_and(|entry| entry.shim.is_some())
    }

    fn has_ended(&mut self, id: &ContainerId) {
        if let Some(closing) = &mut self.closing {
            closing.left.remove(id);
        }
        self.answer_if_closed();
    }

    fn answer_if_closed(&mut self) {
        let Some(closing) = &mut self.closing else { return };
        if closing.left.is_empty()
            && let Some(reply) = closing.reply.take()
        {
            // Whoever asked may have gone.
            let _ = reply.send(Ok(()));
        }
    }
}
