//! The body of `POST /containers/create` → [`ContainerRequest`]. Pure. What the engine cannot do yet
//! is refused by name, never ignored.

use std::collections::BTreeMap;
use std::net::IpAddr;

use keelson_image_layout::BusAccess;
use serde_json::Value;

use super::create_body::{CreateBody, DeviceBody, HostConfig, MountBody, PortBinding, RestartPolicyBody};
use super::create_known::{find_unknown, says};
use super::peer::GRANT_BUS;
use crate::engine::error::EngineError;
use crate::engine::request::{
    ContainerRequest, DeviceRequest, HostNamespaces, Limits, MountRequest, MountSource, NetworkMode, NetworkRequest,
    ProcessRequest, Publish, SecurityRequest, Ulimit,
};
use crate::engine::restart::RestartPolicy;
use crate::spec::merge::parse_ports;

fn invalid(text: impl Into<String>) -> EngineError {
    EngineError::Invalid(text.into())
}

pub(super) fn not_yet(what: impl Into<String>) -> EngineError {
    EngineError::NotSupported(what.into())
}

/// Lowers a body to the engine's words.
///
/// # Errors
/// It is no such JSON, says something that makes no sense, or asks for what is not there yet.
pub fn parse_create(body: &[u8]) -> Result<ContainerRequest, EngineError> {
    let raw: Value = serde_json::from_slice(body).map_err(|error| invalid(format!("invalid JSON: {error}")))?;
    refuse_not_yet(&raw)?;
    let body: CreateBody =
        serde_json::from_value(raw).map_err(|error| invalid(format!("invalid container configuration: {error}")))?;
    if body.image.is_empty() {
        return Err(invalid(
            "config cannot be empty in order to create a container: no image",
        ));
    }
    let host = &body.host_config;
    let restart = parse_restart(&host.restart_policy)?;
    if host.auto_remove && restart != RestartPolicy::No {
        return Err(invalid("can't create 'AutoRemove' container with restart policy"));
    }
    let mut request = ContainerRequest {
        restart,
        auto_remove: host.auto_remove,
        init: host.init,
        mounts: parse_mounts(&body)?,
        network: parse_network(&body)?,
        namespaces: parse_namespaces(host)?,
        security: parse_security(host)?,
        limits: parse_limits(host)?,
        sysctls: host.sysctls.clone(),
        annotations: host.annotations.clone(),
        ..ContainerRequest::default()
    };
    request.image = body.image;
    request.hostname = body.hostname;
    request.domainname = body.domainname;
    request.security.bus = parse_bus(&body.labels)?;
    request.labels = body.labels;
    request.process = ProcessRequest {
        entrypoint: body.entrypoint.map(Vec::from),
        command: body.cmd.map(Vec::from),
        env: body.env,
        user: body.user,
        workdir: body.working_dir,
        tty: body.tty,
        console_size: body.host_config.console_size.filter(|size| *size != [0, 0]),
        open_stdin: body.open_stdin,
        stdin_once: body.stdin_once,
        stop_signal: body.stop_signal.filter(|signal| !signal.is_empty()),
        stop_timeout: body.stop_timeout,
        ..ProcessRequest::default()
    };
    Ok(request)
}

fn refuse_not_yet(raw: &Value) -> Result<(), EngineError> {
    let check = raw.get("Healthcheck");
    let none = check.and_then(|check| check.get("Test")) == Some(&serde_json::json!(["NONE"]));
    if check.is_some_and(says) && !none {
        return Err(not_yet("health checks (Healthcheck)"));
    }
    find_unknown(raw).map_or(Ok(()), |name| Err(not_yet(name)))
}

pub(super) fn parse_restart(body: &RestartPolicyBody) -> Result<RestartPolicy, EngineError> {
    let max = u32::try_from(body.maximum_retry_count)
        .map_err(|_| invalid("invalid restart policy: maximum retry count cannot be negative"))?;
    let policy = match body.name.as_str() {
        "" | "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => return Ok(RestartPolicy::OnFailure { max }),
        other => return Err(invalid(format!("invalid restart policy: unknown policy '{other}'"))),
    };
    if max > 0 {
        return Err(invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ));
    }
    Ok(policy)
}

fn parse_network(body: &CreateBody) -> Result<NetworkRequest, EngineError> {
    let host = &body.host_config;
    let mode = match host.network_mode.as_str() {
        _ if body.network_disabled => NetworkMode::None,
        "" | "default" | "bridge" => NetworkMode::Bridge,
        "none" => NetworkMode::None,
        "host" => NetworkMode::Host,
        other => return Err(not_yet(format!("network {other:?}: only bridge, host and none"))),
    };
    let endpoints = &body.networking_config.endpoints_config;
    if let Some(name) = endpoints
        .keys()
        .find(|name| !matches!(name.as_str(), "default" | "bridge" | "host" | "none"))
    {
        return Err(not_yet(format!("network {name:?}: only bridge, host and none")));
    }
    let mut expose = vec![];
    for text in body.exposed_ports.keys() {
        let ports = parse_ports(text).ok_or_else(|| invalid(format!("invalid port: {text:?}")))?;
        expose.extend(ports);
    }
    let mut publish = vec![];
    for (port, bindings) in &host.port_bindings {
        publish.extend(parse_bindings(port, bindings.as_deref().unwrap_or_default())?);
    }
    if mode == NetworkMode::Host {
        // As Docker does: the ports are the host's own already.
        publish.clear();
    }
    Ok(NetworkRequest {
        mode,
        publish,
        expose,
        publish_all: host.publish_all_ports,
        dns: host.dns.clone(),
        dns_search: host.dns_search.clone(),
        dns_options: host.dns_options.clone(),
        extra_hosts: host.extra_hosts.clone(),
    })
}

/// An empty list of bindings asks for a free port.
fn parse_bindings(port: &str, bindings: &[PortBinding]) -> Result<Vec<Publish>, EngineError> {
    let containers = parse_ports(port).ok_or_else(|| invalid(format!("invalid port specification: {port:?}")))?;
    let any = [PortBinding::default()];
    let bindings = if bindings.is_empty() { &any } else { bindings };
    let mut publish = vec![];
    for container in containers {
        for binding in bindings {
            let host_ip = match binding.host_ip.as_str() {
                "" => None,
                text => Some(
                    text.parse::<IpAddr>()
                        .map_err(|_| invalid(format!("invalid host IP address: {text:?}")))?,
                ),
            };
            let host_port = match binding.host_port.as_str() {
                "" => 0,
                text => parse_host_port(text)?,
            };
            publish.push(Publish {
                host_ip,
                host_port,
                container,
            });
        }
    }
    Ok(publish)
}

/// A port, or a range of which the first is taken.
fn parse_host_port(text: &str) -> Result<u16, EngineError> {
    let first = text.split('-').next().unwrap_or(text);
    first
        .parse()
        .map_err(|_| invalid(format!("invalid port specification: {text:?}")))
}

fn parse_mounts(body: &CreateBody) -> Result<Vec<MountRequest>, EngineError> {
    let mut mounts = vec![];
    for bind in &body.host_config.binds {
        mounts.push(parse_bind(bind)?);
    }
    for mount in &body.host_config.mounts {
        mounts.push(parse_mount(mount)?);
    }
    for (target, options) in &body.host_config.tmpfs {
        let source = MountSource::Tmpfs {
            options: options.clone(),
        };
        mounts.push(MountRequest {
            source,
            target: target.clone(),
            read_only: false,
        });
    }
    for target in body.volumes.keys() {
        if !mounts.iter().any(|mount| &mount.target == target) {
            let source = MountSource::Volume {
                name: String::new(),
                no_copy: false,
            };
            mounts.push(MountRequest {
                source,
                target: target.clone(),
                read_only: false,
            });
        }
    }
    Ok(mounts)
}

/// `source:target[:options]`, where a source without a leading slash is a volume.
fn parse_bind(text: &str) -> Result<MountRequest, EngineError> {
    let refused = || invalid(format!("invalid volume specification: '{text}'"));
    let mut parts = text.split(':');
    let (source, target) = (parts.next().unwrap_or_default(), parts.next());
    let options = parts.next().unwrap_or_default();
    let target = target.filter(|t| t.starts_with('/')).ok_or_else(refused)?;
    if source.is_empty() || parts.next().is_some() {
        return Err(refused());
    }
    let (mut read_only, mut no_copy, mut propagation) = (false, false, String::new());
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "nocopy" => no_copy = true,
            // Labels of SELinux, which this kernel has not, and the way of caching on a Mac.
            "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" => {}
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                propagation = option.to_owned();
            }
            _ => return Err(refused()),
        }
    }
    let source = if source.starts_with('/') {
        MountSource::Bind {
            path: source.to_owned(),
            create: true,
            propagation,
        }
    } else {
        MountSource::Volume {
            name: source.to_owned(),
            no_copy,
        }
    };
    Ok(MountRequest {
        source,
        target: target.to_owned(),
        read_only,
    })
}

fn parse_mount(body: &MountBody) -> Result<MountRequest, EngineError> {
    let misplaced = |options: &str| {
        let kind = &body.kind;
        invalid(format!("{options} must not be specified on mount type \"{kind}\""))
    };
    for (given, options, kind) in [
        (body.bind_options.is_some(), "BindOptions", "bind"),
        (body.volume_options.is_some(), "VolumeOptions", "volume"),
        (body.tmpfs_options.is_some(), "TmpfsOptions", "tmpfs"),
    ] {
        if given && body.kind != kind {
            return Err(misplaced(options));
        }
    }
    let source = match body.kind.as_str() {
        "bind" => {
            let options = body.bind_options.clone().unwrap_or_default();
            MountSource::Bind {
                path: body.source.clone(),
                create: options.create_mountpoint,
                propagation: options.propagation,
            }
        }
        "volume" => {
            let options = body.volume_options.clone().unwrap_or_default();
            if !options.subpath.is_empty() {
                return Err(not_yet("VolumeOptions.Subpath"));
            }
            if options.driver_config.is_some_and(|d| !d.is_null()) {
                return Err(not_yet("volume drivers"));
            }
            MountSource::Volume {
                name: body.source.clone(),
                no_copy: options.no_copy,
            }
        }
        "tmpfs" => {
            let options = body.tmpfs_options.clone().unwrap_or_default();
            let mut words = vec![];
            if options.size_bytes > 0 {
                words.push(format!("size={}", options.size_bytes));
            }
            if options.mode > 0 {
                words.push(format!("mode={:o}", options.mode));
            }
            MountSource::Tmpfs {
                options: words.join(","),
            }
        }
        other => return Err(not_yet(format!("mounts of type {other:?}"))),
    };
    Ok(MountRequest {
        source,
        target: body.target.clone(),
        read_only: body.read_only,
    })
}

fn parse_namespaces(host: &HostConfig) -> Result<HostNamespaces, EngineError> {
    let shared = |name: &str, mode: &str, own: &[&str]| match mode {
        "host" => Ok(true),
        mode if mode.is_empty() || own.contains(&mode) => Ok(false),
        other => Err(not_yet(format!("{name} {other:?}: only host and private"))),
    };
    Ok(HostNamespaces {
        pid: shared("PidMode", &host.pid_mode, &[])?,
        ipc: shared("IpcMode", &host.ipc_mode, &["private", "shareable"])?,
        cgroup: shared("CgroupnsMode", &host.cgroupns_mode, &["private"])?,
        uts: shared("UTSMode", &host.uts_mode, &[])?,
    })
}

fn parse_security(host: &HostConfig) -> Result<SecurityRequest, EngineError> {
    if !matches!(host.runtime.as_str(), "" | "runc" | "io.containerd.runc.v2") {
        return Err(not_yet(format!("runtime {:?}", host.runtime)));
    }
    let log = host.log_config.kind.as_str();
    if !matches!(log, "" | "json-file" | "local" | "journald") {
        return Err(not_yet(format!("log driver {log:?}: only json-file and journald")));
    }
    let mut security = SecurityRequest {
        privileged: host.privileged,
        cap_add: host.cap_add.clone(),
        cap_drop: host.cap_drop.clone(),
        read_only: host.readonly_rootfs,
        groups: host.group_add.clone(),
        devices: host.devices.iter().map(parse_device).collect(),
        unmask: host.masked_paths.as_ref().is_some_and(Vec::is_empty),
        ..SecurityRequest::default()
    };
    for option in &host.security_opt {
        match option.as_str() {
            "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true" => {
                security.no_new_privileges = true;
            }
            "no-new-privileges:false" | "no-new-privileges=false" => {}
            "seccomp=unconfined" | "seccomp:unconfined" => security.seccomp_unconfined = true,
            "systempaths=unconfined" => security.unmask = true,
            "apparmor=unconfined" | "apparmor:unconfined" | "label=disable" | "label:disable" => {}
            other => return Err(not_yet(format!("security option {other:?}"))),
        }
    }
    Ok(security)
}

/// By a label of the request; an image's own labels grant nothing.
fn parse_bus(labels: &BTreeMap<String, String>) -> Result<Option<BusAccess>, EngineError> {
    let word = labels.get(GRANT_BUS).map(|word| word.parse());
    word.transpose()
        .map_err(|error| invalid(format!("label {GRANT_BUS}: {error}")))
}

fn parse_device(body: &DeviceBody) -> DeviceRequest {
    let or = |given: &str, other: &str| if given.is_empty() { other } else { given }.to_owned();
    DeviceRequest {
        host: body.path_on_host.clone(),
        container: or(&body.path_in_container, &body.path_on_host),
        access: or(&body.cgroup_permissions, "rwm"),
    }
}

pub(super) fn parse_limits(host: &HostConfig) -> Result<Limits, EngineError> {
    let amount = |name: &str, value: i64| u64::try_from(value).map_err(|_| invalid(format!("invalid {name}: {value}")));
    let mut disk = 0;
    for (key, value) in &host.storage_opt {
        if key != "size" {
            return Err(not_yet(format!("storage option {key:?}")));
        }
        disk = parse_size(value).ok_or_else(|| invalid(format!("invalid size: {value:?}")))?;
    }
    let memory = amount("memory limit", host.memory)?;
    if memory > 0 && memory < MIN_MEMORY {
        return Err(invalid("Minimum memory limit allowed is 6MB"));
    }
    Ok(Limits {
        memory,
        memory_reservation: amount("memory reservation", host.memory_reservation)?,
        memory_swap: host.memory_swap,
        nano_cpus: amount("NanoCpus", host.nano_cpus)?,
        cpu_shares: amount("CpuShares", host.cpu_shares)?,
        cpu_quota: host.cpu_quota,
        cpu_period: amount("CpuPeriod", host.cpu_period)?,
        cpuset_cpus: host.cpuset_cpus.clone(),
        pids: host.pids_limit.filter(|limit| *limit != 0),
        disk,
        shm: amount("ShmSize", host.shm_size)?,
        oom_score_adj: host.oom_score_adj,
        ulimits: host
            .ulimits
            .iter()
            .map(|u| Ulimit {
                name: u.name.clone(),
                soft: u.soft,
                hard: u.hard,
            })
            .collect(),
    })
}

/// Docker's floor.
const MIN_MEMORY: u64 = 6 << 20;

/// `10G`, `512m`, `1024`.
fn parse_size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, shift) = match lower.as_bytes().last()? {
        b'k' => (lower.strip_suffix('k')?, 10),
        b'm' => (lower.strip_suffix('m')?, 20),
        b'g' => (lower.strip_suffix('g')?, 30),
        b't' => (lower.strip_suffix('t')?, 40),
        _ => (lower, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
#[path = "create_test.rs"]
mod tests;
