//! What someone probably meant.

use crate::schema::{self, KEYS, Key};

/// The candidate closest to `word`, if it is close: at most a third of the letters differ.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let normal = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let word = normal(word);
    let length = word.chars().count();
    let allowed = (length / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= allowed)
        .map(|candidate| (strsim::damerau_levenshtein(&word, &normal(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The key of the table `parent` that `name` is a misspelling of.
pub(crate) fn meant(parent: &str, name: &str) -> Option<&'static Key> {
    let here = schema::children(parent).map(Key::leaf).filter(|leaf| *leaf != "*");
    schema::child(parent, nearest(name, here)?)
}

/// The advice for a key `name` that does not exist in the table `parent`.
pub(crate) fn key_advice(parent: &str, name: &str) -> Option<String> {
    if let Some(other) = synonym(name) {
        return Some(other.to_owned());
    }
    if let Some(near) = meant(parent, name) {
        return Some(format!("did you mean `{}`?", near.leaf()));
    }
    let exact = places(name);
    if !exact.is_empty() {
        return Some(format!("`{name}` is known at {}", exact.join(", ")));
    }
    let near = nearest(name, KEYS.iter().map(Key::leaf))?;
    let place = places(near).into_iter().next()?;
    Some(format!("did you mean `{near}`, which is known at {place}?"))
}

/// What to do about a key of a table `parent` that resembles nothing.
pub(crate) fn leave_out(parent: &str) -> String {
    match parent {
        "" => "leave it out, or begin its name with `x-` to keep it without effect".to_owned(),
        _ => known(schema::children(parent).map(Key::leaf).filter(|leaf| *leaf != "*")),
    }
}

/// The names that a map may have, as the cure for one that resembles none of them.
pub(crate) fn known<'c>(names: impl Iterator<Item = &'c str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "leave it out".to_owned(),
        names => format!("leave it out; known here: {}", names.join(", ")),
    }
}

/// Where a key of this name is known, at most three places.
fn places(name: &str) -> Vec<String> {
    KEYS.iter()
        .filter(|key| key.leaf() == name)
        .map(shown_path)
        .take(3)
        .collect()
}

/// How a path of the key table is shown: `container.NAME.ports`, `user.name`.
pub(crate) fn shown_path(key: &Key) -> String {
    let name = if key.path.starts_with("registry") {
        "HOST"
    } else {
        "NAME"
    };
    format!("`{}`", key.path.replace('*', name).replace("[]", ""))
}

/// What people write from habit with other tools.
fn synonym(name: &str) -> Option<&'static str> {
    let advice = match name {
        "services" => "containers are tables named `[container.NAME]`",
        "containers" => "write `[container.NAME]`",
        "users" => "write `[[user]]`",
        "registries" => "write `[registry.\"HOST\"]`",
        "volumes" => "a container's volumes are its `mounts`; declare a named one as `[volume.NAME]`",
        "environment" => "write `env`",
        "cmd" | "args" => "write `command`",
        "ntp" => "write `servers` under `[time]`",
        "ssh_authorized_keys" | "ssh-authorized-keys" | "authorized_keys" | "authorized-keys" => {
            "write `ssh-keys` of a `[[user]]`, or `keys` under `[ssh]` for the user core"
        }
        "mem_limit" | "memory-limit" => "write `memory` under `limits`",
        "cap_add" | "cap-add" => "write `add` under `capabilities`",
        "cap_drop" | "cap-drop" => "write `drop` under `capabilities`",
        "interfaces" | "ethernets" | "links" => "links are tables named `[network.link.NAME]`",
        "dhcp" => "write `dhcp4`",
        "dhcp6" => "IPv6 addresses come from router advertisements: `accept-ra = true`",
        "gateway" | "gateway4" | "gateway6" => "write `gateways`, a list",
        "nameservers" => "write `dns`, a table with `servers` and `search`",
        "slaves" => "write `members`",
        "insecure" => "write `plain-http`",
        "runcmd" | "packages" | "bootcmd" => "the system is immutable: run what you need as a container",
        _ => return None,
    };
    Some(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advises() {
        for (parent, name, expected) in [
            ("system", "hostnam", "did you mean `hostname`?"),
            ("container.*", "read_only", "did you mean `read-only`?"),
            ("", "ports", "`ports` is known at `container.NAME.ports`"),
            ("", "hostname", "`hostname` is known at `system.hostname`"),
            ("container.*", "environment", "write `env`"),
        ] {
            assert_eq!(key_advice(parent, name).as_deref(), Some(expected), "{parent} {name}");
        }
        assert_eq!(key_advice("", "zzzzzzzzz"), None);
    }
}
