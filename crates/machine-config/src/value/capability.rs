//! A Linux capability by name.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, string_serde};

/// A capability of capabilities(7), or all of them. Text: `NET_ADMIN`, `CAP_NET_ADMIN` or `ALL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Every capability the kernel knows.
    All,
    /// One, by its number (`CAP_CHOWN` is 0).
    One(u8),
}

/// Names by number, without the prefix; linux/capability.h, 6.12.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

impl FromStr for Capability {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "ALL" {
            return Ok(Self::All);
        }
        let bare = text.strip_prefix("CAP_").unwrap_or(text);
        let found = NAMES.iter().position(|name| *name == bare);
        if let Some(number) = found.and_then(|n| u8::try_from(n).ok()) {
            return Ok(Self::One(number));
        }
        let upper = bare.to_ascii_uppercase();
        let near = NAMES.iter().min_by_key(|name| strsim::levenshtein(name, &upper));
        let near = near.filter(|name| strsim::levenshtein(name, &upper) <= 3);
        let cure = match near {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => "use a name of capabilities(7), for example \"NET_ADMIN\"".to_owned(),
        };
        Err(ValueError::new(format!("{text:?} is not a capability"), cure))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("ALL"),
            Self::One(number) => match NAMES.get(usize::from(*number)) {
                Some(name) => write!(f, "CAP_{name}"),
                None => write!(f, "CAP_{number}"),
            },
        }
    }
}

string_serde!(Capability);
