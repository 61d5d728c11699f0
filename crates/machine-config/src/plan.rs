//! What would change between two configurations. Pure; values of secrets cannot appear, their versions do.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use crate::model::MachineConfig;
use crate::schema::{self, Apply};

/// One key whose value differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Path of the key, as in the document.
    pub key: String,
    /// Value before; absent when the key is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Value after; absent when the key goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// When it takes effect.
    pub apply: Apply,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "+ {} = {after}", self.key)?,
            (Some(before), None) => write!(f, "- {} = {before}", self.key)?,
            (before, after) => {
                let (before, after) = (
                    before.as_deref().unwrap_or_default(),
                    after.as_deref().unwrap_or_default(),
                );
                write!(f, "~ {} = {before} -> {after}", self.key)?;
            }
        }
        match self.apply {
            Apply::Live => Ok(()),
            Apply::Restart => f.write_str("  (container made anew)"),
            Apply::Reboot => f.write_str("  (at the next boot)"),
        }
    }
}

/// The keys whose values differ, by path.
#[must_use]
pub fn plan(before: &MachineConfig, after: &MachineConfig) -> Vec<Change> {
    let (before, after) = (leaves(before), leaves(after));
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    changed
        .map(|key| {
            let (old, new) = (before.get(key), after.get(key));
            let apply = old.or(new).map_or(Apply::Live, |leaf| leaf.apply);
            let text = |leaf: &Leaf| leaf.text.clone();
            Change {
                key: key.clone(),
                before: old.map(text),
                after: new.map(text),
                apply,
            }
        })
        .collect()
}

#[derive(PartialEq, Eq)]
struct Leaf {
    text: String,
    apply: Apply,
}

fn leaves(config: &MachineConfig) -> BTreeMap<String, Leaf> {
    let mut out = BTreeMap::new();
    // Serialising these types cannot fail; an empty map would show as "everything is new".
    if let Ok(Json::Object(map)) = serde_json::to_value(config) {
        for (name, value) in map {
            collect(&value, "", &name, &mut vec![], &mut out);
        }
    }
    out
}

/// Descends through tables of the document; everything else is a leaf. `null`, empty lists and empty tables below a
/// table are what an absent key means, except that an empty table can be a thing by itself (`volume.NAME`).
fn collect(value: &Json, parent: &str, name: &str, path: &mut Vec<String>, out: &mut BTreeMap<String, Leaf>) {
    let row = schema::child(parent, name);
    path.push(name.to_owned());
    let pattern = row.map_or("", |row| row.path);
    match value {
        Json::Null => {}
        Json::Object(map) if map.is_empty() && !pattern.ends_with('*') => {}
        Json::Object(map) if !map.is_empty() && schema::children(pattern).next().is_some() => {
            for (name, value) in map {
                collect(value, pattern, name, path, out);
            }
        }
        Json::Array(list) if list.is_empty() && !matches!(name, "entrypoint" | "command") => {}
        _ => {
            let apply = row.map_or(Apply::Live, |row| row.apply);
            out.insert(
                crate::check::dotted(path),
                Leaf {
                    text: value.to_string(),
                    apply,
                },
            );
        }
    }
    path.pop();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> MachineConfig {
        let verdict = crate::validate("t", format!("schema = 1\n{text}").as_bytes());
        verdict
            .accepted
            .unwrap_or_else(|| panic!("{:?}", verdict.report))
            .config
    }

    fn shown(before: &str, after: &str) -> Vec<String> {
        plan(&config(before), &config(after))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn shows_what_differs_and_when_it_takes_effect() {
        let old = "[system]\nhostname = \"a\"\n[container.web]\nimage = \"nginx:1\"";
        let new =
            "[system]\nhostname = \"b\"\n[container.web]\nimage = \"nginx:2\"\nports = [\"80:80\"]\n[volume.data]";
        assert_eq!(
            shown(old, new),
            [
                "~ container.web.image = \"docker.io/library/nginx:1\" -> \"docker.io/library/nginx:2\"  (container made anew)",
                "+ container.web.ports = [\"80:80/tcp\"]  (container made anew)",
                "~ system.hostname = \"a\" -> \"b\"",
                "+ volume.data = {}",
            ]
        );
        assert_eq!(shown(old, old), Vec::<String>::new());
    }
}
