//! What the engine says of itself: ping, version, info.

use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::App;
use super::reply::{ENGINE_VERSION, Reply, full, ok, reply};
use super::route::{API_VERSION, MIN_API_VERSION};
use super::time::rfc3339;
use crate::engine::action::Action;
use crate::engine::container::Phase;
use crate::engine::error::EngineError;

impl App {
    /// `/_ping`
    pub(super) fn ping(&self, method: &Method) -> Reply {
        let body = if method == Method::HEAD { "" } else { "OK" };
        let mut reply = reply(StatusCode::OK, "text/plain; charset=utf-8", full(body));
        let headers = reply.headers_mut();
        let uncached = "no-cache, no-store, must-revalidate";
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(uncached));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        for (name, value) in [("builder-version", "1"), ("swarm", "inactive")] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        reply
    }

    /// `/version`
    pub(super) fn version(&self) -> Reply {
        let uname = rustix::system::uname();
        let kernel = uname.release().to_string_lossy().into_owned();
        ok(&json!({
            "Platform": {"Name": "Keelson"},
            "Components": [{
                "Name": "Engine",
                "Version": ENGINE_VERSION,
                "Details": {
                    "ApiVersion": API_VERSION,
                    "MinAPIVersion": MIN_API_VERSION,
                    "Arch": ARCH,
                    "Os": "linux",
                    "KernelVersion": kernel,
                    "Experimental": "false",
                    "GitCommit": "",
                    "GoVersion": "",
                    "BuildTime": "",
                },
            }],
            "Version": ENGINE_VERSION,
            "ApiVersion": API_VERSION,
            "MinAPIVersion": MIN_API_VERSION,
            "GitCommit": "",
            "GoVersion": "",
            "Os": "linux",
            "Arch": ARCH,
            "KernelVersion": kernel,
            "BuildTime": "",
        }))
    }

    /// `/info`
    pub(super) async fn info(&self) -> Result<Reply, EngineError> {
        let records = self.engine.ask(|reply| Action::List { reply }).await?;
        let count = |phases: &[Phase]| {
            records
                .iter()
                .filter(|record| phases.contains(&record.state.phase))
                .count()
        };
        let running = count(&[Phase::Running, Phase::Restarting]);
        let images = self
            .world
            .images
            .images()
            .map_err(|error| EngineError::internal(&error))?;
        let uname = rustix::system::uname();
        let os = os_release("PRETTY_NAME").unwrap_or_else(|| "Keelson".to_owned());
        let mut answer = json!({
            "ID": "keelson",
            "Containers": records.len(),
            "ContainersRunning": running,
            "ContainersPaused": 0,
            "ContainersStopped": records.len().saturating_sub(running),
            "Images": images.len(),
            "Driver": "overlay2",
            "DriverStatus": [["Backing Filesystem", "extfs"]],
            "Plugins": {
                "Volume": ["local"],
                "Network": ["bridge", "host", "null"],
                "Authorization": null,
                "Log": ["json-file", "journald"],
            },
            "SystemTime": rfc3339(jiff::Timestamp::now()),
            "LoggingDriver": "json-file",
            "CgroupDriver": "cgroupfs",
            "CgroupVersion": "2",
            "NEventsListener": 0,
            "KernelVersion": uname.release().to_string_lossy(),
            "OperatingSystem": os,
            "OSVersion": os_release("VERSION_ID").unwrap_or_default(),
            "OSType": "linux",
            "Architecture": std::env::consts::ARCH,
            "IndexServerAddress": "https://index.docker.io/v1/",
            "GenericResources": null,
            "DockerRootDir": self.world.root.display().to_string(),
            "HttpProxy": "",
            "HttpsProxy": "",
            "NoProxy": "",
            "Name": uname.nodename().to_string_lossy(),
            "Labels": [],
        });
        if let Value::Object(answer) = &mut answer {
            answer.extend(unchanging_info());
        }
        Ok(ok(&answer))
    }
}

/// Docker names architectures as Go does.
pub(super) const ARCH: &str = "amd64";

/// What `/info` says on every machine.
fn unchanging_info() -> Map<String, Value> {
    let facts = json!({
        "MemoryLimit": true,
        "SwapLimit": true,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "CPUShares": true,
        "CPUSet": true,
        "PidsLimit": true,
        "IPv4Forwarding": true,
        "Debug": false,
        "NFd": 0,
        "OomKillDisable": false,
        "NGoroutines": 0,
        "RegistryConfig": {
            "IndexConfigs": {},
            "InsecureRegistryCIDRs": [],
            "Mirrors": [],
        },
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": memory_total(),
        "ExperimentalBuild": false,
        "ServerVersion": ENGINE_VERSION,
        "Runtimes": {"runc": {"path": "keelson-oci"}},
        "DefaultRuntime": "runc",
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": false,
            "Error": "",
            "RemoteManagers": null,
        },
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
        "CDISpecDirs": [],
        "Warnings": null,
    });
    match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    }
}

/// A value of `/etc/os-release`.
fn os_release(key: &str) -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

/// Bytes of memory.
fn memory_total() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.mem_unit).saturating_mul(info.totalram)
}
