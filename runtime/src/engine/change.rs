//! Changes to a container that runs on: freezing, thawing, other limits. The kernel first, then the record.

use keelson_shim_api::RequestBody;

use super::action::{Change, Message, Reply};
use super::container::Phase;
use super::error::{EngineError, chain};
use super::id::ContainerId;
use super::owner::{Happened, Owner};
use super::restart::RestartPolicy;
use crate::shim::Shim;
use crate::spec::resources::plan_resources;

impl Owner {
    pub(super) fn freeze(&mut self, container: &str, frozen: bool, reply: Reply<()>) {
        match self.may_freeze(container, frozen) {
            Err(error) => {
                let _ = reply.send(Err(error));
            }
            Ok((id, run, shim)) => {
                let body = if frozen {
                    RequestBody::Pause
                } else {
                    RequestBody::Resume
                };
                self.ask_shim(shim, body, Happened::Frozen { id, run, frozen }, reply);
            }
        }
    }

    fn may_freeze(&mut self, container: &str, frozen: bool) -> Result<(ContainerId, u64, Shim), EngineError> {
        let shim = self.reach(container)?.shim;
        let entry = self.entry(container)?;
        if entry.record.state.paused == frozen {
            let how = if frozen { "already" } else { "not" };
            let name = &entry.record.name;
            return Err(EngineError::Conflict(format!("Container {name} is {how} paused")));
        }
        Ok((entry.record.id.clone(), entry.run, shim))
    }

    pub(super) fn note_frozen(&mut self, id: &ContainerId, run: u64, frozen: bool) {
        let Some(entry) = self.containers.get_mut(id) else {
            return;
        };
        if entry.run != run || entry.record.state.phase != Phase::Running {
            return;
        }
        entry.record.state.paused = frozen;
        self.save(id);
        self.publish(id, if frozen { "pause" } else { "unpause" }, []);
    }

    pub(super) fn update(&mut self, container: &str, change: Change, reply: Reply<()>) {
        let checked = self.look_up(container).and_then(|id| {
            let entry = self.entry(id.as_str())?;
            let restarts = change.restart.is_some_and(|policy| policy != RestartPolicy::No);
            if entry.record.request.auto_remove && restarts {
                let text = "Restart policy cannot be updated because AutoRemove is enabled for the container";
                return Err(EngineError::Conflict(text.to_owned()));
            }
            match entry.record.state.phase {
                Phase::Removing | Phase::Dead => Err(EngineError::RemovalInProgress(id)),
                _ => Ok((
                    id,
                    entry.shim.clone(),
                    entry.record.request.limits.changed(&change.limits),
                )),
            }
        });
        match checked {
            Err(error) => {
                let _ = reply.send(Err(error));
            }
            Ok((id, None, _)) => {
                self.note_update(&id, change);
                let _ = reply.send(Ok(()));
            }
            Ok((id, Some(shim), limits)) => {
                let bounds_pids = limits.pids.is_some();
                let resources = plan_resources(&limits, vec![], bounds_pids);
                let resources = serde_json::to_value(resources).unwrap_or_default();
                self.ask_shim(
                    shim,
                    RequestBody::Update { resources },
                    Happened::Updated { id, change },
                    reply,
                );
            }
        }
    }

    pub(super) fn note_update(&mut self, id: &ContainerId, change: Change) {
        let Some(entry) = self.containers.get_mut(id) else {
            return;
        };
        let request = &mut entry.record.request;
        request.limits = request.limits.changed(&change.limits);
        request.restart = change.restart.unwrap_or(request.restart);
        self.save(id);
        self.publish(id, "update", []);
    }

    /// Asks a shim; what then happened is noted before the answer goes out.
    fn ask_shim(&self, shim: Shim, body: RequestBody, happened: Happened, reply: Reply<()>) {
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let done = shim.call(body).await;
            if done.is_ok() {
                // An owner that is gone needs no news.
                let _ = sender.send(Message::Happened(happened)).await;
            }
            let _ = reply.send(done.map(|_| ()).map_err(|error| EngineError::Conflict(chain(&error))));
        });
    }
}
