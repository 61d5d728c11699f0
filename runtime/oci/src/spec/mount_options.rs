//! Mount options of the specification sorted into what the mount API takes: attributes, propagation, file system data.

use linux_raw_sys::general as raw;

const PRIVATE: u64 = 1 << 18;
const SLAVE: u64 = 1 << 19;
const SHARED: u64 = 1 << 20;
const UNBINDABLE: u64 = 1 << 17;

/// Attributes to set and to clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttrChange {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
}

impl AttrChange {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn set(&mut self, attribute: u32) {
        self.set |= u64::from(attribute);
        self.clear &= !u64::from(attribute);
    }

    fn unset(&mut self, attribute: u32) {
        self.clear |= u64::from(attribute);
        self.set &= !u64::from(attribute);
    }

    /// The access time attributes are one field: clear it, then set the value.
    fn access_time(&mut self, value: u32) {
        self.clear |= u64::from(raw::MOUNT_ATTR__ATIME);
        self.set = self.set & !u64::from(raw::MOUNT_ATTR__ATIME) | u64::from(value);
    }
}

/// How a bind mount's ids are mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Idmap {
    /// Not unless the mount names mappings.
    #[default]
    No,
    /// This mount.
    Mount,
    /// The whole tree.
    Tree,
}

/// Options sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountOptions {
    /// A bind mount.
    pub bind: bool,
    /// With everything below.
    pub recursive_bind: bool,
    /// For this mount.
    pub attr: AttrChange,
    /// For the whole tree (`rro`, …).
    pub tree_attr: AttrChange,
    /// Propagation changes in order: flag, whole tree.
    pub propagation: Vec<(u64, bool)>,
    /// Copy what the target directory holds into the new tmpfs.
    pub copy_up: bool,
    /// `idmap`, `ridmap`.
    pub idmap: Idmap,
    /// The rest: for the file system, with or without a value.
    pub data: Vec<(String, Option<String>)>,
}

/// Sorts options. Every text is accepted: what is not known here is the file system's, which refuses what it does not know.
pub fn parse_mount_options<S: AsRef<str>>(options: &[S]) -> MountOptions {
    let mut parsed = MountOptions::default();
    for option in options {
        parse_one(&mut parsed, option.as_ref());
    }
    parsed
}

fn parse_one(parsed: &mut MountOptions, option: &str) {
    if let Some((flag, tree)) = propagation(option) {
        parsed.propagation.push((flag, tree));
        return;
    }
    match option {
        "" | "defaults" | "remount" | "loud" | "async" | "nomand" | "noiversion" | "nolazytime" => {}
        "bind" => parsed.bind = true,
        "rbind" => (parsed.bind, parsed.recursive_bind) = (true, true),
        "tmpcopyup" => parsed.copy_up = true,
        "idmap" => parsed.idmap = Idmap::Mount,
        "ridmap" => parsed.idmap = Idmap::Tree,
        _ => {
            let recursive = option
                .strip_prefix('r')
                .is_some_and(|rest| apply_attribute(&mut parsed.tree_attr, rest));
            if !recursive && !apply_attribute(&mut parsed.attr, option) {
                parsed.data.push(data(option));
            }
        }
    }
}

fn data(option: &str) -> (String, Option<String>) {
    match option.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (option.to_owned(), None),
    }
}

fn propagation(option: &str) -> Option<(u64, bool)> {
    Some(match option {
        "private" => (PRIVATE, false),
        "rprivate" => (PRIVATE, true),
        "slave" => (SLAVE, false),
        "rslave" => (SLAVE, true),
        "shared" => (SHARED, false),
        "rshared" => (SHARED, true),
        "unbindable" => (UNBINDABLE, false),
        "runbindable" => (UNBINDABLE, true),
        _ => return None,
    })
}

/// `linux.rootfsPropagation` as a flag; every word there means the whole tree.
pub fn parse_propagation(word: &str) -> Option<u64> {
    propagation(word).map(|(flag, _)| flag)
}

/// Whether a propagation flag lets mounts travel out of the container.
pub fn is_shared(flag: u64) -> bool {
    flag == SHARED
}

/// The flag for a tree that only receives.
pub const SLAVE_TREE: u64 = SLAVE;
/// The flag for a tree cut off.
pub const PRIVATE_TREE: u64 = PRIVATE;

fn apply_attribute(change: &mut AttrChange, word: &str) -> bool {
    match word {
        "ro" => change.set(raw::MOUNT_ATTR_RDONLY),
        "rw" => change.unset(raw::MOUNT_ATTR_RDONLY),
        "nosuid" => change.set(raw::MOUNT_ATTR_NOSUID),
        "suid" => change.unset(raw::MOUNT_ATTR_NOSUID),
        "nodev" => change.set(raw::MOUNT_ATTR_NODEV),
        "dev" => change.unset(raw::MOUNT_ATTR_NODEV),
        "noexec" => change.set(raw::MOUNT_ATTR_NOEXEC),
        "exec" => change.unset(raw::MOUNT_ATTR_NOEXEC),
        "nosymfollow" => change.set(raw::MOUNT_ATTR_NOSYMFOLLOW),
        "symfollow" => change.unset(raw::MOUNT_ATTR_NOSYMFOLLOW),
        "nodiratime" => change.set(raw::MOUNT_ATTR_NODIRATIME),
        "diratime" => change.unset(raw::MOUNT_ATTR_NODIRATIME),
        "noatime" => change.access_time(raw::MOUNT_ATTR_NOATIME),
        "strictatime" | "norelatime" => change.access_time(raw::MOUNT_ATTR_STRICTATIME),
        "atime" | "relatime" | "nostrictatime" => change.access_time(raw::MOUNT_ATTR_RELATIME),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted() {
        let parsed = parse_mount_options(&["rbind", "ro", "nosuid", "rprivate", "rslave"]);
        assert!(parsed.bind && parsed.recursive_bind && parsed.data.is_empty());
        assert_eq!(
            parsed.attr.set,
            u64::from(raw::MOUNT_ATTR_RDONLY | raw::MOUNT_ATTR_NOSUID)
        );
        assert_eq!(parsed.propagation, [(PRIVATE, true), (SLAVE, true)]);
    }

    #[test]
    fn the_last_of_two_opposites_wins() {
        let parsed = parse_mount_options(&["ro", "rw", "noatime", "strictatime"]);
        assert_eq!(parsed.attr.set, u64::from(raw::MOUNT_ATTR_STRICTATIME));
        assert_eq!(
            parsed.attr.clear,
            u64::from(raw::MOUNT_ATTR_RDONLY | raw::MOUNT_ATTR__ATIME)
        );
    }

    #[test]
    fn recursive_words_are_not_taken_for_data_or_relatime() {
        let parsed = parse_mount_options(&["rro", "rnosuid", "relatime", "rnoatime"]);
        assert_eq!(
            parsed.attr,
            AttrChange {
                set: 0,
                clear: u64::from(raw::MOUNT_ATTR__ATIME)
            }
        );
        let tree = u64::from(raw::MOUNT_ATTR_RDONLY | raw::MOUNT_ATTR_NOSUID | raw::MOUNT_ATTR_NOATIME);
        assert_eq!(parsed.tree_attr.set, tree);
    }

    #[test]
    fn the_rest_is_the_file_systems() {
        let parsed = parse_mount_options(&["size=65536k", "mode=755", "newinstance", "x=a=b"]);
        let expected = [
            ("size", Some("65536k")),
            ("mode", Some("755")),
            ("newinstance", None),
            ("x", Some("a=b")),
        ];
        let got: Vec<_> = parsed
            .data
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        assert_eq!(got, expected);
    }
}
