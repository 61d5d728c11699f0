//! Networks and volumes: the three networks there are, and the volumes that were made.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::App;
use super::query::{Filters, Query};
use super::reply::{Reply, ok};
use super::time::rfc3339;
use super::view::{BRIDGE_ID, HOST_ID, NONE_ID};
use crate::engine::action::Action;
use crate::engine::error::EngineError;
use crate::engine::record::ContainerRecord;
use crate::net::apply::BRIDGE;

impl App {
    /// `/networks`
    pub(super) async fn network_list(&self, query: &Query) -> Result<Reply, EngineError> {
        let known = ["name", "id", "driver", "label", "scope", "type", "dangling"];
        let filters = Filters::parse(query.get("filters"), &known).map_err(EngineError::Invalid)?;
        let field =
            |network: &Value, key: &str| network.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
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
                || network
                    .get("Id")
                    .and_then(Value::as_str)
                    .is_some_and(|id| id.starts_with(name))
        };
        let found = self
            .networks(&records)
            .into_iter()
            .find(|n| !name.is_empty() && fits(n));
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
            let options = if bridge {
                json!({"com.docker.network.bridge.name": BRIDGE})
            } else {
                json!({})
            };
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
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
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
