//! The owner's answers to actions: is it legal, what changes, whom to answer when.

use std::sync::Arc;

use jiff::Timestamp;

use super::action::{Removed, Reply, StopRequest};
use super::container::{ContainerState, Event as StateEvent, Phase};
use super::entry::Entry;
use super::error::EngineError;
use super::id::{ContainerId, hex, is_valid_name};
use super::names::made_up_name;
use super::owner::Owner;
use super::record::{ContainerRecord, FORMAT, Resolved};
use super::request::{ContainerRequest, MountSource, NetworkMode};
use super::signal::{KILL, parse_signal};
use crate::image::{ImageRecord, StoreError};
use crate::spec::capability::decide_capabilities;
use crate::spec::merge::resolve;
use crate::spec::resources::plan_rlimits;

impl Owner {
    pub(super) fn create(
        &mut self,
        name: Option<String>,
        mut request: ContainerRequest,
    ) -> Result<ContainerId, EngineError> {
        let id = ContainerId::random().map_err(|error| EngineError::internal(&error))?;
        let name = self.free_name(name, &id)?;
        let image = self
            .world
            .images
            .image(&request.image)
            .map_err(|e| no_image(e, &request))?;
        let invalid = |error: &dyn std::error::Error| EngineError::Invalid(error.to_string());
        decide_capabilities(&request.security).map_err(|e| invalid(&e))?;
        plan_rlimits(&request.limits.ulimits).map_err(|e| invalid(&e))?;
        if request.network.mode == NetworkMode::Host && request.hostname.is_empty() {
            // It shares the host's network, and goes by the host's name there.
            let uname = rustix::system::uname();
            request.hostname = uname.nodename().to_string_lossy().into_owned();
        }
        let config = image.config.config().clone().unwrap_or_default();
        let mut resolved = resolve(&id, &request, &config).map_err(|e| invalid(&e))?;
        if parse_signal(&resolved.stop_signal).is_none() {
            return Err(EngineError::Invalid(format!(
                "invalid signal: {}",
                resolved.stop_signal
            )));
        }
        self.make_volumes(&mut resolved)?;
        let record = ContainerRecord {
            format: FORMAT,
            min_reader: FORMAT,
            id: id.clone(),
            name,
            created: Timestamp::now(),
            request,
            image_id: image.id.to_string(),
            resolved,
            state: ContainerState::default(),
            endpoint: None,
            started_boot: String::new(),
            boot_id: self.boot_id.clone(),
        };
        // Acknowledged only when durable.
        self.store
            .save(&record)
            .map_err(|error| EngineError::internal(&error))?;
        self.containers.insert(id.clone(), Entry::new(record));
        self.publish(&id, "create", []);
        Ok(id)
    }

    fn free_name(&self, wanted: Option<String>, id: &ContainerId) -> Result<String, EngineError> {
        let Some(wanted) = wanted else {
            let taken = |name: &str| self.containers.values().any(|e| e.record.name == name);
            return Ok(made_up_name(id, taken));
        };
        let name = wanted.strip_prefix('/').unwrap_or(&wanted);
        if !is_valid_name(name) {
            return Err(EngineError::InvalidName(name.to_owned()));
        }
        match self.containers.values().find(|entry| entry.record.name == name) {
            Some(entry) => Err(EngineError::NameInUse {
                name: name.to_owned(),
                holder: entry.record.id.clone(),
            }),
            None => Ok(name.to_owned()),
        }
    }

    /// Names the anonymous volumes and makes all.
    fn make_volumes(&self, resolved: &mut Resolved) -> Result<(), EngineError> {
        for mount in &mut resolved.mounts {
            let MountSource::Volume { name, .. } = &mut mount.source else {
                continue;
            };
            if name.is_empty() {
                *name = random_name().map_err(|error| EngineError::internal(&error))?;
            }
            self.world
                .volumes
                .data(name)
                .map_err(|e| EngineError::Invalid(e.to_string()))?;
            self.world
                .volumes
                .ensure(name)
                .map_err(|error| EngineError::internal(&error))?;
        }
        Ok(())
    }

    pub(super) fn start(&mut self, container: &str, reply: Reply<()>) {
        let done = self.look_up(container).and_then(|id| {
            self.apply(&id, StateEvent::Start)?;
            Ok(id)
        });
        self.answer_later(done, reply, |entry| &mut entry.starting);
    }

    pub(super) fn stop(&mut self, container: &str, how: StopRequest, reply: Reply<()>) {
        let done = self.look_up(container).and_then(|id| {
            self.remember_stop(&id, how);
            self.apply(&id, StateEvent::Stop)?;
            Ok(id)
        });
        // One that waited to restart has ended within the step.
        let settled = done.as_ref().is_ok_and(|id| self.phase(id) == Some(Phase::Exited));
        if settled {
            let _ = reply.send(Ok(()));
        } else {
            self.answer_later(done, reply, |entry| &mut entry.ending);
        }
    }

    pub(super) fn restart(&mut self, container: &str, how: StopRequest, reply: Reply<()>) {
        let done = self.look_up(container).and_then(|id| {
            self.remember_stop(&id, how);
            self.apply(&id, StateEvent::Restart)?;
            Ok(id)
        });
        self.answer_later(done, reply, |entry| &mut entry.starting);
    }

    pub(super) fn kill(&mut self, container: &str, signal: i32, reply: Reply<()>) {
        let done = self.look_up(container).and_then(|id| {
            let Some(entry) = self.containers.get(&id) else {
                return Err(EngineError::NoSuchContainer(container.to_owned()));
            };
            if entry.record.state.phase != Phase::Running {
                return Err(EngineError::NotRunning(id));
            }
            if keeps_it_ended(&entry.record, signal) {
                self.apply(&id, StateEvent::KilledByHand)?;
            }
            self.send_signal(&id, signal, false);
            Ok(id)
        });
        if signal == KILL {
            self.answer_later(done, reply, |entry| &mut entry.ending);
        } else {
            let _ = reply.send(done.map(|_| ()));
        }
    }

    pub(super) fn rename(&mut self, container: &str, name: &str) -> Result<(), EngineError> {
        let id = self.look_up(container)?;
        let name = self.free_name(Some(name.to_owned()), &id)?;
        let Some(entry) = self.containers.get_mut(&id) else {
            return Err(EngineError::NoSuchContainer(container.to_owned()));
        };
        let old = std::mem::replace(&mut entry.record.name, name);
        self.save(&id);
        self.publish(&id, "rename", [("oldName", format!("/{old}"))]);
        Ok(())
    }

    pub(super) fn remove(&mut self, container: &str, force: bool, volumes: bool, reply: Reply<()>) {
        let done = self.look_up(container).and_then(|id| {
            if let Some(entry) = self.containers.get_mut(&id) {
                entry.remove_volumes |= volumes;
            }
            self.apply(&id, StateEvent::Remove { force })?;
            Ok(id)
        });
        self.answer_later(done, reply, |entry| &mut entry.removing);
    }

    /// The records, the newest first.
    pub(super) fn list(&self) -> Vec<ContainerRecord> {
        let mut all: Vec<_> = self.containers.values().map(|e| e.record.clone()).collect();
        all.sort_by_key(|record| std::cmp::Reverse(record.created));
        all
    }

    /// Removes an image no container needs; with several names only the one that was given.
    pub(super) fn remove_image(&mut self, name: &str, force: bool, reply: Reply<Vec<Removed>>) {
        let checked = self.check_image_removal(name, force);
        let store = Arc::clone(&self.world.images);
        let name = name.to_owned();
        let work = move || {
            let (image, by_name) = checked?;
            let removed = match name.parse() {
                Ok(reference) if by_name => store.untag(&reference),
                _ => store.remove(&image.id),
            };
            let removed = removed.map_err(|error| EngineError::internal(&error))?;
            let untagged = removed.untagged.into_iter().map(Removed::Untagged);
            let deleted = removed.deleted.map(|id| Removed::Deleted(id.to_string()));
            Ok(untagged.chain(deleted).collect())
        };
        // Deletes file by file: not on this thread.
        tokio::task::spawn_blocking(move || {
            let _ = reply.send(work());
        });
    }

    fn check_image_removal(&self, name: &str, force: bool) -> Result<(ImageRecord, bool), EngineError> {
        let image = self.world.images.image(name).map_err(|error| match error {
            StoreError::NoSuchImage { name } => EngineError::NoSuchImage(name),
            other => EngineError::internal(&other),
        })?;
        let id = image.id.to_string();
        let by_name = !id
            .trim_start_matches("sha256:")
            .starts_with(name.trim_start_matches("sha256:"));
        if by_name && image.repo_tags.len() > 1 {
            return Ok((image, by_name));
        }
        if !by_name && image.repo_tags.len() > 1 && !force {
            return Err(EngineError::Conflict(format!(
                "conflict: unable to delete {} (must be forced) - image is referenced in multiple \
                 repositories",
                image.id.short()
            )));
        }
        let users = || self.containers.values().filter(|e| e.record.image_id == id);
        if let Some(entry) = users().find(|e| e.record.state.is_live()) {
            return Err(in_use(&image, entry, "cannot be forced", "running"));
        }
        match users().next() {
            Some(entry) if !force => Err(in_use(&image, entry, "must be forced", "stopped")),
            _ => Ok((image, by_name)),
        }
    }

    fn remember_stop(&mut self, id: &ContainerId, how: StopRequest) {
        if let Some(entry) = self.containers.get_mut(id) {
            entry.stop = how;
        }
    }

    fn phase(&self, id: &ContainerId) -> Option<Phase> {
        self.containers.get(id).map(|entry| entry.record.state.phase)
    }

    /// Answers a refusal now, and anything else when the container gets there.
    fn answer_later(
        &mut self,
        done: Result<ContainerId, EngineError>,
        reply: Reply<()>,
        list: impl FnOnce(&mut Entry) -> &mut Vec<Reply<()>>,
    ) {
        match done {
            Err(error) => {
                let _ = reply.send(Err(error));
            }
            Ok(id) => {
                if let Some(entry) = self.containers.get_mut(&id) {
                    list(entry).push(reply);
                }
            }
        }
    }
}

/// Whether a signal sent by hand keeps the restart policy silent: any, unless the container has a
/// stop signal of its own and this is neither that nor SIGKILL.
fn keeps_it_ended(record: &ContainerRecord, signal: i32) -> bool {
    let own = record.request.process.stop_signal.as_deref().and_then(parse_signal);
    signal == KILL || own.is_none_or(|own| own == signal)
}

fn no_image(error: StoreError, request: &ContainerRequest) -> EngineError {
    match error {
        StoreError::NoSuchImage { .. } => EngineError::NoSuchImage(with_tag(&request.image)),
        other => EngineError::internal(&other),
    }
}

/// Docker names the tag in this message, and clients match on it.
fn with_tag(image: &str) -> String {
    let tagged = image.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    if tagged {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

fn in_use(image: &ImageRecord, entry: &Entry, how: &str, state: &str) -> EngineError {
    EngineError::Conflict(format!(
        "conflict: unable to delete {} ({how}) - image is being used by {state} container {}",
        image.id.short(),
        entry.record.id.short()
    ))
}

fn random_name() -> std::io::Result<String> {
    let mut bytes = [0u8; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(hex(&bytes))
}
