//! Kernel settings a container may change: only those that belong to a namespace of its own.

use crate::error::{Error, Result};
use crate::spec::namespaces::NamespacePlan;
use oci_spec::runtime::LinuxNamespaceType as Kind;
use std::collections::HashMap;

/// Files below /proc/sys and what to write there, sorted by path.
pub fn plan_sysctls(settings: &HashMap<String, String>, namespaces: &NamespacePlan) -> Result<Vec<(String, String)>> {
    let mut planned = Vec::with_capacity(settings.len());
    for (key, value) in settings {
        let path = path(key);
        if path.split('/').any(|part| part.is_empty() || part == "..") {
            return Err(Error::spec(format!("linux.sysctl.{key}"), "is no setting's name"));
        }
        let owner = owner(&path).ok_or_else(|| {
            Error::spec(
                format!("linux.sysctl.{key}"),
                "does not belong to a namespace and would change the host",
            )
        })?;
        if !namespaces.has(owner) {
            let reason = format!("would change the host: the container has no {owner} namespace of its own");
            return Err(Error::spec(format!("linux.sysctl.{key}"), reason));
        }
        planned.push((path, value.clone()));
    }
    planned.sort();
    Ok(planned)
}

/// `net.ipv4.ip_forward` and `net/ipv4/conf/eth0.1/x`: whichever separator comes first is the separator.
fn path(key: &str) -> String {
    match (key.find('.'), key.find('/')) {
        (Some(dot), Some(slash)) if slash < dot => key.to_owned(),
        (Some(_), _) => key
            .chars()
            .map(|character| match character {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => key.to_owned(),
    }
}

fn owner(path: &str) -> Option<Kind> {
    const IPC: [&str; 10] = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
        "kernel/msg_next_id",
        "kernel/sem_next_id",
    ];
    match path {
        _ if IPC.contains(&path) || path == "kernel/shm_next_id" || path.starts_with("fs/mqueue/") => Some(Kind::Ipc),
        _ if path.starts_with("net/") => Some(Kind::Network),
        "kernel/domainname" | "kernel/hostname" => Some(Kind::Uts),
        _ if path.starts_with("user/") => Some(Kind::User),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(key: &str) -> Result<Vec<(String, String)>> {
        let namespaces = NamespacePlan {
            new: vec![Kind::Mount, Kind::Network, Kind::Ipc],
            joined: vec![],
        };
        plan_sysctls(&HashMap::from([(key.to_owned(), "1".to_owned())]), &namespaces)
    }

    #[test]
    fn only_settings_of_own_namespaces() {
        for (key, expected) in [
            ("net.ipv4.ip_forward", Some("net/ipv4/ip_forward")),
            (
                "net/ipv4/conf/eth0.1/forwarding",
                Some("net/ipv4/conf/eth0.1/forwarding"),
            ),
            (
                "net.ipv4.conf.eth0/1.forwarding",
                Some("net/ipv4/conf/eth0.1/forwarding"),
            ),
            ("kernel.shmmax", Some("kernel/shmmax")),
            ("fs.mqueue.queues_max", Some("fs/mqueue/queues_max")),
            ("kernel.hostname", None),
            ("kernel.core_pattern", None),
            ("vm.swappiness", None),
            ("net....kernel.core_pattern", None),
            ("net/../kernel/core_pattern", None),
        ] {
            let got = plan(key).ok().map(|planned| planned[0].0.clone());
            assert_eq!(got.as_deref(), expected, "{key}");
        }
    }
}
