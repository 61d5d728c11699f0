//! Who sent an entry, as the kernel says it: the fields a sender cannot forge.

use std::fs;

use crate::entry::Fields;

/// Credentials of a sender, from the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Process.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What a control group path says: the unit, or the container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Unit of PID 1.
    pub unit: Option<String>,
    /// Container of the engine.
    pub container: Option<String>,
}

/// Reads `/proc/PID/cgroup` (cgroups(7)): `0::/system/netd`, `0::/containers/ID/…`.
#[must_use]
pub fn parse_cgroup(text: &str) -> Place {
    let mut parts = keelson_peer::unified(text)
        .unwrap_or_default()
        .split('/')
        .filter(|part| !part.is_empty());
    match (parts.next(), parts.next()) {
        (Some("system"), Some(unit)) => Place {
            unit: Some(unit.to_owned()),
            container: None,
        },
        (Some("containers"), Some(id)) => Place {
            unit: None,
            container: Some(id.to_owned()),
        },
        _ => Place::default(),
    }
}

/// Where a process runs; nothing if it is gone.
#[must_use]
pub fn place_of(pid: u32) -> Place {
    fs::read_to_string(format!("/proc/{pid}/cgroup"))
        .map(|text| parse_cgroup(&text))
        .unwrap_or_default()
}

/// Adds the trusted fields of a sender.
pub fn describe(fields: &mut Fields, sender: Sender, place: &Place) {
    fields.push("_PID", sender.pid.to_string());
    fields.push("_UID", sender.uid.to_string());
    fields.push("_GID", sender.gid.to_string());
    if let Ok(comm) = fs::read_to_string(format!("/proc/{}/comm", sender.pid)) {
        fields.push("_COMM", comm.trim_end());
    }
    if let Some(unit) = &place.unit {
        fields.push("_SYSTEMD_UNIT", format!("{unit}.service"));
    }
    if let Some(container) = &place.container {
        fields.push("_CONTAINER_ID", container.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_name_units_and_containers() {
        let unit = |name: &str| Place {
            unit: Some(name.into()),
            container: None,
        };
        let table = [
            ("0::/system/netd\n", unit("netd")),
            ("12:cpu:/x\n0::/system/runtimed/inner\n", unit("runtimed")),
            (
                "0::/containers/abc/payload",
                Place {
                    unit: None,
                    container: Some("abc".into()),
                },
            ),
            ("0::/", Place::default()),
            ("", Place::default()),
        ];
        for (text, expected) in table {
            assert_eq!(parse_cgroup(text), expected, "{text}");
        }
    }
}
