//! `POST /containers/NAME/update`: other limits, another restart policy.

use serde_json::{Value, json};

use super::App;
use super::create::{parse_limits, parse_restart};
use super::create_body::HostConfig;
use super::create_known::unknown_in;
use super::reply::{Reply, ok};
use crate::engine::action::{Action, Change};
use crate::engine::error::EngineError;

/// What can be changed.
const FIELDS: [&str; 10] = [
    "CpuPeriod",
    "CpuQuota",
    "CpuShares",
    "CpusetCpus",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "NanoCpus",
    "PidsLimit",
    "RestartPolicy",
];

impl App {
    pub(super) async fn container_update(&self, name: String, body: &[u8]) -> Result<Reply, EngineError> {
        let change = parse_update(body)?;
        let action = |reply| Action::Update {
            container: name,
            change,
            reply,
        };
        self.engine.ask(action).await?;
        Ok(ok(&json!({"Warnings": []})))
    }
}

fn parse_update(body: &[u8]) -> Result<Change, EngineError> {
    let invalid = |error: serde_json::Error| EngineError::Invalid(format!("invalid update: {error}"));
    let raw: Value = serde_json::from_slice(body).map_err(invalid)?;
    if let Some(name) = unknown_in(Some(&raw), &FIELDS) {
        return Err(EngineError::NotSupported(format!("changing {name} of a container")));
    }
    let host: HostConfig = serde_json::from_value(raw).map_err(invalid)?;
    let named = !host.restart_policy.name.is_empty();
    let restart = named.then(|| parse_restart(&host.restart_policy)).transpose()?;
    Ok(Change {
        limits: parse_limits(&host)?,
        restart,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::restart::RestartPolicy;

    #[test]
    fn what_dockers_client_sends() {
        let body = br#"{"CpuShares":0,"Memory":67108864,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,"PidsLimit":7,
            "Devices":null,"RestartPolicy":{"Name":"always","MaximumRetryCount":0}}"#;
        let change = parse_update(body).unwrap();
        assert_eq!((change.limits.memory, change.limits.pids), (64 << 20, Some(7)));
        assert_eq!(change.restart, Some(RestartPolicy::Always));
        let refused = parse_update(br#"{"BlkioWeight":10}"#).unwrap_err().to_string();
        assert!(refused.contains("BlkioWeight"), "{refused}");
    }
}
