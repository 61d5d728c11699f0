//! The body of `POST /containers/create` as Docker's clients send it. Types only; what is not here is
//! judged in `create_known.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// `null` is the same as absent.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

macro_rules! docker_body {
    ($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident : $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default, rename_all = "PascalCase")]
        pub(super) struct $name {
            $($(#[$attr])* #[serde(deserialize_with = "or_default")] pub $field: $kind,)*
        }
    };
}

docker_body! {
    /// The whole body.
    CreateBody {
        hostname: String,
        domainname: String,
        user: String,
        exposed_ports: BTreeMap<String, Value>,
        tty: bool,
        open_stdin: bool,
        stdin_once: bool,
        env: Vec<String>,
        cmd: Option<Words>,
        entrypoint: Option<Words>,
        image: String,
        volumes: BTreeMap<String, Value>,
        working_dir: String,
        network_disabled: bool,
        labels: BTreeMap<String, String>,
        stop_signal: Option<String>,
        stop_timeout: Option<i64>,
        host_config: HostConfig,
        networking_config: NetworkingConfig,
    }
}

docker_body! {
    /// `HostConfig`.
    HostConfig {
        binds: Vec<String>,
        network_mode: String,
        port_bindings: BTreeMap<String, Option<Vec<PortBinding>>>,
        restart_policy: RestartPolicyBody,
        auto_remove: bool,
        console_size: Option<[u16; 2]>,
        annotations: BTreeMap<String, String>,
        cap_add: Vec<String>,
        cap_drop: Vec<String>,
        cgroupns_mode: String,
        dns: Vec<String>,
        dns_options: Vec<String>,
        dns_search: Vec<String>,
        extra_hosts: Vec<String>,
        group_add: Vec<String>,
        init: bool,
        ipc_mode: String,
        oom_score_adj: i32,
        pid_mode: String,
        privileged: bool,
        publish_all_ports: bool,
        readonly_rootfs: bool,
        security_opt: Vec<String>,
        storage_opt: BTreeMap<String, String>,
        tmpfs: BTreeMap<String, String>,
        #[serde(rename = "UTSMode")]
        uts_mode: String,
        shm_size: i64,
        sysctls: BTreeMap<String, String>,
        runtime: String,
        cpu_shares: i64,
        memory: i64,
        nano_cpus: i64,
        cpu_period: i64,
        cpu_quota: i64,
        cpuset_cpus: String,
        devices: Vec<DeviceBody>,
        memory_reservation: i64,
        memory_swap: i64,
        pids_limit: Option<i64>,
        ulimits: Vec<UlimitBody>,
        mounts: Vec<MountBody>,
        masked_paths: Option<Vec<String>>,
        log_config: LogConfigBody,
    }
}

docker_body! {
    /// `LogConfig`.
    LogConfigBody { #[serde(rename = "Type")] kind: String }
}

docker_body! {
    /// One of `PortBindings`.
    PortBinding { host_ip: String, host_port: String }
}

docker_body! {
    /// `RestartPolicy`.
    RestartPolicyBody { name: String, maximum_retry_count: i64 }
}

docker_body! {
    /// One of `Devices`.
    DeviceBody { path_on_host: String, path_in_container: String, cgroup_permissions: String }
}

docker_body! {
    /// One of `Ulimits`.
    UlimitBody { name: String, soft: i64, hard: i64 }
}

docker_body! {
    /// One of `Mounts`.
    MountBody {
        #[serde(rename = "Type")]
        kind: String,
        source: String,
        target: String,
        read_only: bool,
        bind_options: Option<BindOptions>,
        volume_options: Option<VolumeOptions>,
        tmpfs_options: Option<TmpfsOptions>,
    }
}

docker_body! {
    /// `BindOptions`.
    BindOptions { propagation: String, create_mountpoint: bool }
}

docker_body! {
    /// `VolumeOptions`.
    VolumeOptions { no_copy: bool, subpath: String, driver_config: Option<Value> }
}

docker_body! {
    /// `TmpfsOptions`.
    TmpfsOptions { size_bytes: i64, mode: u32 }
}

docker_body! {
    /// `NetworkingConfig`.
    NetworkingConfig { endpoints_config: BTreeMap<String, Option<Value>> }
}

/// A command: a list of words, or one string, which older clients send for one word.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Words {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl From<Words> for Vec<String> {
    fn from(words: Words) -> Vec<String> {
        match words {
            Words::One(word) => vec![word],
            Words::Many(words) => words,
        }
    }
}
