//! Which capabilities a container has: Docker's default set, added to and taken from. Pure.

use keelson_sys::capability::bare_names;
use oci_spec::runtime::{Capability, LinuxCapabilities, LinuxCapabilitiesBuilder};

use crate::engine::request::SecurityRequest;

/// What every container has unless it drops it.
pub const DEFAULT: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Every one that the kernel knows.
pub fn every() -> Vec<Capability> {
    bare_names().filter_map(|name| name.parse().ok()).collect()
}

/// A name that is no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid capability: {0:?}")]
pub struct UnknownCapability(pub String);

/// The set of one container, sorted by name.
///
/// # Errors
/// A name is unknown.
pub fn decide_capabilities(request: &SecurityRequest) -> Result<Vec<Capability>, UnknownCapability> {
    if request.privileged {
        return Ok(sorted(every()));
    }
    let add = parse_all(&request.cap_add)?;
    let drop = parse_all(&request.cap_drop)?;
    let mut set: Vec<Capability> = match (&add, &drop) {
        (Wanted::Every, _) => every(),
        (Wanted::Some(add), Wanted::Every) => add.clone(),
        (Wanted::Some(add), _) => DEFAULT.into_iter().chain(add.iter().copied()).collect(),
    };
    if let Wanted::Some(drop) = drop {
        set.retain(|capability| !drop.contains(capability));
    }
    Ok(sorted(set))
}

enum Wanted {
    Every,
    Some(Vec<Capability>),
}

fn parse_all(names: &[String]) -> Result<Wanted, UnknownCapability> {
    let upper: Vec<String> = names.iter().map(|name| name.to_ascii_uppercase()).collect();
    if upper.iter().any(|name| name == "ALL" || name == "CAP_ALL") {
        return Ok(Wanted::Every);
    }
    let parse = |name: &String| {
        let bare = name.strip_prefix("CAP_").unwrap_or(name);
        bare.parse::<Capability>().map_err(|_| UnknownCapability(name.clone()))
    };
    upper.iter().map(parse).collect::<Result<_, _>>().map(Wanted::Some)
}

fn sorted(mut set: Vec<Capability>) -> Vec<Capability> {
    set.sort_unstable_by_key(Capability::to_string);
    set.dedup();
    set
}

/// The sets for the process: a root process gets them effective, another one only as its bound, as
/// `execve` would leave it.
pub fn process_capabilities(set: &[Capability], uid: u32) -> LinuxCapabilities {
    let all: oci_spec::runtime::Capabilities = set.iter().copied().collect();
    let held = if uid == 0 { all.clone() } else { Default::default() };
    LinuxCapabilitiesBuilder::default()
        .bounding(all)
        .effective(held.clone())
        .permitted(held)
        .inheritable(oci_spec::runtime::Capabilities::new())
        .ambient(oci_spec::runtime::Capabilities::new())
        .build()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(add: &[&str], drop: &[&str]) -> Result<Vec<String>, UnknownCapability> {
        let owned = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect();
        let request = SecurityRequest {
            cap_add: owned(add),
            cap_drop: owned(drop),
            ..SecurityRequest::default()
        };
        Ok(decide_capabilities(&request)?
            .iter()
            .map(Capability::to_string)
            .collect())
    }

    #[test]
    fn default_set_has_fourteen() {
        assert_eq!(decide(&[], &[]).unwrap().len(), 14);
    }

    #[test]
    fn adds_and_drops_under_any_spelling() {
        let got = decide(&["net_admin", "CAP_SYS_TIME"], &["ALL"]).unwrap();
        assert_eq!(got, ["NET_ADMIN", "SYS_TIME"]);
        assert!(!decide(&[], &["cap_chown"]).unwrap().contains(&"CHOWN".to_owned()));
        assert_eq!(decide(&["ALL"], &["SYS_ADMIN"]).unwrap().len(), 40);
        assert!(decide(&[], &["ALL"]).unwrap().is_empty());
    }

    #[test]
    fn an_unknown_name_is_refused() {
        assert_eq!(decide(&["FLY"], &[]), Err(UnknownCapability("FLY".into())));
    }
}
