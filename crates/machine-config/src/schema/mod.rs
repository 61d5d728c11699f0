//! The grammar of the native document as data: one row per key.
//!
//! Validator, redaction, reference page and plan derive from [`KEYS`]; a key that is not there does not exist.

mod network;
mod reference;
mod table;
mod update;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use reference::reference_page;
pub use table::KEYS;

/// One key of the document.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Path from the root: `.` descends, `*` is a name of the operator's, `[]` an element of a list of tables.
    pub path: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// Whether it must be there.
    pub presence: Presence,
    /// Release that introduced it.
    pub since: &'static str,
    /// When a change takes effect.
    pub apply: Apply,
    /// Whether a value written here must not be shown.
    pub secret: bool,
    /// One or two sentences for the reference page.
    pub doc: &'static str,
}

/// Shape of a key's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A table with the keys of the rows below it.
    Table,
    /// A table whose keys are the operator's; each must satisfy the rule.
    Map(Rule),
    /// A list of tables.
    Tables,
    /// A string.
    Text(Rule),
    /// A list of strings.
    Texts(Rule),
    /// One of some words.
    Word(&'static [&'static str]),
    /// A list of such words.
    Words(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds, both included.
    Integer(i64, i64),
    /// A number of processors, more than 0 and at most 1024.
    Processors,
    /// A string, or `{ secret = "NAME" }`.
    TextOrSecret,
    /// A string that is the value of a secret.
    SecretText,
}

/// Grammar of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Anything of at most so many bytes, without NUL.
    Free(usize),
    /// Name of a container, volume or secret.
    Name,
    /// Name of a user.
    UserName,
    /// Name of the machine.
    Hostname,
    /// Name or address of a server.
    Server,
    /// `HOST[:PORT]`.
    RegistryHost,
    /// Public key line.
    SshKey,
    /// Certificates.
    Pem,
    /// Image reference.
    Image,
    /// Published port.
    Port,
    /// Name of an environment variable.
    EnvName,
    /// Linux capability.
    Capability,
    /// Absolute path without `.` and `..`.
    Path,
    /// `USER[:GROUP]`.
    UserSpec,
    /// Size of at least so many bytes.
    Size(u64),
    /// Span of time of at most so many seconds.
    Span(u64),
    /// Path of a file that a document may write.
    FilePath,
    /// Permission bits in octal.
    Mode,
    /// Name of a time zone.
    Timezone,
    /// Name of a feature.
    Feature,
    /// Name of a link in the document.
    LinkName,
    /// Pattern of a kernel's names of links.
    LinkPattern,
    /// Name of a kernel's driver.
    Driver,
    /// Hardware address.
    Mac,
    /// Address with the bits of its network.
    InterfaceAddress,
    /// IP address.
    Address,
    /// `default` or a network.
    Destination,
    /// Domain in which names are looked for.
    Domain,
    /// Where a probe asks by HTTP.
    ProbeUrl,
    /// Address and port that a probe connects to.
    ProbeAddress,
    /// Where releases are fetched from.
    RepositoryUrl,
    /// Version of a release.
    ReleaseVersion,
}

/// Whether a key must be present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Its absence is an error.
    Required,
    /// Its absence means nothing is said.
    Optional,
    /// Its absence means this value, as TOML.
    Default(&'static str),
}

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Apply {
    /// At once.
    Live,
    /// The container is made anew.
    Restart,
    /// At the next boot.
    Reboot,
}

impl Key {
    /// Last component of the path, without `[]`.
    #[must_use]
    pub fn leaf(&self) -> &'static str {
        let leaf = self.path.rsplit('.').next().unwrap_or(self.path);
        leaf.trim_end_matches("[]")
    }

    /// Path of the table the key stands in; empty for the root.
    #[must_use]
    pub fn parent(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(parent, _)| parent)
    }
}

/// Rows by the path of the table they stand in.
static BY_PARENT: LazyLock<HashMap<&str, Vec<&Key>>> = LazyLock::new(|| {
    let mut map: HashMap<&str, Vec<&Key>> = HashMap::new();
    for key in KEYS {
        map.entry(key.parent()).or_default().push(key);
    }
    map
});

/// The row of `name` in the table at `parent`. A row for `*` answers for every name.
#[must_use]
pub fn child(parent: &str, name: &str) -> Option<&'static Key> {
    children(parent).find(|key| key.leaf() == name || key.leaf() == "*")
}

/// Path of the elements of the list of tables at `path`; empty when their keys are in no row.
#[must_use]
pub fn element(path: &str) -> &'static str {
    BY_PARENT
        .get_key_value(format!("{path}[]").as_str())
        .map_or("", |(key, _)| key)
}

/// The rows directly below the table at `parent`.
pub fn children(parent: &str) -> impl Iterator<Item = &'static Key> {
    BY_PARENT.get(parent).into_iter().flatten().copied()
}

/// Whether a secret can stand at this row or below it.
#[must_use]
pub fn holds_secret(key: &Key) -> bool {
    let below = |path: &str| {
        path.strip_prefix(key.path)
            .is_some_and(|rest| rest.starts_with(['.', '[']))
    };
    key.secret || KEYS.iter().any(|other| other.secret && below(other.path))
}

/// Whether the value of every key of this name can be shown: no secret, nor what may turn out to be one.
#[must_use]
pub fn is_harmless(name: &str) -> bool {
    let free = |key: &&Key| matches!(key.kind, Kind::TextOrSecret | Kind::SecretText);
    let below = |key: &Key, other: &Key| {
        other
            .path
            .strip_prefix(key.path)
            .is_some_and(|rest| rest.starts_with(['.', '[']))
    };
    let mut named = KEYS.iter().filter(|key| key.leaf() == name && name != "*").peekable();
    named.peek().is_some() && named.all(|key| !free(&key) && !KEYS.iter().filter(free).any(|other| below(key, other)))
}

/// Features that a document may name in `requires`.
pub const FEATURES: [&str; 12] = [
    "containers",
    "files",
    "install",
    "network",
    "power",
    "registries",
    "secrets",
    "ssh",
    "time",
    "trust",
    "updates",
    "volumes",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_below_a_table() {
        for key in KEYS.iter().filter(|key| !key.parent().is_empty()) {
            let parent = key.parent().trim_end_matches("[]");
            let parent = KEYS.iter().find(|row| row.path == parent).expect(key.path);
            assert!(
                matches!(parent.kind, Kind::Table | Kind::Map(_) | Kind::Tables),
                "{}",
                key.path
            );
        }
    }

    #[test]
    fn rows_are_unique_and_documented() {
        let mut seen = std::collections::BTreeSet::new();
        for key in KEYS {
            assert!(seen.insert(key.path), "{} twice", key.path);
            assert!(key.doc.ends_with('.'), "{}", key.path);
        }
    }

    #[test]
    fn knows_where_secrets_can_stand() {
        let row = |path: &str| KEYS.iter().find(|key| key.path == path).unwrap();
        for (path, expected) in [
            ("secrets", true),
            ("registry.*", true),
            ("registry.*.password", true),
            ("registry.*.username", false),
            ("container", false),
        ] {
            assert_eq!(holds_secret(row(path)), expected, "{path}");
        }
    }
}
