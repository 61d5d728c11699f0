//! The owner's answers to those who want a container's streams or its shim.

use keelson_shim_api::Streams;
use tokio::sync::oneshot;

use super::action::Reached;
use super::container::Phase;
use super::error::EngineError;
use super::id::ContainerId;
use super::owner::Owner;
use crate::shim::{Ends, Joining};

impl Owner {
    /// A promise of the streams' ends: kept at once when the container runs, else when it does.
    pub(super) fn attach(
        &mut self,
        container: &str,
        mut streams: Streams,
    ) -> Result<oneshot::Receiver<Ends>, EngineError> {
        let id = self.look_up(container)?;
        let entry = self.entry(id.as_str())?;
        let process = &entry.record.request.process;
        streams.stdin &= process.open_stdin;
        let (ends, promise) = oneshot::channel();
        entry.attaching.push(Joining {
            streams,
            close_stdin: process.stdin_once && !process.tty,
            ends,
        });
        // Some may have given up on a container that was never started.
        entry.attaching.retain(|joining| !joining.ends.is_closed());
        self.join_late(&id);
        self.publish(&id, "attach", []);
        Ok(promise)
    }

    /// Joins those who came too late for the launch.
    pub(super) fn join_late(&mut self, id: &ContainerId) {
        let Some(entry) = self.containers.get_mut(id) else {
            return;
        };
        let Some(shim) = entry
            .shim
            .clone()
            .filter(|_| entry.record.state.phase == Phase::Running)
        else {
            return;
        };
        for joining in std::mem::take(&mut entry.attaching) {
            let shim = shim.clone();
            tokio::spawn(async move { shim.join(joining).await });
        }
    }

    /// The shim of a container that runs.
    pub(super) fn reach(&mut self, container: &str) -> Result<Reached, EngineError> {
        let entry = self.entry(container)?;
        match &entry.shim {
            Some(shim) if entry.record.state.phase == Phase::Running => Ok(Reached {
                shim: shim.clone(),
                record: Box::new(entry.record.clone()),
            }),
            _ => Err(EngineError::NotRunning(entry.record.id.clone())),
        }
    }
}
