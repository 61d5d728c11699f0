//! Declared containers → what the engine is asked. Pure.

use std::collections::BTreeMap;

use keelson_machine_config as config;
use keelson_machine_config::{EnvValue, MachineConfig, MountKind, NamespaceMode};

use crate::engine::record::ContainerRecord;
use crate::engine::request::{
    ContainerPort, ContainerRequest, HostNamespaces, Limits, MountRequest, MountSource, NetworkMode, NetworkRequest,
    ProcessRequest, Protocol, Publish, SecurityRequest,
};
use crate::engine::restart::RestartPolicy;
use crate::image::Digest;

/// Label of every declared container: digest of its declaration.
pub const LABEL: &str = "io.keelson.declared";

/// A container that should be there.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// What it should be, with its label.
    pub request: ContainerRequest,
}

impl Declared {
    /// Digest of the declaration.
    pub fn digest(&self) -> &str {
        self.request.labels.get(LABEL).map(String::as_str).unwrap_or_default()
    }
}

/// All declared containers of a configuration.
pub fn plan_declared(config: &MachineConfig) -> Vec<Declared> {
    config
        .containers
        .iter()
        .map(|(name, c)| lower(name.as_str(), c))
        .collect()
}

/// Names of containers that were declared once and are no longer.
pub fn plan_removals(declared: &[Declared], existing: &[ContainerRecord]) -> Vec<String> {
    existing
        .iter()
        .filter(|record| record.request.labels.contains_key(LABEL))
        .filter(|record| !declared.iter().any(|d| d.name == record.name))
        .map(|record| record.name.clone())
        .collect()
}

/// What one declared container needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make it.
    Create,
    /// Remove the one of another declaration, then make it.
    Replace,
    /// Start it.
    Start,
    /// Nothing: it is as declared.
    Keep,
    /// Nothing can be done: someone else's container has the name.
    NameTaken,
}

/// Decides. `boot_id` is this boot: what was not started in it is started once, so that a container
/// that ended by itself stays ended.
pub fn decide_step(declared: &Declared, existing: Option<&ContainerRecord>, boot_id: &str) -> Step {
    let Some(record) = existing else { return Step::Create };
    match record.request.labels.get(LABEL) {
        None => Step::NameTaken,
        Some(digest) if digest != declared.digest() => Step::Replace,
        Some(_) => {
            use crate::engine::container::{Phase, Wish};
            let state = &record.state;
            let ran = record.started_boot == boot_id;
            let by_hand = state.wish == Wish::Stop && state.phase == Phase::Exited;
            match state.phase {
                Phase::Created | Phase::Exited if !ran && !by_hand => Step::Start,
                _ => Step::Keep,
            }
        }
    }
}

fn lower(name: &str, container: &config::Container) -> Declared {
    // The digest is of the declaration, not of what it is lowered to: a new release that lowers it
    // otherwise must not replace containers.
    let text = serde_json::to_vec(container).unwrap_or_default();
    let labels = BTreeMap::from([(LABEL.to_owned(), Digest::of(&text).to_string())]);
    let request = ContainerRequest {
        image: container.image.to_string(),
        process: lower_process(container),
        labels,
        mounts: container.mounts.iter().map(lower_mount).collect(),
        network: lower_network(container),
        namespaces: HostNamespaces {
            pid: is_host(container.namespaces.pid),
            ipc: is_host(container.namespaces.ipc),
            cgroup: is_host(container.namespaces.cgroup),
            uts: false,
        },
        security: lower_security(container),
        limits: lower_limits(container),
        restart: match container.restart {
            config::RestartPolicy::Always => RestartPolicy::Always,
            config::RestartPolicy::OnFailure => RestartPolicy::OnFailure { max: 0 },
            config::RestartPolicy::No => RestartPolicy::No,
            config::RestartPolicy::UnlessStopped => RestartPolicy::UnlessStopped,
        },
        hostname: if container.network == config::NetworkMode::Host {
            String::new()
        } else {
            name.to_owned()
        },
        ..ContainerRequest::default()
    };
    Declared {
        name: name.to_owned(),
        request,
    }
}

fn is_host(mode: NamespaceMode) -> bool {
    mode == NamespaceMode::Host
}

fn lower_process(container: &config::Container) -> ProcessRequest {
    let mut process = ProcessRequest {
        entrypoint: container.entrypoint.clone(),
        command: container.command.clone(),
        user: container.user.clone().unwrap_or_default(),
        workdir: container.workdir.clone().unwrap_or_default(),
        stop_timeout: Some(container.stop_timeout.0.as_secs().try_into().unwrap_or(i64::MAX)),
        ..ProcessRequest::default()
    };
    for (key, value) in &container.env {
        match value {
            EnvValue::Plain(text) => process.env.push(format!("{key}={text}")),
            EnvValue::Secret(secret) => {
                process.secret_env.insert(key.clone(), secret.name.as_str().to_owned());
            }
        }
    }
    process
}

fn lower_mount(mount: &config::Mount) -> MountRequest {
    let source = match &mount.kind {
        MountKind::Volume { source } => MountSource::Volume {
            name: source.as_str().to_owned(),
            no_copy: false,
        },
        MountKind::Bind { source } => MountSource::Bind {
            path: source.clone(),
            create: false,
            propagation: String::new(),
        },
        MountKind::Tmpfs { size } => MountSource::Tmpfs {
            options: size.map(|bytes| format!("size={}", bytes.0)).unwrap_or_default(),
        },
    };
    MountRequest {
        source,
        target: mount.target.clone(),
        read_only: mount.read_only,
    }
}

fn lower_network(container: &config::Container) -> NetworkRequest {
    let publish = container.ports.iter().map(|port| Publish {
        host_ip: port.host_address,
        host_port: port.host_port.get(),
        container: ContainerPort {
            port: port.container_port.get(),
            protocol: match port.protocol {
                config::Protocol::Tcp => Protocol::Tcp,
                config::Protocol::Udp => Protocol::Udp,
            },
        },
    });
    NetworkRequest {
        mode: match container.network {
            config::NetworkMode::Bridge => NetworkMode::Bridge,
            config::NetworkMode::None => NetworkMode::None,
            config::NetworkMode::Host => NetworkMode::Host,
        },
        publish: publish.collect(),
        ..NetworkRequest::default()
    }
}

fn lower_security(container: &config::Container) -> SecurityRequest {
    let names = |list: &[config::Capability]| list.iter().map(ToString::to_string).collect();
    SecurityRequest {
        privileged: container.privileged,
        cap_add: names(&container.capabilities.add),
        cap_drop: names(&container.capabilities.drop),
        read_only: container.read_only,
        bus: container.bus,
        ..SecurityRequest::default()
    }
}

fn lower_limits(container: &config::Container) -> Limits {
    let limits = &container.limits;
    Limits {
        memory: limits.memory.map(|bytes| bytes.0).unwrap_or_default(),
        nano_cpus: limits.cpus.map(|cpus| cpus.nano).unwrap_or_default(),
        pids: limits.pids.map(i64::from),
        disk: limits.disk.map(|bytes| bytes.0).unwrap_or_default(),
        ..Limits::default()
    }
}

#[cfg(test)]
#[path = "plan_test.rs"]
mod tests;
