//! What a reader asks for: one JSON line on the query socket, and whether an entry answers it.
//! `docs/formats/journal-query.md`.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::entry::Entry;
use crate::render::boot_text;

/// Name of the protocol.
pub const PROTOCOL: &str = "keelson-journal";
/// Longest query line.
pub const LINE_BYTES: usize = 4096;

/// How entries are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One line for people.
    #[default]
    Short,
    /// One JSON object a line, as `journalctl -o json` writes it.
    Json,
    /// The journal export format, which `systemd-journal-remote` reads.
    Export,
    /// The message alone.
    Cat,
}

/// Which boot's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Boot {
    /// Every boot's.
    #[default]
    All,
    /// The running one's.
    Current,
    /// The one's before it that left entries.
    Previous,
}

/// A query. Fields that are left out do not restrict; unknown ones are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Query {
    /// `keelson-journal`.
    pub protocol: String,
    /// 1.
    pub version: u32,
    /// Only this unit, with or without `.service`.
    pub unit: Option<String>,
    /// Only this container, by id or name.
    pub container: Option<String>,
    /// Only the kernel's log.
    pub kernel: bool,
    /// Which boot.
    pub boot: Boot,
    /// Only the boot whose id begins so, at least four hexadecimal digits.
    pub boot_id: Option<String>,
    /// Only this severity and worse, 0 to 7.
    pub priority: Option<u8>,
    /// Not before, microseconds since 1970.
    pub since: Option<u64>,
    /// Not after, microseconds since 1970.
    pub until: Option<u64>,
    /// Only the last so many.
    pub lines: Option<usize>,
    /// Go on with entries as they come.
    pub follow: bool,
    /// How to write them.
    pub format: Format,
}

/// Why a line is no query.
#[derive(Debug, Error)]
pub enum QueryError {
    /// Not JSON of the agreed form.
    #[error("the query is not of the agreed form")]
    Json {
        /// Where and what.
        #[source]
        source: serde_json::Error,
    },
    /// Another protocol.
    #[error("protocol {protocol:?} version {version} is not spoken here, but {PROTOCOL:?} version 1")]
    Protocol {
        /// As asked for.
        protocol: String,
        /// As asked for.
        version: u32,
    },
}

/// Reads a query line.
///
/// # Errors
/// It is none.
pub fn parse(line: &[u8]) -> Result<Query, QueryError> {
    let query: Query = serde_json::from_slice(line).map_err(|source| QueryError::Json { source })?;
    if query.protocol != PROTOCOL || query.version == 0 {
        return Err(QueryError::Protocol {
            protocol: query.protocol,
            version: query.version,
        });
    }
    Ok(query)
}

/// Boot ids the words "current" and "previous" stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boots {
    /// The running boot.
    pub current: [u8; 16],
    /// The last other boot with entries.
    pub previous: Option<[u8; 16]>,
}

impl Query {
    /// A query of the protocol's version that restricts nothing.
    #[must_use]
    pub fn new() -> Query {
        Query {
            protocol: PROTOCOL.into(),
            version: 1,
            ..Query::default()
        }
    }

    /// Whether an entry answers the query.
    #[must_use]
    pub fn matches(&self, entry: &Entry, boots: &Boots) -> bool {
        let boot = match self.boot {
            Boot::All => true,
            Boot::Current => entry.boot == boots.current,
            Boot::Previous => boots.previous == Some(entry.boot),
        };
        let boot_id =
            |wanted: &String| wanted.len() >= 4 && boot_text(entry.boot).starts_with(&wanted.to_ascii_lowercase());
        let text = |name| entry.fields.text(name);
        let unit = |wanted: &String| entry.unit() == Some(wanted.strip_suffix(".service").unwrap_or(wanted));
        let container = |wanted: &String| {
            let id = text("CONTAINER_ID_FULL")
                .or(text("_CONTAINER_ID"))
                .or(text("CONTAINER_ID"));
            text("CONTAINER_NAME") == Some(wanted) || (wanted.len() >= 4 && id.is_some_and(|id| id.starts_with(wanted)))
        };
        boot && self.boot_id.as_ref().is_none_or(boot_id)
            && self.unit.as_ref().is_none_or(unit)
            && self.container.as_ref().is_none_or(container)
            && (!self.kernel || text("_TRANSPORT") == Some("kernel"))
            && self.priority.is_none_or(|worst| entry.priority() <= worst)
            && self.since.is_none_or(|since| entry.realtime >= since)
            && self.until.is_none_or(|until| entry.realtime <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Fields;

    const BOOTS: Boots = Boots {
        current: [1; 16],
        previous: Some([2; 16]),
    };

    fn entry(boot: u8, fields: &[(&str, &str)]) -> Entry {
        let fields: Fields = fields.iter().copied().collect();
        Entry {
            seq: 1,
            realtime: 100,
            monotonic: 5,
            boot: [boot; 16],
            fields,
        }
    }

    #[test]
    fn each_restriction_restricts() {
        let netd = entry(1, &[("_SYSTEMD_UNIT", "netd.service"), ("PRIORITY", "4")]);
        let old = entry(2, &[("CONTAINER_NAME", "web"), ("CONTAINER_ID", "abcdef")]);
        let kernel = entry(1, &[("_TRANSPORT", "kernel")]);
        let table = [
            ("{}", [true, true, true]),
            (r#"{"unit":"netd"}"#, [true, false, false]),
            (r#"{"unit":"netd.service"}"#, [true, false, false]),
            (r#"{"container":"web"}"#, [false, true, false]),
            (r#"{"container":"abcd"}"#, [false, true, false]),
            (r#"{"container":"abc"}"#, [false, false, false]),
            (r#"{"kernel":true}"#, [false, false, true]),
            (r#"{"boot":"current"}"#, [true, false, true]),
            (r#"{"boot":"previous"}"#, [false, true, false]),
            (r#"{"boot-id":"02020202"}"#, [false, true, false]),
            (r#"{"boot-id":"020"}"#, [false, false, false]),
            (r#"{"priority":4}"#, [true, false, false]),
            (r#"{"since":101}"#, [false, false, false]),
            (r#"{"until":99}"#, [false, false, false]),
            (r#"{"since":100,"until":100}"#, [true, true, true]),
        ];
        for (text, expected) in table {
            let query: Query = serde_json::from_str(text).unwrap();
            let found = [&netd, &old, &kernel].map(|entry| query.matches(entry, &BOOTS));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn another_protocol_is_refused() {
        assert!(parse(br#"{"protocol":"keelson-journal","version":1,"later":true}"#).is_ok());
        for line in [&b"{}"[..], b"", b"x", br#"{"protocol":"keelson-manager","version":1}"#] {
            assert!(parse(line).is_err());
        }
    }
}
