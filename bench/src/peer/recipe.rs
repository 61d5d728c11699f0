//! What a peer is made of: packages, and the few files that start a container and mark milestones on the console.

use std::fmt::Write as _;

use keelson_os_build::digest::{hex, sha256};

use super::IMAGE;

/// A system that Keelson is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Debian, systemd and podman with crun.
    Podman,
    /// Debian, systemd and docker.
    Docker,
    /// Both engines and no more than they need: the tree that the engines' race runs in.
    Engines,
}

/// Packages every peer has: what a server without its engine needs.
const BASE: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "systemd-resolved",
    "udev",
    "dbus",
    "libpam-systemd",
    "iproute2",
    "nftables",
    "iptables",
    "procps",
    "ca-certificates",
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
];
/// What engines need that run in a tree that never boots.
const BARE: &[&str] = &["ca-certificates", "iproute2", "iptables", "nftables", "procps"];
const PODMAN: &[&str] = &["podman", "crun", "netavark", "aardvark-dns"];
const DOCKER: &[&str] = &["docker.io", "docker-cli", "containerd", "runc"];

/// Milestones of the initramfs are told by scripts in the places that initramfs-tools has for them.
const IN_INITRAMFS: &str = "#!/bin/sh\n[ \"$1\" = prereqs ] && exit 0\necho 'bench: initramfs' > /dev/console\n";
const BEFORE_ROOT: &str = "#!/bin/sh\n[ \"$1\" = prereqs ] && exit 0\necho 'bench: real root' > /dev/console\n";
const NETWORK: &str = "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n";
const UP: &str = "[Unit]\nAfter=multi-user.target\n\n[Service]\nType=oneshot\n\
    ExecStart=/bin/sh -c \"echo 'bench: up' > /dev/ttyS0\"\n\n[Install]\nWantedBy=graphical.target multi-user.target\n";
/// Exists once the image is in the engine's store.
const IMPORTED: &str = "/var/lib/bench/imported";

/// A file laid into the tree.
#[derive(Debug, Clone)]
pub struct Laid {
    /// Absolute path.
    pub path: String,
    /// Content.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

impl Peer {
    /// Short name, for files and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Podman => "podman",
            Peer::Docker => "docker",
            Peer::Engines => "engines",
        }
    }

    /// Name for people.
    pub fn title(self) -> &'static str {
        match self {
            Peer::Podman => "Debian 13 + podman",
            Peer::Docker => "Debian 13 + docker",
            Peer::Engines => "Debian 13 + all engines",
        }
    }

    /// Packages by name.
    pub fn packages(self) -> Vec<&'static str> {
        let engine: &[&[&str]] = match self {
            Peer::Podman => &[PODMAN],
            Peer::Docker => &[DOCKER],
            Peer::Engines => &[PODMAN, DOCKER],
        };
        let base = if self.boots() { BASE } else { BARE };
        base.iter().chain(engine.iter().copied().flatten()).copied().collect()
    }

    /// Whether a disk is made of it.
    pub fn boots(self) -> bool {
        self != Peer::Engines
    }

    /// Units to enable, beside those that packages enable themselves.
    pub fn enabled(self) -> &'static [&'static str] {
        &[
            "systemd-networkd.service",
            "systemd-resolved.service",
            "bench-import.service",
            "bench-first.service",
            "bench-web.service",
            "bench-up.service",
        ]
    }

    /// Periodic work of the distribution, which would disturb a measurement.
    pub fn masked(self) -> &'static [&'static str] {
        &[
            "apt-daily.timer",
            "apt-daily-upgrade.timer",
            "dpkg-db-backup.timer",
            "e2scrub_all.timer",
            "e2scrub_reap.service",
            "fstrim.timer",
        ]
    }

    fn client(self) -> (&'static str, &'static str) {
        match self {
            Peer::Docker => ("/usr/bin/docker", "docker.service"),
            Peer::Podman | Peer::Engines => ("/usr/bin/podman", "network.target"),
        }
    }
}

/// The files laid over the packages.
pub fn overlay(peer: Peer, image: Vec<u8>) -> Vec<Laid> {
    if !peer.boots() {
        return Vec::new();
    }
    let text = |path: &str, content: String, mode| Laid {
        path: path.to_owned(),
        content: content.into_bytes(),
        mode,
    };
    let mut laid = vec![
        text(
            "/etc/initramfs-tools/scripts/init-top/bench",
            IN_INITRAMFS.into(),
            0o755,
        ),
        text(
            "/etc/initramfs-tools/scripts/init-bottom/bench",
            BEFORE_ROOT.into(),
            0o755,
        ),
        text("/etc/systemd/network/80-dhcp.network", NETWORK.into(), 0o644),
        text("/etc/hostname", format!("{}\n", peer.name()), 0o644),
        text("/etc/fstab", String::new(), 0o644),
        Laid {
            path: "/var/lib/bench/image.tar".into(),
            content: image,
            mode: 0o644,
        },
    ];
    laid.extend(units(peer).map(|(name, unit)| text(&format!("/etc/systemd/system/{name}"), unit, 0o644)));
    laid
}

/// Units of a boot race: import once and power off, then at every boot the first container and a web server.
fn units(peer: Peer) -> [(&'static str, String); 4] {
    let (client, after) = peer.client();
    let run = format!("{client} run --rm");
    [
        (
            "bench-import.service",
            unit(
                &format!("After={after} multi-user.target\nConditionPathExists=!{IMPORTED}"),
                &[
                    &format!("{client} load -i /var/lib/bench/image.tar"),
                    &format!("/usr/bin/touch {IMPORTED}"),
                    "/usr/bin/rm /var/lib/bench/image.tar",
                    "/bin/sh -c \"echo 'bench: imported' > /dev/ttyS0\"",
                    "/usr/bin/systemctl poweroff --no-block",
                ],
            ),
        ),
        (
            "bench-first.service",
            unit(
                &format!("After={after}\nConditionPathExists={IMPORTED}"),
                &[&format!(
                    "{run} --network=none --device /dev/ttyS0 {IMAGE} /probe mark /dev/ttyS0 'bench: first container'"
                )],
            ),
        ),
        (
            "bench-web.service",
            unit(
                &format!("After={after}\nConditionPathExists={IMPORTED}"),
                &[&format!("{run} -p 80:80 {IMAGE} /probe serve 80")],
            )
            .replace("Type=oneshot", "Type=simple"),
        ),
        ("bench-up.service", UP.into()),
    ]
}

fn unit(head: &str, commands: &[&str]) -> String {
    let mut text = format!("[Unit]\n{head}\n\n[Service]\nType=oneshot\nTimeoutStartSec=600\n");
    for command in commands {
        let _ = writeln!(text, "ExecStart={command}");
    }
    text + "\n[Install]\nWantedBy=multi-user.target\n"
}

/// What tells one recipe's result from another's.
pub fn fingerprint(peer: Peer, overlay: &[Laid]) -> String {
    let mut text = format!("{:?} {:?} {:?}", peer.packages(), peer.enabled(), peer.masked());
    for laid in overlay {
        let digest = hex(&sha256(&laid.content));
        let _ = write!(text, " {} {:o} {digest}", laid.path, laid.mode);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_race_runs_the_same_two_containers_on_every_peer() {
        for peer in [Peer::Podman, Peer::Docker] {
            let [_, (_, first), (_, web), _] = units(peer);
            assert!(first.contains("--network=none"), "{first}");
            assert!(first.contains("/probe mark /dev/ttyS0"), "{first}");
            assert!(web.contains("-p 80:80"), "{web}");
            assert!(web.contains("Type=simple"), "a server never ends: {web}");
        }
    }

    #[test]
    fn another_file_makes_another_recipe() {
        let laid = |content: &str| Laid {
            path: "/x".into(),
            content: content.into(),
            mode: 0o644,
        };
        let of = |content: &str| fingerprint(Peer::Docker, &[laid(content)]);
        assert_ne!(of("a"), of("b"));
        assert_eq!(of("a"), of("a"));
    }
}
