//! What cannot be done here, command by command and package by package, with what does the same.

use super::walk::Walk;
use crate::check::{Fate, Finding};
use crate::diagnostic::Code;
use crate::yaml::{Entry, Node, Value};

/// Packages of what every image has.
const PRESENT: [&str; 20] = [
    "ca-certificates",
    "chrony",
    "containerd",
    "containerd.io",
    "crun",
    "docker",
    "docker-buildx-plugin",
    "docker-ce",
    "docker-ce-cli",
    "docker-ce-rootless-extras",
    "docker.io",
    "ntp",
    "ntpsec",
    "openssh-server",
    "podman",
    "podman-docker",
    "runc",
    "ssh",
    "systemd-timesyncd",
    "tzdata",
];

/// What packages may be sorted by.
const MANAGERS: [&str; 2] = ["apt", "snap"];

/// A word of a command, and what does the same here.
const INSTEAD: [(&str, &str); 14] = [
    (
        "docker run",
        "declare the container: `[container.NAME]` in a native document",
    ),
    (
        "podman run",
        "declare the container: `[container.NAME]` in a native document",
    ),
    (
        "compose",
        "declare each service as `[container.NAME]` in a native document",
    ),
    (
        "docker login",
        "set `username` and `password` of a `[registry.\"HOST\"]` in a native document",
    ),
    ("docker pull", "declare the container: its image is pulled"),
    ("usermod", "put the user into the group docker under `users`"),
    ("hostnamectl", "set `hostname`"),
    ("timedatectl", "set `timezone` and `ntp`"),
    ("authorized_keys", "set `ssh_authorized_keys`"),
    ("sysctl", "leave it out: the kernel's settings are the image's"),
    ("ufw", "leave it out: only SSH and published ports are open"),
    ("iptables", "leave it out: only SSH and published ports are open"),
    ("reboot", "set `power_state`"),
    ("mkdir", "name the file in `write_files`: folders above it are made"),
];

pub(super) fn commands(walk: &mut Walk, entry: &Entry<'_>) {
    let mut text = String::new();
    gather(&entry.value, &mut text);
    walk.settle(entry, Fate::Refused);
    let known = INSTEAD
        .iter()
        .filter(|(word, _)| text.contains(word))
        .map(|(_, cure)| *cure);
    let mut cures: Vec<&str> = known.take(3).collect();
    cures.dedup();
    let cure = match cures.as_slice() {
        [] => "run what you need as a container: `[container.NAME]` in a native document".to_owned(),
        cures => cures.join("; "),
    };
    let message = "`runcmd`: no command can be run: the system has neither shell nor interpreter";
    walk.error(Code::Unsupported, entry.at.clone(), "runcmd", message, &cure);
}

/// The words of all commands, a line each.
fn gather(node: &Node<'_>, out: &mut String) {
    match &node.value {
        Value::List(list) => {
            list.iter().for_each(|node| gather(node, out));
            out.push('\n');
        }
        Value::Scalar(scalar) => {
            out.push_str(&scalar.text);
            out.push(' ');
        }
        _ => {}
    }
}

pub(super) fn packages(walk: &mut Walk, entry: &Entry<'_>) {
    let mut refused = false;
    for node in walk.items(&entry.value, "packages") {
        match &node.value {
            // A name with its version.
            Value::List(list) if list.iter().all(|node| node.scalar().is_some()) => {
                refused |= list.first().is_some_and(|name| package(walk, name));
            }
            Value::Scalar(_) => refused |= package(walk, node),
            // Names under the manager they are for.
            Value::Map(map) => {
                for entry in &map.entries {
                    if !MANAGERS.contains(&entry.key.as_ref()) {
                        refused = true;
                        let message = format!("there is no package manager {:?}", entry.key);
                        walk.settle(entry, Fate::Refused);
                        walk.error(
                            Code::UnknownKey,
                            entry.at.clone(),
                            "packages",
                            message,
                            "write `apt` or `snap`",
                        );
                        continue;
                    }
                    let before = refused;
                    for node in walk.items(&entry.value, "packages") {
                        refused |= package(walk, node);
                    }
                    walk.fates.insert(
                        entry.at.start,
                        if before == refused { Fate::Noted } else { Fate::Refused },
                    );
                }
            }
            _ => walk.wrong(node, "packages", "a name"),
        }
    }
    walk.fates
        .insert(entry.at.start, if refused { Fate::Refused } else { Fate::Noted });
}

/// Whether the package refuses the document.
fn package(walk: &mut Walk, node: &Node<'_>) -> bool {
    let Some(name) = walk.text(node, "packages").map(str::to_owned) else {
        return true;
    };
    let at = node.span.clone();
    if PRESENT.contains(&name.as_str()) {
        let message = format!("the package {name:?} has no effect here: what it holds is part of the system");
        walk.findings
            .push(Finding::warning(Code::NoEffect, at, "packages", message));
        return false;
    }
    let message = format!("the package {name:?} cannot be installed: the system is an immutable image");
    let cure = "run what you need as a container: `[container.NAME]` in a native document";
    walk.error(Code::Unsupported, at, "packages", message, cure);
    true
}
