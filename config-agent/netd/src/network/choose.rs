//! Which links are ours to configure. Pure.

use keelson_netlink::Link;

/// Names the container engine and other engines give to links of their own.
const FOREIGN_PREFIXES: [&str; 5] = ["keelson", "veth", "docker", "br-", "cni"];
/// Virtual kinds that may lead to a network of the machine: a namespace's uplink, a tagged network.
const OWN_KINDS: [&str; 2] = ["veth", "vlan"];

/// True for a link that gets addresses by DHCP and router advertisements: ethernet, no port of a
/// bridge, and neither by name nor by kind one of an engine's.
pub fn decide_managed(link: &Link) -> bool {
    link.is_ethernet()
        && link.master.is_none()
        && !FOREIGN_PREFIXES.iter().any(|prefix| link.name.starts_with(prefix))
        && link.kind.as_deref().is_none_or(|kind| OWN_KINDS.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_keep_their_links() {
        let table = [
            ("eth0", None, None, true),
            ("ens3", None, None, true),
            ("eth0", Some("veth"), None, true),
            ("eth0.7", Some("vlan"), None, true),
            ("eth1", None, Some(3), false),
            ("keelson0", Some("bridge"), None, false),
            ("br0", Some("bridge"), None, false),
            ("veth12ab", Some("veth"), None, false),
            ("docker0", Some("bridge"), None, false),
            ("dummy0", Some("dummy"), None, false),
            ("mv0", Some("macvlan"), None, false),
        ];
        for (name, kind, master, expected) in table {
            let link = Link {
                name: name.into(),
                kind: kind.map(str::to_owned),
                master,
                hardware: 1,
                ..Link::default()
            };
            assert_eq!(decide_managed(&link), expected, "{name}");
        }
        let loopback = Link {
            name: "lo".into(),
            hardware: 772,
            loopback: true,
            ..Link::default()
        };
        assert!(!decide_managed(&loopback));
    }
}
