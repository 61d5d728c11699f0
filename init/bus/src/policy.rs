//! Who may call what, in one table. What is not in it is refused, whoever asks.

use keelson_image_layout::BusAccess;

use crate::objects::{manager, unit, update};

const PEER: &str = "org.freedesktop.DBus.Peer";
const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Interface, method, what its caller must have been granted.
pub const TABLE: &[(&str, &str, BusAccess)] = &[
    (PEER, "Ping", BusAccess::Read),
    (PEER, "GetMachineId", BusAccess::Read),
    (INTROSPECTABLE, "Introspect", BusAccess::Read),
    (PROPERTIES, "Get", BusAccess::Read),
    (PROPERTIES, "GetAll", BusAccess::Read),
    (manager::NAME, "ListUnits", BusAccess::Read),
    (manager::NAME, "GetUnit", BusAccess::Read),
    (manager::NAME, "StartUnit", BusAccess::Operate),
    (manager::NAME, "StopUnit", BusAccess::Operate),
    (manager::NAME, "RestartUnit", BusAccess::Operate),
    (manager::NAME, "Reboot", BusAccess::Operate),
    (manager::NAME, "PowerOff", BusAccess::Operate),
    (unit::NAME, "Start", BusAccess::Operate),
    (unit::NAME, "Stop", BusAccess::Operate),
    (unit::NAME, "Restart", BusAccess::Operate),
    (update::NAME, "Rollback", BusAccess::Operate),
];

/// Why a call does not reach our objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing says which method is meant.
    #[error("the call names no interface; name it, so that it is certain which method is meant")]
    NoInterface,
    /// Not in the table.
    #[error("{interface}.{member} is no method that can be called; `busctl introspect` shows those there are")]
    Unknown {
        /// What was called.
        interface: String,
        /// What of it.
        member: String,
    },
    /// The grant is not enough.
    #[error(
        "{interface}.{member} needs bus = \"operate\" in the container's declaration, this caller was granted \"{granted}\""
    )]
    NotGranted {
        /// What was called.
        interface: String,
        /// What of it.
        member: String,
        /// What there is.
        granted: BusAccess,
    },
}

impl Refused {
    /// Name of the error on the bus.
    #[must_use]
    pub fn error_name(&self) -> &'static str {
        match self {
            Refused::NoInterface | Refused::Unknown { .. } => "org.freedesktop.DBus.Error.UnknownMethod",
            // An error of our own: clients print its words, and only a number for the well-known one.
            Refused::NotGranted { .. } => "org.keelson.Error.NotGranted",
        }
    }
}

/// Decides.
///
/// # Errors
/// [`Refused`].
pub fn check(granted: BusAccess, interface: Option<&str>, member: &str) -> Result<(), Refused> {
    let interface = interface.ok_or(Refused::NoInterface)?;
    let row = TABLE.iter().find(|row| row.0 == interface && row.1 == member);
    let (interface, member) = (interface.to_owned(), member.to_owned());
    match row {
        None => Err(Refused::Unknown { interface, member }),
        Some(row) if granted < row.2 => Err(Refused::NotGranted {
            interface,
            member,
            granted,
        }),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_granted_is_refused() {
        use BusAccess::{Operate, Read};
        let table = [
            (Read, Some(manager::NAME), "ListUnits", Ok(())),
            (Operate, Some(manager::NAME), "ListUnits", Ok(())),
            (Operate, Some(manager::NAME), "Reboot", Ok(())),
            (Read, Some(manager::NAME), "Reboot", Err("org.keelson.Error.NotGranted")),
            (Read, Some(unit::NAME), "Stop", Err("org.keelson.Error.NotGranted")),
            (
                Operate,
                Some(manager::NAME),
                "Reexec",
                Err("org.freedesktop.DBus.Error.UnknownMethod"),
            ),
            (
                Operate,
                Some(PROPERTIES),
                "Set",
                Err("org.freedesktop.DBus.Error.UnknownMethod"),
            ),
            (
                Operate,
                Some(unit::NAME),
                "Reboot",
                Err("org.freedesktop.DBus.Error.UnknownMethod"),
            ),
            (
                Read,
                Some(update::NAME),
                "Rollback",
                Err("org.keelson.Error.NotGranted"),
            ),
            (Operate, None, "Reboot", Err("org.freedesktop.DBus.Error.UnknownMethod")),
        ];
        for (granted, interface, member, expected) in table {
            let decided = check(granted, interface, member).map_err(|refused| refused.error_name());
            assert_eq!(decided, expected, "{granted} {interface:?} {member}");
        }
        let told = check(Read, Some(manager::NAME), "Reboot").unwrap_err().to_string();
        assert!(
            told.contains("org.keelson.Manager1.Reboot needs bus = \"operate\""),
            "{told}"
        );
    }
}
