//! The users and groups of the image. Fixed numbers, since they own files on the state partition for years.

/// A system user; its primary group has the same name and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Name in `/etc/passwd`.
    pub name: &'static str,
    /// User and group number.
    pub id: u32,
    /// What it is for.
    pub purpose: &'static str,
}

/// Every user of the image.
pub const USERS: [User; 9] = [
    User {
        name: "root",
        id: 0,
        purpose: "init, engine, shims, configuration, slot writer",
    },
    User {
        name: "bus",
        id: 901,
        purpose: "system bus",
    },
    User {
        name: "journal",
        id: 902,
        purpose: "journal",
    },
    User {
        name: "net",
        id: 903,
        purpose: "links, addresses, names, time",
    },
    User {
        name: "discovery",
        id: 904,
        purpose: "discovery agent",
    },
    User {
        name: "update",
        id: 905,
        purpose: "update downloads",
    },
    User {
        name: "access",
        id: 906,
        purpose: "operator access",
    },
    User {
        name: "metadata",
        id: 909,
        purpose: "asks the cloud's metadata service",
    },
    User {
        name: "core",
        id: 1000,
        purpose: "the operator",
    },
];

/// Groups without a user of their name: name, number, members.
pub const GROUPS: [(&str, u32, &[&str]); 2] = [("engine", 907, &["core"]), ("wheel", 908, &["core"])];

/// The number of a user; `None` for a name that is not in the table.
#[must_use]
pub fn id_of(name: &str) -> Option<u32> {
    USERS.iter().find(|user| user.name == name).map(|user| user.id)
}

/// `/etc/passwd`. No account has a password and none has a shell.
#[must_use]
pub fn passwd() -> String {
    USERS
        .iter()
        .map(|User { name, id, purpose }| format!("{name}:x:{id}:{id}:{purpose}:/:/usr/bin/keelson\n"))
        .collect()
}

/// `/etc/group`.
#[must_use]
pub fn group() -> String {
    let own = USERS.iter().map(|user| format!("{}:x:{}:\n", user.name, user.id));
    let shared = GROUPS
        .iter()
        .map(|(name, id, members)| format!("{name}:x:{id}:{}\n", members.join(",")));
    own.chain(shared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique() {
        let mut ids: Vec<u32> = USERS
            .iter()
            .map(|user| user.id)
            .chain(GROUPS.iter().map(|group| group.1))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), USERS.len() + GROUPS.len());
    }

    #[test]
    fn group_file_names_the_engine_with_its_member() {
        assert!(group().contains("engine:x:907:core\n"));
        assert!(passwd().starts_with("root:x:0:0:"));
    }
}
