//! The owner of all state: one task that takes messages one at a time. It decides by the pure parts
//! (`container.rs`, `restart.rs`, ipam, ports), keeps records durable, and starts tasks for all that
//! takes time; their outcome comes back as [`Happened`]. It holds no lock and waits for nothing but
//! its queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::action::{Action, Change, Message};
use super::closing::Closing;
use super::container::{Effect, Ending, Event as StateEvent, Phase, Refusal};
use super::entry::{Entry, answer_all};
use super::error::EngineError;
use super::events::{Event, EventLog, Kind};
use super::id::{ContainerId, Found, find};
use super::store::ContainerStore;
use crate::launch::{LaunchFailure, Launched, World};
use crate::net::ipam::Pool;
use crate::net::ports::PortTable;

/// Something the owner started has come to an end.
#[derive(Debug)]
pub enum Happened {
    /// A launch.
    Launch {
        /// Of which container.
        id: ContainerId,
        /// How it went.
        result: Result<Launched, LaunchFailure>,
    },
    /// A run.
    Ended {
        /// Of which container.
        id: ContainerId,
        /// How.
        ending: Ending,
    },
    /// The delay before a restart.
    Due {
        /// Of which container.
        id: ContainerId,
        /// Which run it followed.
        run: u64,
    },
    /// The patience of a stop.
    PatienceOver {
        /// With which container.
        id: ContainerId,
        /// With which run.
        run: u64,
    },
    /// Freezing or thawing.
    Frozen {
        /// Of which container.
        id: ContainerId,
        /// In which run.
        run: u64,
        /// Frozen, or thawed.
        frozen: bool,
    },
    /// A change of limits that the kernel has taken.
    Updated {
        /// Of which container.
        id: ContainerId,
        /// What changed.
        change: Change,
    },
    /// A removal.
    Removed {
        /// Of which container.
        id: ContainerId,
        /// How it went.
        result: Result<(), String>,
    },
}

/// The state.
#[derive(Debug)]
pub struct Owner {
    pub(super) world: Arc<World>,
    pub(super) store: ContainerStore,
    pub(super) containers: BTreeMap<ContainerId, Entry>,
    pub(super) pool: Pool,
    pub(super) ports: PortTable,
    pub(super) events: EventLog,
    pub(super) boot_id: String,
    /// Set when the machine ends; see `closing`.
    pub(super) closing: Option<Closing>,
    pub(super) sender: mpsc::Sender<Message>,
}

impl Owner {
    /// An owner of no container yet; see `reconcile` for those of earlier runs.
    pub fn new(world: Arc<World>, store: ContainerStore, boot_id: String, sender: mpsc::Sender<Message>) -> Owner {
        Owner {
            pool: Pool::new(*world.network.subnets()),
            world,
            store,
            containers: BTreeMap::new(),
            ports: PortTable::default(),
            events: EventLog::default(),
            boot_id,
            closing: None,
            sender,
        }
    }

    /// Takes messages until every handle is gone.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        while let Some(message) = queue.recv().await {
            match message {
                Message::Ask(action) => self.answer(action),
                Message::Happened(happened) => self.take_note(happened),
            }
        }
    }

    fn answer(&mut self, action: Action) {
        match action {
            Action::Create { name, request, reply } => {
                let _ = reply.send(self.create(name, *request));
            }
            Action::Start { container, reply } => self.start(&container, reply),
            Action::Stop { container, how, reply } => self.stop(&container, how, reply),
            Action::Restart { container, how, reply } => self.restart(&container, how, reply),
            Action::Kill {
                container,
                signal,
                reply,
            } => self.kill(&container, signal, reply),
            Action::Freeze {
                container,
                frozen,
                reply,
            } => self.freeze(&container, frozen, reply),
            Action::Update {
                container,
                change,
                reply,
            } => self.update(&container, change, reply),
            Action::Rename { container, name, reply } => {
                let _ = reply.send(self.rename(&container, &name));
            }
            Action::Remove {
                container,
                force,
                volumes,
                reply,
            } => {
                self.remove(&container, force, volumes, reply);
            }
            Action::Wait {
                container,
                until,
                reply,
            } => {
                let _ = reply.send(self.entry(&container).map(|entry| entry.wait(until)));
            }
            Action::Attach {
                container,
                streams,
                reply,
            } => {
                let _ = reply.send(self.attach(&container, streams));
            }
            Action::Reach { container, reply } => {
                let _ = reply.send(self.reach(&container));
            }
            Action::Inspect { container, reply } => {
                let record = self.entry(&container).map(|entry| Box::new(entry.record.clone()));
                let _ = reply.send(record);
            }
            Action::List { reply } => {
                let _ = reply.send(Ok(self.list()));
            }
            Action::RemoveImage { image, force, reply } => self.remove_image(&image, force, reply),
            Action::Events { reply } => {
                let _ = reply.send(Ok(self.events.subscribe()));
            }
            Action::Note {
                container,
                action,
                facts,
            } => self.publish(&container, &action, facts),
            Action::Publish { event } => self.events.publish(event),
            Action::Close { reply } => self.close(reply),
        }
    }

    fn take_note(&mut self, happened: Happened) {
        if self.closing.is_some() {
            return self.note_while_closing(happened);
        }
        let outcome = match happened {
            Happened::Launch { id, result } => self.launch_ended(&id, result),
            Happened::Ended { id, ending } => self.run_ended(&id, ending),
            Happened::Due { id, run } => self.delay_over(&id, run),
            Happened::PatienceOver { id, run } => {
                self.patience_over(&id, run);
                Ok(())
            }
            Happened::Frozen { id, run, frozen } => {
                self.note_frozen(&id, run, frozen);
                Ok(())
            }
            Happened::Updated { id, change } => {
                self.note_update(&id, change);
                Ok(())
            }
            Happened::Removed { id, result } => self.removal_ended(&id, result),
        };
        if let Err(error) = outcome {
            // What happened is a fact: the state machine has no refusal for it.
            let error = error.to_string();
            log::error!(error = error; "the engine could not take note of an event");
        }
    }

    fn launch_ended(&mut self, id: &ContainerId, result: Result<Launched, LaunchFailure>) -> Result<(), EngineError> {
        let Some(entry) = self.containers.get_mut(id) else {
            return Ok(());
        };
        match result {
            Ok(launched) => {
                entry.shim = Some(launched.shim.clone());
                entry.record.started_boot.clone_from(&self.boot_id);
                let Launched { pid, at, .. } = launched;
                self.watch(id);
                self.apply(id, StateEvent::Launched { pid, at })?;
                self.publish(id, "start", []);
                self.join_late(id);
                if let Some(entry) = self.containers.get_mut(id) {
                    answer_all(&mut entry.starting, || Ok(()));
                }
                Ok(())
            }
            Err(LaunchFailure { code, message }) => {
                log::warn!(container = id.short(), reason = message.as_str(); "a container could not be started");
                let failed = || EngineError::StartFailed {
                    code,
                    message: message.clone(),
                };
                answer_all(&mut entry.starting, || Err(failed()));
                entry.attaching.clear();
                self.release_endpoint(id);
                let error = message.clone();
                self.apply(
                    id,
                    StateEvent::LaunchFailed {
                        code,
                        error,
                        at: Timestamp::now(),
                    },
                )
            }
        }
    }

    fn run_ended(&mut self, id: &ContainerId, ending: Ending) -> Result<(), EngineError> {
        let Some(entry) = self.containers.get_mut(id) else {
            return Ok(());
        };
        entry.shim = None;
        entry.cancel_timer();
        let attributes = [
            ("exitCode", ending.code.to_string()),
            ("execDuration", entry.ran_seconds(ending.at).to_string()),
        ];
        let (name, code) = (entry.record.name.clone(), ending.code);
        log::info!(container = name.as_str(), exit_code = code; "container ended");
        self.release_endpoint(id);
        self.publish(id, "die", attributes);
        self.apply(id, StateEvent::Ended(ending))?;
        if let Some(entry) = self.containers.get_mut(id) {
            answer_all(&mut entry.ending, || Ok(()));
            entry.keep_promises(false);
        }
        Ok(())
    }

    fn delay_over(&mut self, id: &ContainerId, run: u64) -> Result<(), EngineError> {
        match self.containers.get(id) {
            Some(entry) if entry.run == run => self.apply(id, StateEvent::Due),
            _ => Ok(()),
        }
    }

    fn patience_over(&mut self, id: &ContainerId, run: u64) {
        let Some(entry) = self.containers.get(id) else { return };
        if entry.run == run && entry.record.state.phase == Phase::Running {
            log::info!(container = entry.record.name.as_str(); "container did not stop in time and is killed");
            self.send_signal(id, super::signal::KILL, true);
        }
    }

    fn removal_ended(&mut self, id: &ContainerId, result: Result<(), String>) -> Result<(), EngineError> {
        if let Err(error) = result {
            if let Some(entry) = self.containers.get_mut(id) {
                let failed = || EngineError::Internal(error.clone());
                answer_all(&mut entry.removing, || Err(failed()));
            }
            return self.apply(id, StateEvent::RemoveFailed { error });
        }
        self.publish(id, "destroy", []);
        if let Some(mut entry) = self.containers.remove(id) {
            entry.keep_promises(true);
            answer_all(&mut entry.removing, || Ok(()));
        }
        Ok(())
    }

    /// One step of a container's state machine: state, effects, record.
    pub(super) fn apply(&mut self, id: &ContainerId, event: StateEvent) -> Result<(), EngineError> {
        let Some(entry) = self.containers.get_mut(id) else {
            return Err(EngineError::NoSuchContainer(id.to_string()));
        };
        let before = entry.record.state.clone();
        let policy = entry.record.request.restart;
        let effects = entry
            .record
            .state
            .step(policy, event)
            .map_err(|refusal| refused(refusal, id, &entry.record.name))?;
        // A launch is saved with the addresses it gets.
        if entry.record.state != before && !effects.contains(&Effect::Launch) {
            self.save(id);
        }
        for effect in effects {
            self.perform(id, effect);
        }
        Ok(())
    }

    pub(super) fn perform(&mut self, id: &ContainerId, effect: Effect) {
        match effect {
            Effect::Launch => self.launch(id),
            Effect::Terminate => self.terminate(id),
            Effect::Kill => self.send_signal(id, super::signal::KILL, true),
            Effect::ScheduleRestart(delay) => self.schedule_restart(id, delay),
            Effect::CancelRestart => {
                if let Some(entry) = self.containers.get_mut(id) {
                    entry.cancel_timer();
                }
            }
            Effect::Settled => {
                if let Some(entry) = self.containers.get_mut(id) {
                    entry.keep_promises(false);
                }
                self.settle(id);
            }
            Effect::NotStarted => self.settle(id),
            Effect::Delete => self.delete(id),
        }
    }

    /// It does not run and will not by itself: answer whoever asked, and remove what was to remove
    /// itself.
    fn settle(&mut self, id: &ContainerId) {
        let Some(entry) = self.containers.get_mut(id) else {
            return;
        };
        answer_all(&mut entry.ending, || Ok(()));
        let stopped = || EngineError::Conflict("the container was stopped meanwhile".to_owned());
        answer_all(&mut entry.starting, || Err(stopped()));
        let state = &entry.record.state;
        if entry.record.request.auto_remove && matches!(state.phase, Phase::Exited | Phase::Created) {
            entry.remove_volumes = true;
            // Nothing can refuse: it does not run.
            let _ = self.apply(id, StateEvent::Remove { force: false });
        }
    }

    /// Makes a record durable. A failure is logged: the run goes on, and the next save may succeed.
    pub(super) fn save(&mut self, id: &ContainerId) {
        let Some(entry) = self.containers.get_mut(id) else {
            return;
        };
        entry.record.boot_id.clone_from(&self.boot_id);
        if let Err(error) = self.store.save(&entry.record) {
            let error = super::error::chain(&error);
            log::error!(container = id.short(), error = error; "a container's record cannot be written");
        }
    }

    /// The container that `wanted` means.
    pub(super) fn look_up(&self, wanted: &str) -> Result<ContainerId, EngineError> {
        let all = self
            .containers
            .iter()
            .map(|(id, entry)| (id, entry.record.name.as_str()));
        match find(wanted, all) {
            Found::One(id) => Ok(id),
            Found::Nothing => Err(EngineError::NoSuchContainer(wanted.to_owned())),
            Found::Several => Err(EngineError::Ambiguous(wanted.to_owned())),
        }
    }

    pub(super) fn entry(&mut self, wanted: &str) -> Result<&mut Entry, EngineError> {
        let id = self.look_up(wanted)?;
        let missing = || EngineError::NoSuchContainer(wanted.to_owned());
        self.containers.get_mut(&id).ok_or_else(missing)
    }

    /// Tells the listeners what happened to a container.
    pub(super) fn publish<'a>(
        &mut self,
        id: &ContainerId,
        action: &str,
        facts: impl IntoIterator<Item = (&'a str, String)>,
    ) {
        let Some(entry) = self.containers.get(id) else { return };
        let mut attributes = entry.record.resolved.labels.clone();
        attributes.insert("image".to_owned(), entry.record.request.image.clone());
        attributes.insert("name".to_owned(), entry.record.name.clone());
        attributes.extend(facts.into_iter().map(|(key, value)| (key.to_owned(), value)));
        self.events.publish(Event {
            kind: Kind::Container,
            action: action.to_owned(),
            id: id.to_string(),
            attributes,
            at: Timestamp::now(),
        });
    }
}

fn refused(refusal: Refusal, id: &ContainerId, name: &str) -> EngineError {
    match refusal {
        Refusal::AlreadyRunning | Refusal::AlreadyStopped => EngineError::NotModified,
        Refusal::NotRunning => EngineError::NotRunning(id.clone()),
        Refusal::StillRunning => EngineError::StillRunning(name.to_owned()),
        Refusal::RemovalInProgress => EngineError::RemovalInProgress(id.clone()),
        Refusal::Dead => EngineError::Conflict(Refusal::Dead.to_string()),
    }
}
