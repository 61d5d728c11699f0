//! A container's record → Docker's JSON for `ps` and `inspect`. Pure. The shapes are those of API
//! 1.51, with the older members that scripts read.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::time::{rfc3339, rfc3339_or_zero, status_text};
use crate::engine::container::Phase;
use crate::engine::record::{ContainerRecord, Endpoint};
use crate::engine::request::{DEFAULT_SHM_BYTES, MountRequest, MountSource, NetworkMode, Publish};
use crate::net::ipam::Subnets;
use crate::spec::{MASKED, READ_ONLY};

/// Id of the default bridge: fixed, as there is one. (Clients show an id's first 12 digits: they must differ.)
pub const BRIDGE_ID: &str = "6272696467656b65656c736f6e00000000000000000000000000000000000000";
/// Id of `host`.
pub const HOST_ID: &str = "686f737400006b65656c736f6e00000000000000000000000000000000000000";
/// Id of `none`.
pub const NONE_ID: &str = "6e6f6e6500006b65656c736f6e00000000000000000000000000000000000000";

/// What a view needs beside the record.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The bridge's networks.
    pub subnets: &'a Subnets,
    /// Where named volumes lie.
    pub volumes: &'a std::path::Path,
    /// Where the container's own files lie.
    pub directory: &'a std::path::Path,
    /// Execs that run in it.
    pub execs: &'a [String],
    /// Present.
    pub now: Timestamp,
}

/// One element of `GET /containers/json`.
pub fn summary(record: &ContainerRecord, around: Surroundings<'_>) -> Value {
    let resolved = &record.resolved;
    json!({
        "Id": record.id.as_str(),
        "Names": [format!("/{}", record.name)],
        "Image": record.request.image,
        "ImageID": record.image_id,
        "Command": shown_command(&resolved.args()),
        "Created": record.created.as_second(),
        "Ports": port_list(record),
        "Labels": resolved.labels,
        "State": record.state.docker_name(),
        "Status": status_text(&record.state, around.now),
        "HostConfig": {"NetworkMode": mode_name(record.request.network.mode)},
        "NetworkSettings": {"Networks": networks(record, around.subnets)},
        "Mounts": mount_points(record, around.volumes),
    })
}

fn shown_command(args: &[String]) -> String {
    let quote = |word: &String| {
        if word.contains([' ', '"', '\'']) {
            format!("'{word}'")
        } else {
            word.clone()
        }
    };
    args.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// `GET /containers/ID/json`.
pub fn details(record: &ContainerRecord, around: Surroundings<'_>) -> Value {
    let args = record.resolved.args();
    let (path, rest) = args.split_first().map(|(p, r)| (p.clone(), r)).unwrap_or_default();
    let file = |name: &str| around.directory.join(name).display().to_string();
    json!({
        "Id": record.id.as_str(),
        "Created": rfc3339(record.created),
        "Path": path,
        "Args": rest,
        "State": state(record),
        "Image": record.image_id,
        "ResolvConfPath": file("etc/resolv.conf"),
        "HostnamePath": file("etc/hostname"),
        "HostsPath": file("etc/hosts"),
        "LogPath": "",
        "Name": format!("/{}", record.name),
        "RestartCount": record.state.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": if around.execs.is_empty() { Value::Null } else { json!(around.execs) },
        "HostConfig": host_config(record),
        "GraphDriver": {"Name": "overlay2", "Data": {}},
        "Mounts": mount_points(record, around.volumes),
        "Config": config(record),
        "NetworkSettings": network_settings(record, around.subnets),
    })
}

fn state(record: &ContainerRecord) -> Value {
    let state = &record.state;
    json!({
        "Status": state.docker_name(),
        "Running": matches!(state.phase, Phase::Running | Phase::Restarting),
        "Paused": state.paused,
        "Restarting": state.phase == Phase::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": state.phase == Phase::Dead,
        "Pid": state.pid.unwrap_or_default(),
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339_or_zero(state.started_at),
        "FinishedAt": rfc3339_or_zero(state.finished_at),
    })
}

fn config(record: &ContainerRecord) -> Value {
    let (request, resolved) = (&record.request, &record.resolved);
    let process = &request.process;
    let exposed: Map<String, Value> = resolved
        .expose
        .iter()
        .map(|port| (port.to_string(), json!({})))
        .collect();
    let list = |words: &[String]| if words.is_empty() { Value::Null } else { json!(words) };
    let volumes: Map<String, Value> = resolved
        .mounts
        .iter()
        .filter(|mount| matches!(mount.source, MountSource::Volume { .. }))
        .map(|mount| (mount.target.clone(), json!({})))
        .collect();
    let mut config = json!({
        "Hostname": resolved.hostname,
        "Domainname": request.domainname,
        "User": resolved.user,
        "AttachStdin": false,
        "AttachStdout": false,
        "AttachStderr": false,
        "Tty": process.tty,
        "OpenStdin": process.open_stdin,
        "StdinOnce": process.stdin_once,
        "Env": resolved.env,
        "Cmd": list(&resolved.command),
        "Image": request.image,
        "Volumes": if volumes.is_empty() { Value::Null } else { Value::Object(volumes) },
        "WorkingDir": resolved.workdir,
        "Entrypoint": list(&resolved.entrypoint),
        "OnBuild": null,
        "Labels": resolved.labels,
        "StopSignal": resolved.stop_signal,
    });
    if let Value::Object(map) = &mut config {
        if !exposed.is_empty() {
            map.insert("ExposedPorts".to_owned(), Value::Object(exposed));
        }
        if let Some(seconds) = process.stop_timeout {
            map.insert("StopTimeout".to_owned(), json!(seconds));
        }
    }
    config
}

fn host_config(record: &ContainerRecord) -> Value {
    let request = &record.request;
    let (limits, security, network) = (&request.limits, &request.security, &request.network);
    let namespaces = &request.namespaces;
    let or_null = |list: &[String]| if list.is_empty() { Value::Null } else { json!(list) };
    let mode = |shared, own: &str| if shared { "host".to_owned() } else { own.to_owned() };
    let masked = !security.privileged && !security.unmask;
    let paths = |list: &[&str]| if masked { json!(list) } else { json!([]) };
    let shm = if limits.shm == 0 { DEFAULT_SHM_BYTES } else { limits.shm };
    let swap = match (limits.memory, limits.memory_swap) {
        (0, swap) => swap,
        (memory, 0) => i64::try_from(memory.saturating_mul(2)).unwrap_or(i64::MAX),
        (_, swap) => swap,
    };
    json!({
        "Binds": or_null(&binds(&request.mounts)),
        "ContainerIDFile": "",
        "LogConfig": {"Type": "json-file", "Config": {}},
        "NetworkMode": mode_name(network.mode),
        "PortBindings": port_bindings(&network.publish),
        "RestartPolicy": {
            "Name": request.restart.name(),
            "MaximumRetryCount": request.restart.max_retries(),
        },
        "AutoRemove": request.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": null,
        "ConsoleSize": request.process.console_size.unwrap_or_default(),
        "CapAdd": or_null(&security.cap_add),
        "CapDrop": or_null(&security.cap_drop),
        "CgroupnsMode": mode(namespaces.cgroup, "private"),
        "Dns": network.dns,
        "DnsOptions": network.dns_options,
        "DnsSearch": network.dns_search,
        "ExtraHosts": or_null(&network.extra_hosts),
        "GroupAdd": or_null(&security.groups),
        "IpcMode": mode(namespaces.ipc, "private"),
        "Cgroup": "",
        "Links": null,
        "OomScoreAdj": limits.oom_score_adj,
        "PidMode": mode(namespaces.pid, ""),
        "Privileged": security.privileged,
        "PublishAllPorts": network.publish_all,
        "ReadonlyRootfs": security.read_only,
        "SecurityOpt": or_null(&security_options(record)),
        "UTSMode": mode(namespaces.uts, ""),
        "UsernsMode": "",
        "ShmSize": shm,
        "Sysctls": request.sysctls,
        "Runtime": "runc",
        "Isolation": "",
        "CpuShares": limits.cpu_shares,
        "Memory": limits.memory,
        "NanoCpus": limits.nano_cpus,
        "CgroupParent": "",
        "BlkioWeight": 0,
        "CpuPeriod": limits.cpu_period,
        "CpuQuota": limits.cpu_quota,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": "",
        "Devices": security.devices.iter().map(|d| json!({
            "PathOnHost": d.host, "PathInContainer": d.container, "CgroupPermissions": d.access,
        })).collect::<Vec<_>>(),
        "DeviceRequests": null,
        "MemoryReservation": limits.memory_reservation,
        "MemorySwap": swap,
        "MemorySwappiness": null,
        "OomKillDisable": false,
        "PidsLimit": limits.pids.filter(|limit| *limit > 0),
        "Ulimits": limits.ulimits.iter().map(|u| json!({
            "Name": u.name, "Soft": u.soft, "Hard": u.hard,
        })).collect::<Vec<_>>(),
        "Init": request.init,
        "MaskedPaths": paths(&MASKED),
        "ReadonlyPaths": paths(&READ_ONLY),
    })
}

fn security_options(record: &ContainerRecord) -> Vec<String> {
    let security = &record.request.security;
    let mut options = vec![];
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    if security.seccomp_unconfined {
        options.push("seccomp=unconfined".to_owned());
    }
    options
}

/// Docker's name of a network.
pub fn mode_name(mode: NetworkMode) -> &'static str {
    match mode {
        NetworkMode::Bridge => "bridge",
        NetworkMode::None => "none",
        NetworkMode::Host => "host",
    }
}

fn binds(mounts: &[MountRequest]) -> Vec<String> {
    mounts
        .iter()
        .filter_map(|mount| {
            let source = match &mount.source {
                MountSource::Volume { name, .. } if !name.is_empty() => name,
                MountSource::Bind { path, .. } => path,
                _ => return None,
            };
            let access = if mount.read_only { "ro" } else { "rw" };
            Some(format!("{source}:{}:{access}", mount.target))
        })
        .collect()
}

fn port_bindings(publish: &[Publish]) -> Value {
    let mut map: Map<String, Value> = Map::new();
    for one in publish {
        let host_port = if one.host_port == 0 {
            String::new()
        } else {
            one.host_port.to_string()
        };
        let host_ip = one.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let list = map.entry(one.container.to_string()).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({"HostIp": host_ip, "HostPort": host_port}));
        }
    }
    Value::Object(map)
}

/// Every published port once per address: one that names none is on both families.
fn published(endpoint: &Endpoint) -> Vec<(String, String, u16)> {
    let one = |publish: &Publish| {
        let port = publish.container.to_string();
        match publish.host_ip {
            Some(ip) => vec![(port, ip.to_string(), publish.host_port)],
            None => ["0.0.0.0", "::"]
                .map(|ip| (port.clone(), ip.to_owned(), publish.host_port))
                .to_vec(),
        }
    };
    endpoint.published.iter().flat_map(one).collect()
}

fn port_list(record: &ContainerRecord) -> Value {
    let given = record.endpoint.as_ref().map(published).unwrap_or_default();
    let mut list = vec![];
    for port in &record.resolved.expose {
        let mut own = given.iter().filter(|(name, ..)| *name == port.to_string()).peekable();
        let (private, kind) = (port.port, port.protocol.name());
        if own.peek().is_none() && record.endpoint.is_some() {
            list.push(json!({"PrivatePort": private, "Type": kind}));
        }
        list.extend(
            own.map(|(_, ip, public)| json!({"IP": ip, "PrivatePort": private, "PublicPort": public, "Type": kind})),
        );
    }
    Value::Array(list)
}

fn port_map(record: &ContainerRecord) -> Value {
    let Some(endpoint) = &record.endpoint else {
        return json!({});
    };
    let mut map: Map<String, Value> = record
        .resolved
        .expose
        .iter()
        .map(|port| (port.to_string(), Value::Null))
        .collect();
    for (port, ip, public) in published(endpoint) {
        let list = map.entry(port).or_insert(Value::Null);
        if list.is_null() {
            *list = json!([]);
        }
        if let Value::Array(list) = list {
            list.push(json!({"HostIp": ip, "HostPort": public.to_string()}));
        }
    }
    Value::Object(map)
}

fn networks(record: &ContainerRecord, subnets: &Subnets) -> Value {
    let mode = record.request.network.mode;
    let id = match mode {
        NetworkMode::Bridge => BRIDGE_ID,
        NetworkMode::None => NONE_ID,
        NetworkMode::Host => HOST_ID,
    };
    let on_bridge = record.endpoint.is_some();
    let text = |value: String| if on_bridge { value } else { String::new() };
    let address = |of: fn(&Endpoint) -> String| record.endpoint.as_ref().map(of).unwrap_or_default();
    let length = |bits: u8| if on_bridge { bits } else { 0 };
    let endpoint = json!({
        "IPAMConfig": null,
        "Links": null,
        "Aliases": null,
        "MacAddress": address(Endpoint::mac_text),
        "DriverOpts": null,
        "GwPriority": 0,
        "NetworkID": id,
        "EndpointID": if record.state.phase == Phase::Running { record.id.as_str() } else { "" },
        "Gateway": text(subnets.gateway4().to_string()),
        "IPAddress": address(|e| e.ip4.to_string()),
        "IPPrefixLen": length(subnets.prefix4),
        "IPv6Gateway": text(subnets.gateway6().to_string()),
        "GlobalIPv6Address": address(|e| e.ip6.to_string()),
        "GlobalIPv6PrefixLen": length(subnets.prefix6),
        "DNSNames": null,
    });
    json!({ mode_name(mode): endpoint })
}

fn network_settings(record: &ContainerRecord, subnets: &Subnets) -> Value {
    let networks = networks(record, subnets);
    let bridge = networks.get("bridge").cloned().unwrap_or_else(|| json!({}));
    let of = |key: &str, none: Value| bridge.get(key).cloned().unwrap_or(none);
    json!({
        "Bridge": "",
        "SandboxID": if record.state.phase == Phase::Running { record.id.as_str() } else { "" },
        "SandboxKey": "",
        "Ports": port_map(record),
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": of("EndpointID", json!("")),
        "Gateway": of("Gateway", json!("")),
        "GlobalIPv6Address": of("GlobalIPv6Address", json!("")),
        "GlobalIPv6PrefixLen": of("GlobalIPv6PrefixLen", json!(0)),
        "IPAddress": of("IPAddress", json!("")),
        "IPPrefixLen": of("IPPrefixLen", json!(0)),
        "IPv6Gateway": of("IPv6Gateway", json!("")),
        "MacAddress": of("MacAddress", json!("")),
        "Networks": networks,
    })
}

fn mount_points(record: &ContainerRecord, volumes: &std::path::Path) -> Value {
    let points = record.resolved.mounts.iter().map(|mount| {
        let base = json!({
            "Destination": mount.target,
            "Mode": if mount.read_only { "ro" } else { "" },
            "RW": !mount.read_only,
        });
        let more = match &mount.source {
            MountSource::Volume { name, .. } => json!({
                "Type": "volume",
                "Name": name,
                "Source": volumes.join(name).join("_data").display().to_string(),
                "Driver": "local",
                "Propagation": "",
            }),
            MountSource::Bind { path, propagation, .. } => json!({
                "Type": "bind",
                "Source": path,
                "Propagation": if propagation.is_empty() { "rprivate" } else { propagation },
            }),
            MountSource::Tmpfs { .. } => json!({"Type": "tmpfs", "Source": "", "Propagation": ""}),
        };
        joined(more, base)
    });
    Value::Array(points.collect())
}

fn joined(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Object(mut first), Value::Object(second)) => {
            first.extend(second);
            Value::Object(first)
        }
        (first, _) => first,
    }
}
