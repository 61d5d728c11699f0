//! The engine itself: ping, version, info, events, networks, volumes.

use std::collections::BTreeMap;

use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::App;
use super::query::{Filters, Query};
use super::reply::{ENGINE_VERSION, Reply, full, ok, reply, stream};
use super::route::{API_VERSION, MIN_API_VERSION};
use super::time::{parse_moment, rfc3339};
use super::view::{BRIDGE_ID, HOST_ID, NONE_ID};
use crate::engine::action::Action;
use crate::engine::container::Phase;
use crate::engine::error::EngineError;
use crate::engine::events::Event;
use crate::engine::record::ContainerRecord;
use crate::net::apply::BRIDGE;

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
            records.iter().filter(|record| phases.contains(&record.state.phase)).count()
        };
        let running = count(&[Phase::Running, Phase::Restarting]);
        let images = self.world.images.images().map_err(|error| EngineError::internal(&error))?;
        let uname = rustix::system::uname();
        let os = os_release("PRETTY_NAME").unwrap_or_else(|| "Keelson".to_owned());
        Ok(ok(&json!({
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
            "RegistryConfig": {
                "IndexConfigs": {},
                "InsecureRegistryCIDRs": [],
                "Mirrors": [],
            },
            "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
            "MemTotal": memory_total(),
            "GenericResources": null,
            "DockerRootDir": self.world.root.display().to_string(),
            "HttpProxy": "",
            "HttpsProxy": "",
            "NoProxy": "",
            "Name": uname.nodename().to_string_lossy(),
            "Labels": [],
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
        })))
    }

    /// `/events`: the past since `since`, then what happens, until `until` or for ever.
    pub(super) async fn events(&self, query: &Query) -> Result<Reply, EngineError> {
        let filters =
            Filters::parse(query.get("filters"), &EVENT_FILTERS).map_err(EngineError::Invalid)?;
        let moment = |key: &str| query.filled(key).and_then(parse_moment);
        let (since, until) = (moment("since"), moment("until"));
        let (past, mut receiver) = self.engine.ask(|reply| Action::Events { reply }).await?;
        let (sender, body) = stream();
        tokio::spawn(async move {
            let wanted = |event: &Event| is_wanted(event, &filters);
            for event in past.iter().filter(|e| since.is_some_and(|s| e.at >= s)) {
                let late = until.is_some_and(|until| event.at > until);
                if !late && wanted(event) && sender.send(line(event).into()).await.is_err() {
                    return;
                }
            }
            let end = async {
                match until {
                    Some(until) => {
                        let left = until.duration_since(jiff::Timestamp::now());
                        tokio::time::sleep(left.try_into().unwrap_or_default()).await;
                    }
                    None => sender.closed().await,
                }
            };
            tokio::pin!(end);
            loop {
                tokio::select! {
                    event = receiver.recv() => match event {
                        Ok(event) if wanted(&event) => {
                            if sender.send(line(&event).into()).await.is_err() {
                                return;
                            }
                        }
                        Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                        Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                    },
                    () = &mut end => return,
                }
            }
        });
        Ok(reply(StatusCode::OK, "application/json", body))
    }

    /// `/networks`
    pub(super) async fn network_list(&self, query: &Query) -> Result<Reply, EngineError> {
        let known = ["name", "id", "driver", "label", "scope", "type", "dangling"];
        let filters =
            Filters::parse(query.get("filters"), &known).map_err(EngineError::Invalid)?;
        let field = |network: &Value, key: &str| {
            network.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let list: Vec<Value> = self
            .networks(&[])
            .into_iter()
            .filter(|network| filters.any("name", |name| field(network, "Name").contains(name)))
            .filter(|network| filters.any("id", |id| field(network, "Id").starts_with(id)))
            .filter(|network| filters.any("driver", |d| field(network, "Driver") == d))
            .filter(|network| filters.any("scope", |s| field(network, "Scope") == s))
            .filter(|_| filters.any("type", |kind| kind == "builtin"))
            .filter(|_| filters.labels_match(&BTreeMap::new()))
            .collect();
        Ok(ok(&Value::Array(list)))
    }

    /// `/networks/NAME`
    pub(super) async fn network_inspect(&self, name: &str) -> Result<Reply, EngineError> {
        let records = self.engine.ask(|reply| Action::List { reply }).await?;
        let fits = |network: &Value| {
            network.get("Name").is_some_and(|n| n == name)
                || network.get("Id").and_then(Value::as_str).is_some_and(|id| id.starts_with(name))
        };
        let found = self.networks(&records).into_iter().find(|n| !name.is_empty() && fits(n));
        let missing = || EngineError::NotFound(format!("network {name} not found"));
        found.map(|network| ok(&network)).ok_or_else(missing)
    }

    /// The three networks there are, the bridge with its containers.
    fn networks(&self, records: &[ContainerRecord]) -> Vec<Value> {
        let subnets = self.world.network.subnets();
        let members: serde_json::Map<String, Value> = records
            .iter()
            .filter_map(|record| Some((record, record.endpoint.as_ref()?)))
            .map(|(record, endpoint)| {
                let member = json!({
                    "Name": record.name,
                    "EndpointID": record.id.as_str(),
                    "MacAddress": endpoint.mac_text(),
                    "IPv4Address": format!("{}/{}", endpoint.ip4, subnets.prefix4),
                    "IPv6Address": format!("{}/{}", endpoint.ip6, subnets.prefix6),
                });
                (record.id.to_string(), member)
            })
            .collect();
        let pools = json!([
            {"Subnet": subnets.cidr4(), "Gateway": subnets.gateway4().to_string()},
            {"Subnet": subnets.cidr6(), "Gateway": subnets.gateway6().to_string()},
        ]);
        let network = |name: &str, id: &str, driver: &str, pools: Value, members: Value| {
            let bridge = driver == "bridge";
            let options = if bridge { json!({"com.docker.network.bridge.name": BRIDGE}) } else { json!({}) };
            json!({
                "Name": name,
                "Id": id,
                "Created": rfc3339(self.started),
                "Scope": "local",
                "Driver": driver,
                "EnableIPv4": true,
                "EnableIPv6": bridge,
                "IPAM": {"Driver": "default", "Options": null, "Config": pools},
                "Internal": false,
                "Attachable": false,
                "Ingress": false,
                "ConfigFrom": {"Network": ""},
                "ConfigOnly": false,
                "Containers": members,
                "Options": options,
                "Labels": {},
            })
        };
        vec![
            network("bridge", BRIDGE_ID, "bridge", pools, Value::Object(members)),
            network("host", HOST_ID, "host", json!(null), json!({})),
            network("none", NONE_ID, "null", json!(null), json!({})),
        ]
    }

    /// `/volumes`
    pub(super) fn volume_list(&self) -> Reply {
        let root = self.world.root.join("volumes");
        let entries = std::fs::read_dir(&root).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        let list: Vec<Value> = names
            .iter()
            .map(|name| {
                json!({
                    "Name": name,
                    "Driver": "local",
                    "Mountpoint": root.join(name).join("_data").display().to_string(),
                    "Labels": {},
                    "Options": null,
                    "Scope": "local",
                })
            })
            .collect();
        ok(&json!({"Volumes": list, "Warnings": null}))
    }
}

/// Docker names architectures as Go does.
pub(super) const ARCH: &str = "amd64";

const EVENT_FILTERS: [&str; 12] = [
    "config", "container", "daemon", "event", "image", "label", "network", "node", "plugin",
    "scope", "type", "volume",
];

fn is_wanted(event: &Event, filters: &Filters) -> bool {
    let kind = event.kind.name();
    filters.any("type", |wanted| kind == wanted)
        && filters.any("event", |wanted| {
            event.action == wanted || event.action.split(':').next() == Some(wanted)
        })
        && filters.any("scope", |wanted| wanted == "local")
        && ["container", "image", "network", "volume"].iter().all(|key| {
            filters.any(key, |wanted| {
                kind == *key
                    && (event.id.starts_with(wanted)
                        || event.attributes.get("name").is_some_and(|name| name == wanted))
            })
        })
        && filters.labels_match(&event.attributes)
}

fn line(event: &Event) -> String {
    let mut value = json!({
        "Type": event.kind.name(),
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": event.attributes},
        "scope": "local",
        "time": event.at.as_second(),
        "timeNano": i64::try_from(event.at.as_nanosecond()).unwrap_or_default(),
    });
    if let Value::Object(map) = &mut value {
        map.insert("status".to_owned(), json!(event.action));
        map.insert("id".to_owned(), json!(event.id));
        if let Some(image) = event.attributes.get("image") {
            map.insert("from".to_owned(), json!(image));
        }
    }
    format!("{value}\n")
}

/// A value of `/etc/os-release`.
fn os_release(key: &str) -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

/// Bytes of memory.
fn memory_total() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.mem_unit).saturating_mul(info.totalram)
}
