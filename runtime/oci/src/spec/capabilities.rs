//! Capability names of the specification as the kernel's bit masks.

use keelson_sys::capability;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

/// CAP_SYS_ADMIN's bit.
pub const SYS_ADMIN: u64 = 1 << 21;

/// The five sets of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapabilitySets {
    /// Upper bound over execve.
    pub bounding: u64,
    /// In force.
    pub effective: u64,
    /// Kept over execve by files that allow it.
    pub inheritable: u64,
    /// May be put in force.
    pub permitted: u64,
    /// Given to programs that know nothing of capabilities.
    pub ambient: u64,
}

/// The masks a specification asks for, without those outside `available` (the kernel has none such to give).
pub fn plan_capabilities(wanted: Option<&LinuxCapabilities>, available: u64) -> CapabilitySets {
    let Some(wanted) = wanted else {
        return CapabilitySets::default();
    };
    let permitted = mask(wanted.permitted().as_ref()) & available;
    let inheritable = mask(wanted.inheritable().as_ref()) & available;
    CapabilitySets {
        bounding: mask(wanted.bounding().as_ref()) & available,
        effective: mask(wanted.effective().as_ref()) & permitted,
        inheritable,
        permitted,
        ambient: mask(wanted.ambient().as_ref()) & permitted & inheritable,
    }
}

fn mask(set: Option<&Capabilities>) -> u64 {
    set.into_iter()
        .flatten()
        .fold(0, |mask, capability| mask | 1 << number(*capability))
}

/// The kernel's number of a capability (capabilities(7), `linux/capability.h`).
pub fn number(capability: Capability) -> u32 {
    use Capability as C;
    match capability {
        C::Chown => 0,
        C::DacOverride => 1,
        C::DacReadSearch => 2,
        C::Fowner => 3,
        C::Fsetid => 4,
        C::Kill => 5,
        C::Setgid => 6,
        C::Setuid => 7,
        C::Setpcap => 8,
        C::LinuxImmutable => 9,
        C::NetBindService => 10,
        C::NetBroadcast => 11,
        C::NetAdmin => 12,
        C::NetRaw => 13,
        C::IpcLock => 14,
        C::IpcOwner => 15,
        C::SysModule => 16,
        C::SysRawio => 17,
        C::SysChroot => 18,
        C::SysPtrace => 19,
        C::SysPacct => 20,
        C::SysAdmin => 21,
        C::SysBoot => 22,
        C::SysNice => 23,
        C::SysResource => 24,
        C::SysTime => 25,
        C::SysTtyConfig => 26,
        C::Mknod => 27,
        C::Lease => 28,
        C::AuditWrite => 29,
        C::AuditControl => 30,
        C::Setfcap => 31,
        C::MacOverride => 32,
        C::MacAdmin => 33,
        C::Syslog => 34,
        C::WakeAlarm => 35,
        C::BlockSuspend => 36,
        C::AuditRead => 37,
        C::Perfmon => 38,
        C::Bpf => 39,
        C::CheckpointRestore => 40,
    }
}

/// The mask of a capability by name, `None` if there is no such.
pub fn named(name: &str) -> Option<u64> {
    capability::number(name).map(|number| 1 << number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keelson_sys::capability::NAMES;

    fn sets(json: &str) -> LinuxCapabilities {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn names_and_numbers_agree() {
        for (index, name) in NAMES.iter().enumerate() {
            let capability: Capability = serde_json::from_str(&format!("\"{name}\"")).unwrap();
            assert_eq!(number(capability) as usize, index, "{name}");
        }
        assert_eq!(named("CAP_SYS_ADMIN"), Some(SYS_ADMIN));
    }

    #[test]
    fn ambient_needs_permitted_and_inheritable() {
        let wanted = sets(
            r#"{"bounding":["CAP_CHOWN","CAP_KILL"],"permitted":["CAP_CHOWN","CAP_KILL"],"effective":["CAP_CHOWN"],
                "inheritable":["CAP_KILL"],"ambient":["CAP_CHOWN","CAP_KILL"]}"#,
        );
        let planned = plan_capabilities(Some(&wanted), u64::MAX);
        assert_eq!(planned.bounding, 0b10_0001);
        assert_eq!(planned.effective, 1);
        assert_eq!(planned.ambient, 0b10_0000);
        assert_eq!(plan_capabilities(Some(&wanted), 1).bounding, 1);
        assert_eq!(plan_capabilities(None, u64::MAX), CapabilitySets::default());
    }
}
