//! The few facts of a source's metadata that matter here.
//!
//! The files are YAML or JSON by other tools' hands, and belong to no schema of ours: keys other than these have no
//! meaning here, and no mistake refuses a machine. Each is noted, with its place and what to write instead.

use std::ops::Range;

use crate::text::Text;
use crate::value::{Hostname, SshKey, ValueError};
use crate::yaml::{self, Node, Value};

/// What metadata say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetaData {
    /// Whose document this is, for the report only.
    pub instance_id: Option<String>,
    /// Used when the document names no host.
    pub hostname: Option<Hostname>,
    /// Public keys, used when the document gives the operator none.
    pub public_keys: Vec<SshKey>,
    /// What could not be used, one sentence each: `meta-data:LINE:COLUMN: PROBLEM; CURE`, without place when there is
    /// no file.
    pub notes: Vec<String>,
}

/// Longest instance id that is recorded.
const MAX_ID: usize = 256;
/// The most keys that are taken.
const MAX_KEYS: usize = 64;
/// The most notes that are kept.
const MAX_NOTES: usize = 50;
/// How deep keys may lie in lists and maps.
const MAX_DEPTH: u8 = 3;

impl MetaData {
    /// Reads `meta-data` of NoCloud, YAML or JSON, and `meta_data.json` of OpenStack and EC2. Never fails: what is not
    /// understood is noted.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut out = Self::default();
        let Ok(original) = std::str::from_utf8(bytes) else {
            out.note("meta-data are not UTF-8 text; save them as UTF-8".to_owned());
            return out;
        };
        let original = original.trim_start_matches('\u{feff}');
        let text = Text::new(original);
        let mut keep = String::new();
        let parsed = yaml::parse(original, &mut keep, is_read);
        for fault in parsed.faults {
            let cure = fault.cure.unwrap_or_default();
            out.note(placed(&text, &fault.range, &fault.message, &cure));
        }
        match parsed.root.as_ref().map(|root| (root, &root.value)) {
            Some((_, Value::Map(map))) => map.entries.iter().filter(|entry| !entry.repeated).for_each(|entry| {
                out.take(&text, &entry.key, &entry.value);
            }),
            None | Some((_, Value::Null | Value::Lost)) => {}
            Some((root, _)) => {
                let (problem, cure) = (
                    "meta-data are a map of keys and values",
                    "write `KEY: VALUE` for each key",
                );
                out.note(placed(&text, &root.span, problem, cure));
            }
        }
        out
    }

    /// Whether anything of it changes a machine.
    #[must_use]
    pub fn has_effect(&self) -> bool {
        self.hostname.is_some() || !self.public_keys.is_empty()
    }

    /// Takes what is missing from others.
    pub fn complete(&mut self, other: Self) {
        self.instance_id = self.instance_id.take().or(other.instance_id);
        self.hostname = self.hostname.take().or(other.hostname);
        self.notes.extend(other.notes);
        if self.public_keys.is_empty() {
            self.public_keys = other.public_keys;
        }
    }

    /// Takes a host name, if it is one.
    pub fn set_hostname(&mut self, name: &str) {
        if let Err(error) = self.take_hostname(name) {
            self.note(sentence("metadata: the host name is not used", &error));
        }
    }

    /// Takes an instance id, if it is one.
    pub fn set_instance_id(&mut self, id: &str) {
        if let Err(error) = self.take_instance_id(id) {
            self.note(sentence("metadata: the instance-id is not used", &error));
        }
    }

    /// Takes the keys of some lines in the form of an `authorized_keys` file.
    pub fn add_keys(&mut self, lines: &str) {
        for error in self.take_keys(lines) {
            self.note(sentence("metadata: a public key is not used", &error));
        }
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        }
    }

    /// One key of a file.
    fn take(&mut self, text: &Text<'_>, key: &str, node: &Node<'_>) {
        // What OpenStack calls `hostname` has the domain too; NoCloud's own name counts more.
        let missing = self.hostname.is_none();
        let wrong: Vec<(&str, ValueError)> = match key {
            "instance-id" | "uuid" => self.one(node, Self::take_instance_id, "the instance-id is not used"),
            "local-hostname" => self.one(node, Self::take_hostname, "the host name is not used"),
            "hostname" if missing => self.one(node, Self::take_hostname, "the host name is not used"),
            "public-keys" | "public_keys" => return self.take_key_values(text, node, 0),
            _ => return,
        };
        for (what, error) in wrong {
            let problem = format!("{what}: {}", error.problem);
            self.note(placed(text, &node.span, &problem, &error.cure));
        }
    }

    fn one<'w>(
        &mut self,
        node: &Node<'_>,
        take: fn(&mut Self, &str) -> Result<(), ValueError>,
        what: &'w str,
    ) -> Vec<(&'w str, ValueError)> {
        let taken = match node.scalar() {
            Some(scalar) => take(self, &scalar.text),
            None if matches!(node.value, Value::Null | Value::Lost) => Ok(()),
            None => Err(ValueError::new(format!("this is {}", node.article()), "write one text")),
        };
        taken.err().map(|error| (what, error)).into_iter().collect()
    }

    /// Keys as a text, a list, or a map of either, as different clouds write them.
    fn take_key_values(&mut self, text: &Text<'_>, node: &Node<'_>, depth: u8) {
        match &node.value {
            Value::Scalar(scalar) => {
                for error in self.take_keys(&scalar.text) {
                    let problem = format!("a public key is not used: {}", error.problem);
                    self.note(placed(text, &node.span, &problem, &error.cure));
                }
            }
            Value::List(nodes) if depth < MAX_DEPTH => {
                nodes
                    .iter()
                    .for_each(|node| self.take_key_values(text, node, depth + 1));
            }
            Value::Map(map) if depth < MAX_DEPTH => {
                let values = map.entries.iter().map(|entry| &entry.value);
                values.for_each(|node| self.take_key_values(text, node, depth + 1));
            }
            _ => {}
        }
    }

    fn take_hostname(&mut self, name: &str) -> Result<(), ValueError> {
        self.hostname = Some(name.to_ascii_lowercase().parse()?);
        Ok(())
    }

    fn take_instance_id(&mut self, id: &str) -> Result<(), ValueError> {
        if id.len() > MAX_ID || id.chars().any(char::is_control) {
            let cure = format!("write at most {MAX_ID} bytes on one line");
            return Err(ValueError::new("this cannot be an instance-id", cure));
        }
        self.instance_id = Some(id.to_owned());
        Ok(())
    }

    /// Takes keys, one a line; gives what is wrong with those that are none.
    fn take_keys(&mut self, lines: &str) -> Vec<ValueError> {
        let mut wrong = Vec::new();
        let lines = lines.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.parse::<SshKey>() {
                Ok(key) if self.public_keys.len() < MAX_KEYS && !self.public_keys.contains(&key) => {
                    self.public_keys.push(key);
                }
                Ok(_) => {}
                Err(error) => wrong.push(error),
            }
        }
        wrong
    }
}

/// The keys that are read; values of others may be secret.
fn is_read(key: &str) -> bool {
    [
        "instance-id",
        "uuid",
        "local-hostname",
        "hostname",
        "public-keys",
        "public_keys",
    ]
    .contains(&key)
}

fn sentence(what: &str, error: &ValueError) -> String {
    format!("{what}: {}; {}", error.problem, error.cure)
}

/// A note about a place of a file.
fn placed(text: &Text<'_>, range: &Range<usize>, problem: &str, cure: &str) -> String {
    let place = text.place(range);
    format!("meta-data:{}:{}: {problem}; {cure}", place.line, place.column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAzKfjUkBvcDtpZDPDM4dFT+PX8QgvTzKacsDX322N2 me@laptop";

    fn facts(found: MetaData) -> (Option<String>, Option<String>, usize, usize) {
        let hostname = found.hostname.map(|name| name.to_string());
        (found.instance_id, hostname, found.public_keys.len(), found.notes.len())
    }

    fn parse(text: &str) -> (Option<String>, Option<String>, usize, usize) {
        facts(MetaData::parse(text.as_bytes()))
    }

    #[test]
    fn reads_what_tools_write() {
        let some = |id: &str, host: &str, keys| (Some(id.to_owned()), Some(host.to_owned()), keys, 0);
        for text in [
            "instance-id: i-1\nlocal-hostname: web\n",
            "instance-id: \"i-1\" # id\r\nlocal-hostname: 'Web'\r\nother:\n  - local-hostname: no\n",
            "{\"instance-id\": \"i-1\", \"local-hostname\": \"web\", \"n\": 1}",
            "# c\n---\ninstance-id: i-1 # x\nlocal-hostname: web",
        ] {
            assert_eq!(parse(text), some("i-1", "web", 0), "{text}");
        }
        let yaml = format!("instance-id: i-1\npublic-keys:\n  - {KEY}\n  - {KEY}\nlocal-hostname: web\n");
        assert_eq!(parse(&yaml), some("i-1", "web", 1));
        assert_eq!(parse(""), (None, None, 0, 0));
        assert_eq!(parse("local-hostname: a_b"), (None, None, 0, 1));
        assert_eq!(MetaData::parse(&[0xff]).notes.len(), 1);
    }

    #[test]
    fn reads_openstack() {
        let json = format!(
            "{{\"uuid\": \"u-1\", \"hostname\": \"web.novalocal\", \"public_keys\": {{\"mine\": \"{KEY}\\n\"}}}}"
        );
        let found = facts(MetaData::parse(json.as_bytes()));
        assert_eq!(found, (Some("u-1".to_owned()), Some("web.novalocal".to_owned()), 1, 0));
        assert_eq!(facts(MetaData::parse(b"[]")), (None, None, 0, 1));
    }

    #[test]
    fn every_mistake_is_noted_with_its_place_and_cure() {
        let yaml =
            "instance-id: [a]\nlocal-hostname: a_b\nmade by hand\npublic-keys:\n  - ssh-ed25519 x\n  - nothing\n";
        let json = "{\n\"uuid\": [1],\n\"hostname\": \"a_b\",\n\"public_keys\": {\"x\": \"ssh-ed25519 x\",\n\"y\": \"nothing\"}}";
        for (text, lines) in [(yaml, &[1, 2, 3, 5, 6][..]), (json, &[2, 3, 4, 5])] {
            let notes = MetaData::parse(text.as_bytes()).notes;
            for line in lines {
                let place = format!("meta-data:{line}:");
                let there = notes.iter().any(|note| note.starts_with(&place) && note.contains("; "));
                assert!(there, "line {line}: {notes:#?}");
            }
            assert_eq!(notes.len(), lines.len(), "{notes:#?}");
        }
    }
}
