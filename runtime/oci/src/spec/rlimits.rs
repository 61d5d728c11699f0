//! Resource limits of the specification as the kernel's.

use crate::error::{Error, Result};
use oci_spec::runtime::{PosixRlimit, PosixRlimitType as Type};
use rustix::process::{Resource, Rlimit};

/// One limit to set.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Which.
    pub resource: Resource,
    /// To what.
    pub value: Rlimit,
    /// Its name in messages.
    pub name: String,
}

/// Reads `process.rlimits`.
pub fn plan_rlimits(limits: &[PosixRlimit]) -> Result<Vec<Limit>> {
    let mut planned: Vec<Limit> = Vec::with_capacity(limits.len());
    for limit in limits {
        let name = limit.typ().to_string();
        if planned.iter().any(|earlier| earlier.name == name) {
            return Err(Error::spec("process.rlimits", format!("{name} is named twice")));
        }
        if limit.soft() > limit.hard() {
            return Err(Error::spec("process.rlimits", format!("{name}: soft is above hard")));
        }
        let value = Rlimit {
            current: finite(limit.soft()),
            maximum: finite(limit.hard()),
        };
        planned.push(Limit {
            resource: resource(limit.typ()),
            value,
            name,
        });
    }
    Ok(planned)
}

/// The largest number means no limit.
fn finite(value: u64) -> Option<u64> {
    (value != u64::MAX).then_some(value)
}

fn resource(typ: Type) -> Resource {
    match typ {
        Type::RlimitCpu => Resource::Cpu,
        Type::RlimitFsize => Resource::Fsize,
        Type::RlimitData => Resource::Data,
        Type::RlimitStack => Resource::Stack,
        Type::RlimitCore => Resource::Core,
        Type::RlimitRss => Resource::Rss,
        Type::RlimitNproc => Resource::Nproc,
        Type::RlimitNofile => Resource::Nofile,
        Type::RlimitMemlock => Resource::Memlock,
        Type::RlimitAs => Resource::As,
        Type::RlimitLocks => Resource::Locks,
        Type::RlimitSigpending => Resource::Sigpending,
        Type::RlimitMsgqueue => Resource::Msgqueue,
        Type::RlimitNice => Resource::Nice,
        Type::RlimitRtprio => Resource::Rtprio,
        Type::RlimitRttime => Resource::Rttime,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_checked() {
        let good: Vec<PosixRlimit> =
            serde_json::from_str(r#"[{"type":"RLIMIT_NOFILE","soft":10,"hard":18446744073709551615}]"#).unwrap();
        let planned = plan_rlimits(&good).unwrap();
        assert_eq!(planned[0].value.current, Some(10));
        assert_eq!(planned[0].value.maximum, None);
        let bad: Vec<PosixRlimit> = serde_json::from_str(r#"[{"type":"RLIMIT_CPU","soft":2,"hard":1}]"#).unwrap();
        assert!(plan_rlimits(&bad).is_err());
        assert!(plan_rlimits(&[good[0], good[0]]).is_err());
    }
}
