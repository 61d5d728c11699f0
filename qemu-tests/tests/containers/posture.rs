//! What each program may do, and what a container cannot.

use anyhow::{Context, Result, ensure};
use keelson_qemu_tests::segment::Segment;
use keelson_qemu_tests::{Environment, Lab};

use crate::machine::{AS_HOST, with_probe};

/// Every program of the system: user, effective capabilities, no_new_privs, whether it has a seccomp filter.
/// Source of truth for reviewers: a change here is a change of what the system trusts.
const TABLE: &[(&str, u32, &str, bool, bool)] = &[
    ("keelson-init", 0, "all", false, false),
    ("keelson-journald", 902, "cap_syslog", true, true),
    (
        "keelson-netd",
        903,
        "cap_net_bind_service,cap_net_admin,cap_net_raw,cap_sys_time",
        true,
        true,
    ),
    ("keelson-runtimed", 0, "all", false, false),
];

/// Numbers of capabilities, from linux/capability.h.
fn mask(names: &str) -> u64 {
    names
        .split(',')
        .map(|name| match name {
            "cap_net_bind_service" => 10,
            "cap_net_admin" => 12,
            "cap_net_raw" => 13,
            "cap_sys_time" => 25,
            "cap_syslog" => 34,
            _ => 63,
        })
        .fold(0, |mask, bit| mask | 1 << bit)
}

pub fn table(environment: &Environment) -> Result<()> {
    Lab::run(environment, "posture", |lab| {
        let machine = with_probe(lab, AS_HOST)?;
        let processes = machine.ask("/processes")?;
        eprintln!("{processes}");
        for (name, uid, capabilities, locked, filtered) in TABLE {
            let short = name.get(..15).unwrap_or(name);
            let line = processes.lines().find(|line| line.split(' ').nth(1) == Some(short));
            let fields: Vec<&str> = line
                .with_context(|| format!("{name} does not run"))?
                .split(' ')
                .collect();
            let [_, _, found_uid, found_caps, found_locked, found_filter, ..] = fields.as_slice() else {
                anyhow::bail!("the probe answered {fields:?}");
            };
            ensure!(*found_uid == uid.to_string(), "{name} runs as {found_uid}");
            let found = u64::from_str_radix(found_caps, 16)?;
            ensure!(
                *capabilities == "all" || found == mask(capabilities),
                "{name} has capabilities {found_caps}"
            );
            ensure!(
                (*found_locked == "1") == *locked,
                "{name}: no_new_privs is {found_locked}"
            );
            ensure!((*found_filter == "2") == *filtered, "{name}: seccomp is {found_filter}");
        }
        machine.guest.power_off()?;
        Ok(())
    })
}

/// uid 0 in an ordinary container with each of our sockets mounted.
pub fn sockets(environment: &Environment) -> Result<()> {
    const SOCKETS: [(&str, &str); 4] = [
        (
            "/run/keelson/control",
            "{%22protocol%22:%22keelson-manager%22,%22version%22:1}|{%22id%22:1,%22request%22:%22power-off%22}",
        ),
        (
            "/run/keelson/journal.sock",
            "{%22protocol%22:%22keelson-journal%22,%22version%22:1}%0a",
        ),
        (
            "/run/keelson/netd/resolver.sock",
            "{%22protocol%22:%22keelson-resolver%22,%22version%22:1}",
        ),
        (
            "/run/docker.sock",
            "GET%20/containers/json%20HTTP/1.1%0d%0aHost:%20x%0d%0a%0d%0a",
        ),
    ];
    Lab::run(environment, "sockets", |lab| {
        let mount = |(path, _): (&str, &str)| {
            let target = format!("/mnt{}", path.replace('/', "-"));
            format!("{{ type = \"bind\", source = \"{path}\", target = \"{target}\" }}")
        };
        let mounts: Vec<String> = SOCKETS.into_iter().map(mount).collect();
        let more = format!("ports = [\"80:80\"]\nmounts = [{}]", mounts.join(", "));
        let machine = with_probe(lab, &more)?;
        for (path, line) in SOCKETS {
            let answer = machine.ask(&format!("/socket?/mnt{}|{line}", path.replace('/', "-")))?;
            let refused = answer.starts_with("refused")
                || answer.trim() == "answer:"
                || answer.contains("HTTP/1.1 403")
                || answer.contains("error")
                || answer.contains("not-allowed");
            ensure!(refused, "{path} answered a container: {answer}");
        }
        machine.guest.power_off()?;
        Ok(())
    })
}

/// An ordinary container reaches the registry it came from, but not the host's own services or metadata addresses.
pub fn reach(environment: &Environment) -> Result<()> {
    Lab::run(environment, "reach", |lab| {
        let machine = with_probe(lab, "ports = [\"80:80\"]")?;
        for address in ["169.254.169.254:80", "127.0.0.1:53", "10.0.2.15:53"] {
            let answer = machine.ask(&format!("/connect?{address}"))?;
            ensure!(answer.starts_with("closed"), "{address}: {answer}");
        }
        // The host's forwarder of QEMU's network stands for the outside: it refuses, but it is reached.
        let answer = machine.ask("/connect?10.0.2.2:1")?;
        ensure!(answer.contains("refused"), "the outside is not reached: {answer}");
        machine.guest.power_off()?;
        Ok(())
    })
}

/// All TCP ports of a machine with nothing declared, and its resolver, from a neighbour on the same link.
pub fn scan(environment: &Environment) -> Result<()> {
    Lab::run(environment, "scan", |lab| {
        let segment = Segment::new(lab.directory())?;
        let disk = lab.disk("system")?;
        let guest = lab.boot("guest", &disk, |spec| {
            spec.tap = Some(segment.tap().to_owned());
            spec.namespace = Some(segment.namespace().to_owned());
        })?;
        segment.wait_for_lease()?;
        let open = segment.run_probe(&["scan", Segment::GUEST])?;
        ensure!(open.trim().is_empty(), "open from outside: {open}");
        let answer = segment.run_probe(&["ask-name", Segment::GUEST])?;
        ensure!(
            answer.starts_with("no answer"),
            "the resolver answers the outside: {answer}"
        );
        guest.power_off()?;
        Ok(())
    })
}
