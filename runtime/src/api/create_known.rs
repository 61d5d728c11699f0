//! Which fields of `POST /containers/create` are carried out. Pure. Every other field that says
//! anything is refused by its name, also one that nobody here has heard of.

use serde_json::Value;

use crate::spec::{MASKED, READ_ONLY};

/// Fields that `create.rs` carries out or judges itself, and those that ask nothing of an engine.
struct Known {
    /// Where the object lies, as a JSON pointer.
    object: &'static str,
    /// Its name in front of a field's.
    prefix: &'static str,
    fields: &'static [&'static str],
}

const KNOWN: [Known; 5] = [
    Known {
        object: "",
        prefix: "",
        // Attach* say what the client itself goes on to do.
        fields: &[
            "AttachStderr",
            "AttachStdin",
            "AttachStdout",
            "Cmd",
            "Domainname",
            "Entrypoint",
            "Env",
            "ExposedPorts",
            "Healthcheck",
            "HostConfig",
            "Hostname",
            "Image",
            "Labels",
            "NetworkDisabled",
            "NetworkingConfig",
            "OpenStdin",
            "StdinOnce",
            "StopSignal",
            "StopTimeout",
            "Tty",
            "User",
            "Volumes",
            "WorkingDir",
        ],
    },
    Known {
        object: "/HostConfig",
        prefix: "HostConfig.",
        // ConsoleSize is a terminal's first size, ContainerIDFile a file the client writes.
        fields: &[
            "Annotations",
            "AutoRemove",
            "Binds",
            "CapAdd",
            "CapDrop",
            "CgroupnsMode",
            "ConsoleSize",
            "ContainerIDFile",
            "CpuPeriod",
            "CpuQuota",
            "CpuShares",
            "CpusetCpus",
            "Devices",
            "Dns",
            "DnsOptions",
            "DnsSearch",
            "ExtraHosts",
            "GroupAdd",
            "Init",
            "IpcMode",
            "LogConfig",
            "Memory",
            "MemoryReservation",
            "MemorySwap",
            "Mounts",
            "NanoCpus",
            "NetworkMode",
            "OomScoreAdj",
            "PidMode",
            "PidsLimit",
            "PortBindings",
            "Privileged",
            "PublishAllPorts",
            "ReadonlyRootfs",
            "RestartPolicy",
            "Runtime",
            "SecurityOpt",
            "ShmSize",
            "StorageOpt",
            "Sysctls",
            "Tmpfs",
            "UTSMode",
            "Ulimits",
        ],
    },
    Known {
        object: "/HostConfig/LogConfig",
        prefix: "HostConfig.LogConfig.",
        fields: &["Type"],
    },
    Known {
        object: "/HostConfig/RestartPolicy",
        prefix: "HostConfig.RestartPolicy.",
        fields: &["MaximumRetryCount", "Name"],
    },
    Known {
        object: "/NetworkingConfig",
        prefix: "NetworkingConfig.",
        fields: &["EndpointsConfig"],
    },
];

/// Of an endpoint: what `inspect` shows and clients send back. Nothing is asked with it.
const ENDPOINT: [&str; 9] = [
    "DNSNames",
    "EndpointID",
    "Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "NetworkID",
];

/// Of one of `Mounts` and its options.
const MOUNT: [&str; 8] = [
    "BindOptions",
    "Consistency",
    "ReadOnly",
    "Source",
    "Target",
    "TmpfsOptions",
    "Type",
    "VolumeOptions",
];
const MOUNT_OPTIONS: [(&str, &[&str]); 3] = [
    ("BindOptions", &["CreateMountpoint", "Propagation"]),
    ("VolumeOptions", &["DriverConfig", "NoCopy", "Subpath"]),
    ("TmpfsOptions", &["Mode", "SizeBytes"]),
];

/// The first field that asks for what is not there, by its full name.
pub(super) fn find_unknown(body: &Value) -> Option<String> {
    let objects = KNOWN.iter().find_map(|known| {
        let name = unknown_in(body.pointer(known.object), known.fields)?;
        Some(format!("{}{name}", known.prefix))
    });
    objects
        .or_else(|| unknown_in_endpoints(body))
        .or_else(|| unknown_in_mounts(body))
}

pub(super) fn unknown_in<'a>(object: Option<&'a Value>, fields: &[&str]) -> Option<&'a str> {
    let mut members = object?.as_object()?.iter();
    let asks = |name: &str, value: &Value| {
        // Zero is a swappiness, and the least there is.
        let zero = name == "MemorySwappiness" && value.is_number();
        (says(value) || zero) && !is_default(name, value)
    };
    members
        .find(|(name, value)| !fields.contains(&name.as_str()) && asks(name, value))
        .map(|(name, _)| name.as_str())
}

fn unknown_in_endpoints(body: &Value) -> Option<String> {
    let endpoints = body.pointer("/NetworkingConfig/EndpointsConfig")?.as_object()?;
    endpoints.values().find_map(|endpoint| {
        let name = unknown_in(Some(endpoint), &ENDPOINT)?;
        Some(format!("NetworkingConfig.EndpointsConfig.{name}"))
    })
}

fn unknown_in_mounts(body: &Value) -> Option<String> {
    let mounts = body.pointer("/HostConfig/Mounts")?.as_array()?;
    mounts.iter().find_map(|mount| {
        if let Some(name) = unknown_in(Some(mount), &MOUNT) {
            return Some(format!("HostConfig.Mounts.{name}"));
        }
        MOUNT_OPTIONS.iter().find_map(|(options, fields)| {
            let name = unknown_in(mount.get(*options), fields)?;
            Some(format!("HostConfig.Mounts.{options}.{name}"))
        })
    })
}

/// Values other than emptiness by which clients leave a field of `HostConfig` alone.
fn is_default(name: &str, value: &Value) -> bool {
    match name {
        "Isolation" => value == "default",
        "VolumeDriver" => value == "local",
        "MemorySwappiness" => value == -1,
        "MaskedPaths" => *value == serde_json::json!(MASKED),
        "ReadonlyPaths" => *value == serde_json::json!(READ_ONLY),
        _ => false,
    }
}

/// Whether a value is other than empty. An object of nothing but empty members is empty.
pub(super) fn says(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => map.values().any(says),
    }
}
