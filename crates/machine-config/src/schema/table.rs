//! The rows.

use super::{Apply, Key, Kind, Presence, Rule, network};
use Apply::{Live, Reboot, Restart};
use Kind::{Flag, Integer, Map, Processors, SecretText, Table, Tables, Text, TextOrSecret, Texts, Word, Words};
use Presence::{Default, Optional, Required};

pub(super) const fn row(path: &'static str, kind: Kind, presence: Presence, apply: Apply, doc: &'static str) -> Key {
    Key {
        path,
        kind,
        presence,
        since: "0.1",
        apply,
        secret: false,
        doc,
    }
}

const fn secret(path: &'static str, kind: Kind, presence: Presence, apply: Apply, doc: &'static str) -> Key {
    Key {
        secret: true,
        ..row(path, kind, presence, apply, doc)
    }
}

const NAMESPACE: Kind = Word(&["private", "host"]);

/// Every key, in the order of the reference page: a table before what stands in it.
pub const KEYS: &[Key] = &{
    let mut all = [REST[0]; REST.len() + network::KEYS.len()];
    all.split_at_mut(REST.len()).0.copy_from_slice(REST);
    all.split_at_mut(REST.len()).1.copy_from_slice(network::KEYS);
    all
};

/// Every key but those of the network.
const REST: &[Key] = &[
    row("schema", Integer(1, 1), Required, Live, "Version of this format."),
    row(
        "requires",
        Texts(Rule::Feature),
        Optional,
        Live,
        "Features the document cannot do without; a release that lacks one refuses the document.",
    ),
    row("system", Table, Optional, Live, "The machine itself."),
    row(
        "system.hostname",
        Text(Rule::Hostname),
        Optional,
        Live,
        "Host name. Without it the source's metadata name the machine, else its machine id does.",
    ),
    row(
        "user",
        Tables,
        Optional,
        Live,
        "A user beside the built-in operator `core`.",
    ),
    row("user[].name", Text(Rule::UserName), Required, Live, "Login name."),
    row(
        "user[].groups",
        Words(&["wheel", "sudo", "docker"]),
        Default("[]"),
        Live,
        "Groups. Each of them makes the user an operator; without one the user may only look.",
    ),
    row(
        "user[].ssh-keys",
        Texts(Rule::SshKey),
        Default("[]"),
        Live,
        "Public keys that may log in as this user.",
    ),
    row("ssh", Table, Optional, Live, "Access by SSH."),
    row(
        "ssh.keys",
        Texts(Rule::SshKey),
        Default("[]"),
        Live,
        "Public keys that may log in as `core`. The port opens only when some user has a key.",
    ),
    row("time", Table, Optional, Live, "The clock."),
    row(
        "time.servers",
        Texts(Rule::Server),
        Default("[]"),
        Live,
        "Time servers (SNTP) by name or address, in order of preference. Without any, those of the DHCP lease.",
    ),
    row(
        "registry",
        Map(Rule::RegistryHost),
        Optional,
        Live,
        "Registries, by host as image references name them.",
    ),
    row("registry.*", Table, Optional, Live, "One registry."),
    row(
        "registry.*.plain-http",
        Flag,
        Default("false"),
        Live,
        "Speak HTTP instead of HTTPS.",
    ),
    row(
        "registry.*.username",
        Text(Rule::Free(256)),
        Optional,
        Live,
        "Name to log in with. Needs `password`.",
    ),
    secret(
        "registry.*.password",
        TextOrSecret,
        Optional,
        Live,
        "Password to log in with, in place or as `{ secret = \"NAME\" }`. Needs `username`.",
    ),
    row(
        "registry.*.ca",
        Text(Rule::Pem),
        Optional,
        Live,
        "Certificates (PEM) to trust for this registry beside the built-in ones.",
    ),
    row(
        "registry.*.mirrors",
        Texts(Rule::RegistryHost),
        Default("[]"),
        Live,
        "Registries to ask before this one, in order.",
    ),
    row(
        "secrets",
        Map(Rule::Name),
        Optional,
        Live,
        "Values that must not be shown, by name.",
    ),
    row("secrets.*", Table, Optional, Live, "One secret."),
    secret(
        "secrets.*.value",
        SecretText,
        Required,
        Restart,
        "The value. It is kept apart from the configuration and never appears in a report.",
    ),
    row(
        "volume",
        Map(Rule::Name),
        Optional,
        Live,
        "Named volumes. A volume that is no longer declared is kept.",
    ),
    row(
        "volume.*",
        Table,
        Optional,
        Live,
        "One volume; there is nothing to say about it yet.",
    ),
    row(
        "container",
        Map(Rule::Name),
        Optional,
        Restart,
        "Containers to keep running, by name.",
    ),
    row("container.*", Table, Optional, Restart, "One container."),
    row(
        "container.*.image",
        Text(Rule::Image),
        Required,
        Restart,
        "Image, `[REGISTRY/]NAME[:TAG][@sha256:DIGEST]`, completed as Docker does.",
    ),
    row(
        "container.*.entrypoint",
        Texts(Rule::Free(32768)),
        Optional,
        Restart,
        "Replaces the image's entry point; an empty list clears it.",
    ),
    row(
        "container.*.command",
        Texts(Rule::Free(32768)),
        Optional,
        Restart,
        "Replaces the image's command.",
    ),
    row(
        "container.*.env",
        Map(Rule::EnvName),
        Optional,
        Restart,
        "Environment variables on top of the image's.",
    ),
    row(
        "container.*.env.*",
        TextOrSecret,
        Optional,
        Restart,
        "One variable. Write confidential values as `{ secret = \"NAME\" }`: what is written in place can be seen.",
    ),
    row(
        "container.*.user",
        Text(Rule::UserSpec),
        Optional,
        Restart,
        "User and group by name or number.",
    ),
    row(
        "container.*.workdir",
        Text(Rule::Path),
        Optional,
        Restart,
        "Working directory.",
    ),
    row(
        "container.*.ports",
        Texts(Rule::Port),
        Default("[]"),
        Restart,
        "Published ports, `[ADDRESS:]HOST:CONTAINER[/udp]`.",
    ),
    row(
        "container.*.mounts",
        Tables,
        Default("[]"),
        Restart,
        "What is mounted into the container.",
    ),
    row(
        "container.*.mounts[].type",
        Word(&["volume", "bind", "tmpfs"]),
        Required,
        Restart,
        "A named volume, a path of the machine, or memory.",
    ),
    row(
        "container.*.mounts[].source",
        Text(Rule::Free(4095)),
        Optional,
        Restart,
        "Name of the volume, or the machine's path. Not for `tmpfs`.",
    ),
    row(
        "container.*.mounts[].target",
        Text(Rule::Path),
        Required,
        Restart,
        "Path in the container.",
    ),
    row(
        "container.*.mounts[].read-only",
        Flag,
        Default("false"),
        Restart,
        "Mount it read-only.",
    ),
    row(
        "container.*.mounts[].size",
        Text(Rule::Size(4096)),
        Optional,
        Restart,
        "Bound of a `tmpfs`.",
    ),
    row(
        "container.*.restart",
        Word(&["always", "on-failure", "no", "unless-stopped"]),
        Default("\"always\""),
        Restart,
        "What to do when the container ends.",
    ),
    row(
        "container.*.network",
        Word(&["bridge", "none", "host"]),
        Default("\"bridge\""),
        Restart,
        "The bridge with address translation, nothing but loopback, or the machine's own network.",
    ),
    row(
        "container.*.namespaces",
        Table,
        Optional,
        Restart,
        "Namespaces shared with the machine.",
    ),
    row(
        "container.*.namespaces.pid",
        NAMESPACE,
        Default("\"private\""),
        Restart,
        "Processes.",
    ),
    row(
        "container.*.namespaces.ipc",
        NAMESPACE,
        Default("\"private\""),
        Restart,
        "System V IPC and message queues.",
    ),
    row(
        "container.*.namespaces.cgroup",
        NAMESPACE,
        Default("\"private\""),
        Restart,
        "Control groups.",
    ),
    row(
        "container.*.privileged",
        Flag,
        Default("false"),
        Restart,
        "All capabilities and devices, no confinement: as good as root of the machine.",
    ),
    row(
        "container.*.capabilities",
        Table,
        Optional,
        Restart,
        "Changes to the default capabilities.",
    ),
    row(
        "container.*.capabilities.add",
        Texts(Rule::Capability),
        Default("[]"),
        Restart,
        "Given on top of the defaults; `ALL` is all.",
    ),
    row(
        "container.*.capabilities.drop",
        Texts(Rule::Capability),
        Default("[]"),
        Restart,
        "Taken from the defaults, before `add`; `ALL` is all.",
    ),
    row(
        "container.*.read-only",
        Flag,
        Default("false"),
        Restart,
        "Root file system read-only.",
    ),
    row(
        "container.*.limits",
        Table,
        Optional,
        Restart,
        "Bounds on what the container may use.",
    ),
    row(
        "container.*.limits.memory",
        Text(Rule::Size(6 << 20)),
        Optional,
        Restart,
        "Memory.",
    ),
    row(
        "container.*.limits.cpus",
        Processors,
        Optional,
        Restart,
        "Processors, in parts if need be.",
    ),
    row(
        "container.*.limits.pids",
        Integer(1, 4_194_304),
        Optional,
        Restart,
        "Processes and threads.",
    ),
    row(
        "container.*.limits.disk",
        Text(Rule::Size(1 << 20)),
        Optional,
        Restart,
        "The container's writable layer.",
    ),
    row(
        "container.*.stop-timeout",
        Text(Rule::Span(3600)),
        Default("\"10s\""),
        Restart,
        "Time between the stop signal and the kill.",
    ),
    row("policy", Table, Optional, Reboot, "What later documents may do."),
    row(
        "policy.reapply",
        Word(&["never", "same-source", "any"]),
        Default("\"same-source\""),
        Reboot,
        "Which document found at a later boot is applied: none, a changed one from the source that gave the first, or \
         one from any source. Others are reported.",
    ),
];
