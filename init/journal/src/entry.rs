//! A journal entry: fields with names and bytes, and when and in which order it came.
//!
//! Source: systemd.journal-fields(7) for the names.

/// Longest value of one field, in bytes.
pub const VALUE_BYTES: usize = 1 << 20;
/// Most fields of one entry.
pub const MOST_FIELDS: usize = 256;
/// Most bytes of one entry, all fields together.
pub const ENTRY_BYTES: usize = 4 << 20;

/// Fields of an entry, in the order they came; a name may occur several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    /// No fields.
    #[must_use]
    pub const fn new() -> Fields {
        Fields(Vec::new())
    }

    /// Adds a field.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.0.push((name.into(), value.into()));
    }

    /// Adds a field unless one of that name is there.
    pub fn push_default(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        if self.get(name).is_none() {
            self.push(name, value);
        }
    }

    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The first value of a name, if it is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// All fields.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl<N: Into<String>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Fields {
        Fields(
            fields
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// An entry as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts every entry of this store; defines the order.
    pub seq: u64,
    /// Microseconds since 1970, by the clock as it stood.
    pub realtime: u64,
    /// Microseconds since this boot.
    pub monotonic: u64,
    /// The boot it belongs to.
    pub boot: [u8; 16],
    /// What was said.
    pub fields: Fields,
}

impl Entry {
    /// Severity after syslog(3), 0 (emergency) to 7 (debug); 6 unless said.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.fields
            .text("PRIORITY")
            .and_then(|text| text.parse().ok())
            .filter(|level| *level <= 7)
            .unwrap_or(6)
    }

    /// The unit that spoke, without `.service`.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        let unit = self.fields.text("_SYSTEMD_UNIT")?;
        Some(unit.strip_suffix(".service").unwrap_or(unit))
    }
}

/// Whether a sender may use this name: upper case letters, digits and underscores, neither a digit nor an underscore
/// first (those fields are the journal's own), at most 64 characters.
#[must_use]
pub fn is_client_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&name.len())
        && name.bytes().all(legal)
        && name.starts_with(|first: char| first.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_senders_cannot_be_the_journals_own() {
        for name in ["MESSAGE", "A", "CODE_LINE2"] {
            assert!(is_client_name(name), "{name}");
        }
        for name in [
            "",
            "_UID",
            "__CURSOR",
            "1A",
            "message",
            "A B",
            "A=",
            "É",
            &"A".repeat(65),
        ] {
            assert!(!is_client_name(name), "{name}");
        }
    }

    #[test]
    fn priority_is_informational_unless_said() {
        let entry = |fields: Fields| Entry {
            seq: 0,
            realtime: 0,
            monotonic: 0,
            boot: [0; 16],
            fields,
        };
        assert_eq!(entry(Fields::new()).priority(), 6);
        assert_eq!(entry([("PRIORITY", "3")].into_iter().collect()).priority(), 3);
        assert_eq!(entry([("PRIORITY", "9")].into_iter().collect()).priority(), 6);
    }
}
