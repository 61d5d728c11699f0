//! Whole specs against golden files in `tests/fixtures/spec/`. `KEELSON_BLESS=1` rewrites them.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci_spec::image::ConfigBuilder;
use serde_json::Value;

use super::capability::decide_capabilities;
use super::device::plan_devices;
use super::mounts::FoundSource;
use super::*;
use crate::engine::container::ContainerState;
use crate::engine::id::ContainerId;
use crate::engine::request::{ContainerRequest, HostNamespaces, Limits, Ulimit};

fn record(request: ContainerRequest) -> ContainerRecord {
    let id = ContainerId::try_from("ab".repeat(32)).unwrap();
    let words = |list: &[&str]| -> Vec<String> { list.iter().map(|w| (*w).to_owned()).collect() };
    let image = ConfigBuilder::default()
        .entrypoint(words(&["/usr/sbin/nginx"]))
        .cmd(words(&["-g", "daemon off;"]))
        .env(words(&["NGINX_VERSION=1"]))
        .build()
        .unwrap();
    ContainerRecord {
        format: 1,
        min_reader: 1,
        resolved: merge::resolve(&id, &request, &image).unwrap(),
        id,
        name: "web".into(),
        created: Timestamp::UNIX_EPOCH,
        request,
        image_id: String::new(),
        state: ContainerState::default(),
        endpoint: None,
        started_boot: String::new(),
        boot_id: String::new(),
    }
}

fn spec_of(request: ContainerRequest, mounts: &[FoundMount], netns: bool) -> Value {
    let record = record(request);
    let security = &record.request.security;
    let capabilities = decide_capabilities(security).unwrap();
    let identity = Identity {
        uid: 0,
        gid: 0,
        groups: vec![4],
        home: "/root".into(),
    };
    let file = |name: &str| PathBuf::from("/run/keelson/shims/ID/etc").join(name);
    let files = EtcFiles {
        hosts: file("hosts"),
        hostname: file("hostname"),
        resolv_conf: file("resolv.conf"),
    };
    let spec = build(SpecInput {
        record: &record,
        rootfs: Path::new("/run/keelson/shims/ID/rootfs"),
        identity: &identity,
        capabilities: &capabilities,
        secret_env: &["TOKEN=value".to_owned()],
        mounts,
        files: &files,
        devices: plan_devices(security.privileged, &[]),
        netns: netns.then_some(Path::new("/run/keelson/netns/ID")),
        cgroup: Path::new("/containers/ID/payload"),
        can_bound_pids: true,
        init: Path::new("/usr/bin/keelson-shim"),
        // The profile has tests of its own, and would fill these files.
        seccomp: None,
    });
    sorted(serde_json::to_value(spec.unwrap()).unwrap())
}

/// Sets are written in no order: names of capabilities and keys are sorted.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(mut list) => {
            if list.iter().any(|v| v.as_str().is_some_and(|s| s.starts_with("CAP_"))) {
                list.sort_by_key(ToString::to_string);
            }
            Value::Array(list.into_iter().map(sorted).collect())
        }
        other => other,
    }
}

fn compare(name: &str, got: &Value) {
    let directory = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("tests/fixtures/spec");
    let path = directory.join(name);
    let text = format!("{got:#}\n");
    if std::env::var_os("KEELSON_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, want, "{name} differs; look, then KEELSON_BLESS=1");
}

#[test]
fn a_container_with_nothing_asked_for() {
    compare("default.json", &spec_of(ContainerRequest::default(), &[], true));
}

#[test]
fn a_privileged_container_in_the_hosts_namespaces() {
    let mut request = ContainerRequest::default();
    request.security.privileged = true;
    request.network.mode = NetworkMode::Host;
    request.namespaces = HostNamespaces {
        pid: true,
        ipc: true,
        cgroup: true,
        uts: false,
    };
    compare("privileged-host.json", &spec_of(request, &[], false));
}

#[test]
fn a_container_with_limits_and_mounts() {
    let limits = Limits {
        memory: 128 << 20,
        nano_cpus: 500_000_000,
        pids: Some(100),
        oom_score_adj: 100,
        ulimits: vec![Ulimit {
            name: "nofile".into(),
            soft: 1024,
            hard: 4096,
        }],
        ..Limits::default()
    };
    let mut request = ContainerRequest {
        limits,
        ..ContainerRequest::default()
    };
    request.process.tty = true;
    request.security.read_only = true;
    request.security.no_new_privileges = true;
    let bind = FoundSource::Bind {
        path: "/state/data".into(),
        propagation: String::new(),
    };
    let tmpfs = FoundSource::Tmpfs {
        options: "size=1048576,exec".into(),
    };
    let mounts = [
        FoundMount {
            target: "/data".into(),
            source: bind,
            read_only: true,
        },
        FoundMount {
            target: "/scratch".into(),
            source: tmpfs,
            read_only: false,
        },
    ];
    compare("limits-mounts.json", &spec_of(request, &mounts, true));
}
