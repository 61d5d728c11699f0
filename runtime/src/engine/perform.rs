//! The owner's effects: what takes time is started as a task here, and comes back as a message.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use keelson_shim_api::RequestBody;
use tokio::sync::mpsc;

use super::action::Message;
use super::id::ContainerId;
use super::owner::{Happened, Owner};
use super::record::Endpoint;
use super::request::{DEFAULT_STOP_SECONDS, NetworkMode, Patience, Protocol, Publish};
use super::signal::{TERM, parse_signal};
use crate::launch::{LaunchFailure, launch, watch};
use crate::net::held::hold;
use crate::volume::is_anonymous;

impl Owner {
    /// Gives the container its place on the network and starts the launch.
    pub(super) fn launch(&mut self, id: &ContainerId) {
        let given = self.take_endpoint(id);
        self.save(id);
        let Some(entry) = self.containers.get_mut(id) else {
            return;
        };
        entry.run = entry.run.wrapping_add(1);
        let sender = self.sender.clone();
        let id = id.clone();
        if let Err(message) = given {
            let result = Err(LaunchFailure::internal(message));
            tokio::spawn(async move { tell(&sender, Happened::Launch { id, result }).await });
            return;
        }
        let (world, record) = (Arc::clone(&self.world), entry.record.clone());
        let attaching = std::mem::take(&mut entry.attaching);
        tokio::spawn(async move {
            let result = launch(&world, &record, attaching).await;
            tell(&sender, Happened::Launch { id, result }).await;
        });
    }

    /// Address and ports for a container on the bridge.
    fn take_endpoint(&mut self, id: &ContainerId) -> Result<(), String> {
        let Some(entry) = self.containers.get_mut(id) else {
            return Ok(());
        };
        let network = &entry.record.request.network;
        if network.mode != NetworkMode::Bridge {
            return Ok(());
        }
        let mut wishes = network.publish.clone();
        if network.publish_all {
            let published = |port| wishes.iter().any(|p: &Publish| p.container == port);
            let more: Vec<Publish> = entry
                .record
                .resolved
                .expose
                .iter()
                .filter(|port| !published(**port))
                .map(|port| Publish {
                    host_ip: None,
                    host_port: 0,
                    container: *port,
                })
                .collect();
            wishes.extend(more);
        }
        let published = self.ports.take(&wishes, is_open).map_err(|error| error.to_string())?;
        let addresses = match self.pool.take() {
            Ok(addresses) => addresses,
            Err(error) => {
                self.ports.release(&published);
                return Err(error.to_string());
            }
        };
        let (ip4, ip6, mac) = (addresses.ip4, addresses.ip6, addresses.mac);
        let endpoint = Endpoint {
            ip4,
            ip6,
            mac,
            published,
        };
        let held = hold(&endpoint);
        entry.record.endpoint = Some(endpoint);
        // What was taken is given back when the launch that cannot be is over.
        entry.held = Some(held.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Gives address and ports back.
    pub(super) fn release_endpoint(&mut self, id: &ContainerId) {
        let Some(entry) = self.containers.get_mut(id) else {
            return;
        };
        entry.held = None;
        if let Some(endpoint) = entry.record.endpoint.take() {
            self.pool.release(endpoint.ip4);
            self.ports.release(&endpoint.published);
        }
    }

    /// Waits for the end of the run that has just begun.
    pub(super) fn watch(&self, id: &ContainerId) {
        let Some(entry) = self.containers.get(id) else { return };
        let Some(shim) = entry.shim.clone() else { return };
        let (world, record) = (Arc::clone(&self.world), entry.record.clone());
        let (sender, id) = (self.sender.clone(), id.clone());
        tokio::spawn(async move {
            let ending = watch(&world, &record, &shim).await;
            tell(&sender, Happened::Ended { id, ending }).await;
        });
    }

    /// Sends the stop signal and starts the timer after which it is killed.
    pub(super) fn terminate(&mut self, id: &ContainerId) {
        let Some(entry) = self.containers.get_mut(id) else {
            return;
        };
        let how = std::mem::take(&mut entry.stop);
        let own = || parse_signal(&entry.record.resolved.stop_signal).unwrap_or(TERM);
        let signal = how.signal.unwrap_or_else(own);
        let patience = how.patience.unwrap_or_else(|| {
            let seconds = entry.record.request.process.stop_timeout;
            Patience::from_seconds(seconds.unwrap_or(DEFAULT_STOP_SECONDS))
        });
        entry.cancel_timer();
        if let Patience::For(time) = patience {
            let run = entry.run;
            let (sender, id) = (self.sender.clone(), id.clone());
            entry.timer = Some(tokio::spawn(async move {
                tokio::time::sleep(time).await;
                tell(&sender, Happened::PatienceOver { id, run }).await;
            }));
        }
        self.send_signal(id, signal, false);
    }

    /// Sends a signal to the first process, or with `all` to every one.
    pub(super) fn send_signal(&mut self, id: &ContainerId, signal: i32, all: bool) {
        self.publish(id, "kill", [("signal", signal.to_string())]);
        let Some(shim) = self.containers.get(id).and_then(|entry| entry.shim.clone()) else {
            return;
        };
        let thaws = self.thaw(id);
        let id = id.clone();
        tokio::spawn(async move {
            let sent = shim.kill(signal, all).await;
            if thaws {
                // Only then does a frozen process see the signal; it may have been thawed meanwhile.
                let _ = shim.call(RequestBody::Resume).await;
            }
            if let Err(error) = sent {
                // It may have ended by itself in the same moment.
                let error = super::error::chain(&error);
                log::debug!(container = id.short(), signal = signal, error = error; "a signal was not sent");
            }
        });
    }

    /// A signal ends a pause. Whether there was one.
    fn thaw(&mut self, id: &ContainerId) -> bool {
        let Some(entry) = self.containers.get_mut(id).filter(|entry| entry.record.state.paused) else {
            return false;
        };
        entry.record.state.paused = false;
        self.save(id);
        self.publish(id, "unpause", []);
        true
    }

    pub(super) fn schedule_restart(&mut self, id: &ContainerId, delay: Duration) {
        let Some(entry) = self.containers.get_mut(id) else {
            return;
        };
        let (name, run) = (entry.record.name.clone(), entry.run);
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        log::info!(container = name.as_str(), delay_ms = millis; "container will be restarted");
        let (sender, id) = (self.sender.clone(), id.clone());
        entry.cancel_timer();
        entry.timer = Some(tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            tell(&sender, Happened::Due { id, run }).await;
        }));
    }

    /// Removes what a container has on disk.
    pub(super) fn delete(&mut self, id: &ContainerId) {
        let Some(entry) = self.containers.get(id) else { return };
        let (world, store) = (Arc::clone(&self.world), self.store.clone());
        let (record, volumes) = (entry.record.clone(), entry.remove_volumes);
        let (sender, id) = (self.sender.clone(), id.clone());
        tokio::spawn(async move {
            let work = move || {
                world.remove_container(&record).map_err(|error| error.to_string())?;
                store.remove(&record.id).map_err(|error| super::error::chain(&error))?;
                if volumes {
                    remove_anonymous_volumes(&world, &record);
                }
                Ok(())
            };
            let done = tokio::task::spawn_blocking(work).await;
            let result = done.unwrap_or_else(|error| Err(error.to_string()));
            tell(&sender, Happened::Removed { id, result }).await;
        });
    }
}

fn remove_anonymous_volumes(world: &crate::launch::World, record: &super::record::ContainerRecord) {
    for mount in &record.resolved.mounts {
        if let super::request::MountSource::Volume { name, .. } = &mount.source
            && is_anonymous(name)
            && let Err(error) = world.volumes.remove(name)
        {
            let error = super::error::chain(&error);
            log::warn!(volume = name.as_str(), error = error; "an anonymous volume cannot be removed");
        }
    }
}

async fn tell(sender: &mpsc::Sender<Message>, happened: Happened) {
    // An owner that is gone needs no news.
    let _ = sender.send(Message::Happened(happened)).await;
}

/// Whether a program of the host uses the port: the kernel is asked by binding it for a moment.
fn is_open(publish: &Publish) -> bool {
    let any = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    let address = (publish.host_ip.unwrap_or(any), publish.host_port);
    let bound = match publish.container.protocol {
        Protocol::Tcp => TcpListener::bind(address).map(drop),
        Protocol::Udp => UdpSocket::bind(address).map(drop),
    };
    matches!(bound, Err(error) if error.kind() == std::io::ErrorKind::AddrInUse)
}
