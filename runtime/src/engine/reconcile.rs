//! The start of the engine: what earlier runs left is looked at, and each container goes on where it
//! was. The decision is pure; looking is done by the launch module.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::container::{Effect, Ending, Phase, Wish};
use super::entry::Entry;
use super::error::{EngineError, chain};
use super::id::ContainerId;
use super::owner::{Happened, Owner};
use super::record::{ContainerRecord, Endpoint};
use super::restart::RestartPolicy;
use crate::launch::{Launched, reattach};
use crate::net::held::hold;

/// What a container of an earlier run needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Its processes may live: look for its shim.
    Reattach,
    /// Its processes are gone with the last boot; run again.
    RunAgain,
    /// Its processes are gone with the last boot; it has ended.
    MarkEnded,
    /// It was waiting to restart.
    Restart,
    /// It had ended; run, as the machine starts.
    Start,
    /// Its removal was cut short.
    Remove,
    /// Nothing.
    Leave,
}

fn decide(record: &ContainerRecord, boot_id: &str) -> Decision {
    let same_boot = record.boot_id == boot_id;
    let policy = record.request.restart;
    let by_hand = record.state.wish == Wish::Stop;
    let wanted = match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure { .. } | RestartPolicy::UnlessStopped => !by_hand,
    };
    match record.state.phase {
        Phase::Running | Phase::Starting if same_boot => Decision::Reattach,
        Phase::Running | Phase::Starting if wanted => Decision::RunAgain,
        Phase::Running | Phase::Starting => Decision::MarkEnded,
        Phase::Restarting => Decision::Restart,
        Phase::Removing | Phase::Dead => Decision::Remove,
        Phase::Exited if !same_boot && wanted && !matches!(policy, RestartPolicy::OnFailure { .. }) => Decision::Start,
        Phase::Exited | Phase::Created => Decision::Leave,
    }
}

impl Owner {
    /// Takes over the containers of earlier runs and makes the network. Call once, before `run`.
    ///
    /// # Errors
    /// The records cannot be listed. A network that cannot be made is logged: containers without it
    /// still run.
    pub async fn reconcile(&mut self) -> Result<(), EngineError> {
        let loaded = self.store.load_all().map_err(|error| EngineError::internal(&error))?;
        for error in &loaded.unreadable {
            log::error!(error = chain(error); "a container is left alone");
        }
        for id in &loaded.leftovers {
            log::info!(container = id.short(); "removing what a creation that was cut short left");
            if let Err(error) = self.store.remove(id) {
                log::warn!(container = id.short(), error = chain(&error); "it cannot be removed");
            }
        }
        let decisions: Vec<_> = loaded
            .records
            .iter()
            .map(|record| decide(record, &self.boot_id))
            .collect();
        self.establish_network(&loaded.records, &decisions);
        for (record, decision) in loaded.records.into_iter().zip(decisions) {
            self.take_over(record, decision).await;
        }
        Ok(())
    }

    /// The ports of containers that may run stay published without a break: the table is replaced in
    /// one transaction.
    fn establish_network(&mut self, records: &[ContainerRecord], decisions: &[Decision]) {
        let live = records.iter().zip(decisions).filter(|(_, d)| **d == Decision::Reattach);
        let endpoints: Vec<Endpoint> = live.filter_map(|(record, _)| record.endpoint.clone()).collect();
        for endpoint in &endpoints {
            self.pool.reserve(endpoint.ip4);
            for publish in &endpoint.published {
                self.ports.reserve(publish);
            }
        }
        if let Err(error) = self.world.network.take_over(&endpoints) {
            log::error!(error = chain(&error); "the bridge for containers cannot be made");
        }
    }

    async fn take_over(&mut self, record: ContainerRecord, decision: Decision) {
        let id = record.id.clone();
        let mut record = record;
        if decision != Decision::Reattach {
            record.endpoint = None;
        }
        log::debug!(container = record.name.as_str(), decision:? = decision; "taking over");
        self.containers.insert(id.clone(), Entry::new(record.clone()));
        match decision {
            Decision::Leave => {}
            Decision::Reattach => self.take_over_live(record).await,
            Decision::RunAgain | Decision::MarkEnded => {
                self.mark_ended(&id);
                if decision == Decision::RunAgain {
                    self.start_unasked(&id);
                } else {
                    self.perform(&id, Effect::Settled);
                }
            }
            Decision::Start => self.start_unasked(&id),
            Decision::Restart => self.schedule_restart(&id, Duration::ZERO),
            Decision::Remove => {
                if let Some(entry) = self.containers.get_mut(&id) {
                    entry.record.state.phase = Phase::Removing;
                }
                self.delete(&id);
            }
        }
    }

    async fn take_over_live(&mut self, record: ContainerRecord) {
        let id = record.id.clone();
        match reattach(&Arc::clone(&self.world), &record).await {
            Ok(Launched { pid, shim, at }) => {
                log::info!(container = record.name.as_str(), pid = pid; "container found running");
                let Some(entry) = self.containers.get_mut(&id) else {
                    return;
                };
                entry.shim = Some(shim);
                let held = entry.record.endpoint.as_ref().map(hold).transpose();
                entry.held = held.unwrap_or_else(|error| {
                    let (name, error) = (record.name.as_str(), error.to_string());
                    log::warn!(container = name, error = error; "a published port belongs to a program of the host");
                    None
                });
                entry.record.state.phase = Phase::Running;
                entry.record.state.pid = Some(pid);
                entry.record.state.started_at = Some(at);
                let stopping = entry.record.state.stopping;
                self.watch(&id);
                if stopping {
                    self.terminate(&id);
                }
            }
            Err(ending) => {
                let sender = self.sender.clone();
                tokio::spawn(async move {
                    let ended = Happened::Ended { id, ending };
                    let _ = sender.send(super::action::Message::Happened(ended)).await;
                });
            }
        }
    }

    /// The machine was restarted under it.
    fn mark_ended(&mut self, id: &ContainerId) {
        let Some(entry) = self.containers.get_mut(id) else {
            return;
        };
        let state = &mut entry.record.state;
        let ending = Ending {
            code: 255,
            oom_killed: false,
            at: Timestamp::now(),
        };
        state.phase = Phase::Exited;
        state.pid = None;
        state.stopping = false;
        state.exit_code = ending.code;
        state.finished_at = Some(ending.at);
        self.save(id);
    }

    /// As a restart that is due: if it fails, the policy tries again.
    fn start_unasked(&mut self, id: &ContainerId) {
        if let Some(entry) = self.containers.get_mut(id) {
            entry.record.state.phase = Phase::Restarting;
        }
        self.schedule_restart(id, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::Resolved;
    use crate::engine::request::ContainerRequest;

    fn record(phase: Phase, policy: RestartPolicy, wish: Wish, boot: &str) -> ContainerRecord {
        let mut state = super::super::container::ContainerState::default();
        (state.phase, state.wish) = (phase, wish);
        ContainerRecord {
            format: 1,
            min_reader: 1,
            id: ContainerId::try_from("a".repeat(64)).unwrap(),
            name: "web".into(),
            created: Timestamp::UNIX_EPOCH,
            request: ContainerRequest {
                restart: policy,
                ..ContainerRequest::default()
            },
            image_id: String::new(),
            resolved: Resolved::default(),
            state,
            endpoint: None,
            started_boot: String::new(),
            boot_id: boot.into(),
        }
    }

    #[test]
    fn decides_as_docker_does() {
        use Decision::*;
        use Phase::*;
        let (no, always) = (RestartPolicy::No, RestartPolicy::Always);
        let (unless, failure) = (RestartPolicy::UnlessStopped, RestartPolicy::OnFailure { max: 0 });
        let table = [
            (Running, no, Wish::Run, "now", Reattach),
            (Running, no, Wish::Run, "before", MarkEnded),
            (Running, always, Wish::Run, "before", RunAgain),
            (Running, failure, Wish::Run, "before", RunAgain),
            (Running, unless, Wish::Stop, "before", MarkEnded),
            (Exited, always, Wish::Stop, "now", Leave),
            (Exited, always, Wish::Stop, "before", Start),
            (Exited, unless, Wish::Stop, "before", Leave),
            (Exited, unless, Wish::Run, "before", Start),
            (Exited, failure, Wish::Run, "before", Leave),
            (Exited, no, Wish::Run, "before", Leave),
            (Created, always, Wish::Run, "before", Leave),
            (Phase::Restarting, always, Wish::Run, "now", Restart),
            (Removing, no, Wish::Remove, "before", Remove),
        ];
        for (phase, policy, wish, boot, want) in table {
            let got = decide(&record(phase, policy, wish, boot), "now");
            assert_eq!(got, want, "{phase:?} {policy:?} {wish:?} {boot}");
        }
    }
}
