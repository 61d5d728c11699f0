//! The few facts of NoCloud's `meta-data` that matter here.
//!
//! The file is YAML or JSON by other tools' hands, and belongs to no schema of ours: keys other than these two have no
//! meaning here. Only `KEY: VALUE` lines at the top level are read.

use keelson_machine_config::Hostname;

/// What `meta-data` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetaData {
    /// `instance-id`: whose document this is, for the report only.
    pub instance_id: Option<String>,
    /// `local-hostname`, used when the document names no host.
    pub hostname: Option<Hostname>,
    /// What could not be used, one sentence each.
    pub notes: Vec<String>,
}

/// Longest instance id that is recorded.
const MAX_ID: usize = 256;

impl MetaData {
    /// Reads the file's bytes. Never fails: what is not understood is noted.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Self {
                notes: vec!["meta-data is not UTF-8 text".to_owned()],
                ..Self::default()
            };
        };
        let mut out = Self::default();
        for (key, value) in pairs(text) {
            match key.as_str() {
                "instance-id" if value.len() <= MAX_ID && !value.chars().any(char::is_control) => {
                    out.instance_id = Some(value);
                }
                "instance-id" => out.notes.push("meta-data: the instance-id cannot be one".to_owned()),
                "local-hostname" => match value.to_ascii_lowercase().parse() {
                    Ok(name) => out.hostname = Some(name),
                    Err(error) => out
                        .notes
                        .push(format!("meta-data: local-hostname is not used: {error}")),
                },
                _ => {}
            }
        }
        out
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    if text.trim_start().starts_with('{') {
        let Ok(serde_json::Value::Object(map)) = serde_json::from_str(text) else {
            return Vec::new();
        };
        let strings = map
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.as_str()?.to_owned())));
        return strings.collect();
    }
    let top = text.lines().filter(|line| !line.starts_with([' ', '\t', '#', '-']));
    top.filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (unquoted(key), unquoted(value)))
        .collect()
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

    fn parse(text: &str) -> (Option<String>, Option<String>, usize) {
        let found = MetaData::parse(text.as_bytes());
        (
            found.instance_id,
            found.hostname.map(|name| name.to_string()),
            found.notes.len(),
        )
    }

    #[test]
    fn reads_what_tools_write() {
        let some = |id: &str, host: &str| (Some(id.to_owned()), Some(host.to_owned()), 0);
        for text in [
            "instance-id: i-1\nlocal-hostname: web\n",
            "instance-id: \"i-1\" # id\r\nlocal-hostname: 'Web'\r\npublic-keys:\n  - local-hostname: no\n",
            "{\"instance-id\": \"i-1\", \"local-hostname\": \"web\", \"n\": 1}",
            "# c\n---\ninstance-id: i-1 # x\nlocal-hostname: web",
        ] {
            assert_eq!(parse(text), some("i-1", "web"), "{text}");
        }
        assert_eq!(parse(""), (None, None, 0));
        assert_eq!(parse("local-hostname: a_b"), (None, None, 1));
        assert_eq!(MetaData::parse(&[0xff]).notes.len(), 1);
    }
}
