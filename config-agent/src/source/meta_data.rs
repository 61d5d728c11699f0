//! The few facts of a source's metadata that matter here.
//!
//! The files are YAML or JSON by other tools' hands, and belong to no schema of ours: keys other than these have no
//! meaning here. Of YAML only `KEY: VALUE` lines at the top level are read, and the list below `public-keys`.

use keelson_machine_config::{Hostname, SshKey};
use serde_json::Value;

/// What metadata say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetaData {
    /// Whose document this is, for the report only.
    pub instance_id: Option<String>,
    /// Used when the document names no host.
    pub hostname: Option<Hostname>,
    /// Public keys, used when the document gives the operator none.
    pub public_keys: Vec<SshKey>,
    /// What could not be used, one sentence each.
    pub notes: Vec<String>,
}

/// Longest instance id that is recorded.
const MAX_ID: usize = 256;
/// The most keys that are taken.
const MAX_KEYS: usize = 64;

impl MetaData {
    /// Reads NoCloud's `meta-data`. Never fails: what is not understood is noted.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut out = Self::default();
        match std::str::from_utf8(bytes) {
            Err(_) => out.notes.push("meta-data is not UTF-8 text".to_owned()),
            Ok(text) if text.trim_start().starts_with('{') => out.take_json(text.as_bytes()),
            Ok(text) => out.take_yaml(text),
        }
        out
    }

    /// Reads OpenStack's `meta_data.json`, or EC2's in the same form. Never fails.
    #[must_use]
    pub fn parse_openstack(bytes: &[u8]) -> Self {
        let mut out = Self::default();
        if !bytes.is_empty() {
            out.take_json(bytes);
        }
        out
    }

    /// Whether anything of it changes a machine.
    #[must_use]
    pub fn has_effect(&self) -> bool {
        self.hostname.is_some() || !self.public_keys.is_empty()
    }

    /// Takes what is missing from others.
    pub(super) fn complete(&mut self, other: Self) {
        self.instance_id = self.instance_id.take().or(other.instance_id);
        self.hostname = self.hostname.take().or(other.hostname);
        self.notes.extend(other.notes);
        if self.public_keys.is_empty() {
            self.public_keys = other.public_keys;
        }
    }

    /// Takes a host name, if it is one.
    pub fn set_hostname(&mut self, text: &str) {
        match text.to_ascii_lowercase().parse() {
            Ok(name) => self.hostname = Some(name),
            Err(error) => self.notes.push(format!("metadata: the host name is not used: {error}")),
        }
    }

    /// Takes an instance id, if it is one.
    pub fn set_instance_id(&mut self, text: &str) {
        if text.len() <= MAX_ID && !text.chars().any(char::is_control) {
            self.instance_id = Some(text.to_owned());
        } else {
            self.notes.push("metadata: the instance-id cannot be one".to_owned());
        }
    }

    /// Takes the keys of some lines in the form of an `authorized_keys` file.
    pub fn add_keys(&mut self, lines: &str) {
        for line in lines
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            match line.parse::<SshKey>() {
                Ok(key) if self.public_keys.len() < MAX_KEYS && !self.public_keys.contains(&key) => {
                    self.public_keys.push(key);
                }
                Ok(_) => {}
                Err(error) => self.notes.push(format!("metadata: a public key is not used: {error}")),
            }
        }
    }

    fn take_json(&mut self, bytes: &[u8]) {
        let Ok(Value::Object(map)) = serde_json::from_slice(bytes) else {
            self.notes.push("metadata are not a JSON object".to_owned());
            return;
        };
        let text = |names: &[&str]| names.iter().find_map(|name| map.get(*name)?.as_str());
        if let Some(id) = text(&["instance-id", "uuid"]) {
            self.set_instance_id(id);
        }
        if let Some(name) = text(&["local-hostname", "hostname"]) {
            self.set_hostname(name);
        }
        for keys in ["public-keys", "public_keys"].iter().filter_map(|name| map.get(*name)) {
            self.add_json_keys(keys, 0);
        }
    }

    /// Keys as a text, a list, or an object of either, as different clouds write them.
    fn add_json_keys(&mut self, value: &Value, depth: u8) {
        match value {
            Value::String(text) => self.add_keys(text),
            Value::Array(values) if depth < 3 => values.iter().for_each(|value| self.add_json_keys(value, depth + 1)),
            Value::Object(map) if depth < 3 => map.values().for_each(|value| self.add_json_keys(value, depth + 1)),
            _ => {}
        }
    }

    fn take_yaml(&mut self, text: &str) {
        let mut in_keys = false;
        for line in text.lines() {
            let item = line.trim_start().strip_prefix("- ");
            match (in_keys, item) {
                (true, Some(key)) => self.add_keys(&unquoted(key)),
                (false, Some(_)) => {}
                (_, None) if line.starts_with([' ', '\t', '#', '-']) => {}
                (_, None) => {
                    let Some((key, value)) = line.split_once(':') else {
                        continue;
                    };
                    let (key, value) = (unquoted(key), unquoted(value));
                    in_keys = matches!(key.as_str(), "public-keys" | "public_keys");
                    match key.as_str() {
                        "instance-id" => self.set_instance_id(&value),
                        "local-hostname" => self.set_hostname(&value),
                        "hostname" if self.hostname.is_none() => self.set_hostname(&value),
                        _ if in_keys => self.add_keys(&value),
                        _ => {}
                    }
                }
            }
        }
    }
}

/// A plain or quoted scalar without its comment.
fn unquoted(text: &str) -> String {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some((inside, _)) = text.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inside.to_owned();
        }
    }
    text.split(" #").next().unwrap_or_default().trim().to_owned()
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
        let found = facts(MetaData::parse_openstack(json.as_bytes()));
        assert_eq!(found, (Some("u-1".to_owned()), Some("web.novalocal".to_owned()), 1, 0));
        assert_eq!(facts(MetaData::parse_openstack(b"[]")), (None, None, 0, 1));
        assert_eq!(facts(MetaData::parse_openstack(b"")), (None, None, 0, 0));
    }
}
