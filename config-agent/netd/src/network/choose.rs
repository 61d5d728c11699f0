//! Which links are ours to configure. Pure.

use keelson_machine_config::model::network::ENGINE_PREFIXES;
use keelson_netlink::Link;

/// Virtual kinds that may lead to a network of the machine: a namespace's uplink, a tagged network, a bond.
const OWN_KINDS: [&str; 3] = ["veth", "vlan", "bond"];

/// True for a link that a document may describe: ethernet, and neither by name nor by kind one of an engine's.
pub fn decide_ours(link: &Link) -> bool {
    link.is_ethernet()
        && !ENGINE_PREFIXES.iter().any(|prefix| link.name.starts_with(prefix))
        && link.kind.as_deref().is_none_or(|kind| OWN_KINDS.contains(&kind))
}

/// True for a link that gets addresses by DHCP and router advertisements when no document speaks of
/// networks: one of ours that is no port of a bridge and no member of a bond.
pub fn decide_managed(link: &Link) -> bool {
    decide_ours(link) && link.master.is_none()
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
