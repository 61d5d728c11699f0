//! The engine's nftables table, as transactions. Pure: builds batches, sends nothing.
//!
//! One `inet` table. Published ports are elements of four maps, so that publishing one is one
//! message, whatever else is published. Closed by default: nothing is forwarded to a container but
//! what was translated for it and answers, containers reach neither `127.0.0.0/8` of the host nor
//! the addresses where clouds serve user data.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use keelson_netlink::nft::{
    Batch, Chain, Data, DataType, Element, Family, Field, Hook, Nat, Policy, Rule, Set, ct_state, ct_status, priority,
};

use super::ipam::Subnets;
use crate::engine::record::Endpoint;
use crate::engine::request::{Protocol, Publish};

/// Name of the table.
pub const TABLE: &str = "keelson_engine";

/// Ports on every address of the host.
const ANY4: &str = "ports4";
const ANY6: &str = "ports6";
/// Ports on one address of the host.
const ONE4: &str = "ports4_on";
const ONE6: &str = "ports6_on";

const LOOPBACK: &str = "lo";

/// Where clouds answer with user data, which holds secrets: AWS, GCP, Azure and most others by
/// IPv4 link-local, and the three that have an IPv6 address of their own. IPv6 link-local addresses are not forwarded.
const METADATA4: (Ipv4Addr, u8) = (Ipv4Addr::new(169, 254, 0, 0), 16);
const METADATA6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254),
    Ipv6Addr::new(0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254),
];

/// Everything, in place of whatever was there: table, chains, maps and all published ports.
pub fn plan_table(bridge: &str, subnets: &Subnets, endpoints: &[Endpoint]) -> Batch {
    let mut batch = Batch::new(Family::Inet, TABLE);
    batch.destroy_table().add_table();
    for (name, key, value) in maps() {
        batch.add_set(&Set::map(name, key, value));
    }
    add_raw(&mut batch, bridge, subnets);
    add_translation(&mut batch);
    add_masquerade(&mut batch, bridge, subnets);
    add_forward(&mut batch, bridge);
    for endpoint in endpoints {
        for (map, element) in plan_elements(endpoint) {
            batch.add_elements(map, &[element]);
        }
    }
    batch
}

/// The messages that publish an endpoint's ports.
pub fn plan_publish(endpoint: &Endpoint) -> Batch {
    let mut batch = Batch::new(Family::Inet, TABLE);
    for (map, element) in plan_elements(endpoint) {
        batch.add_elements(map, &[element]);
    }
    batch
}

/// The messages that take them back.
pub fn plan_unpublish(endpoint: &Endpoint) -> Batch {
    let mut batch = Batch::new(Family::Inet, TABLE);
    for (map, element) in plan_elements(endpoint) {
        batch.destroy_elements(map, &[element]);
    }
    batch
}

type Types = &'static [DataType];

fn maps() -> [(&'static str, Types, Types); 4] {
    use DataType::{Ipv4, Ipv6, Port, Protocol};
    [
        (ANY4, &[Protocol, Port], &[Ipv4, Port]),
        (ANY6, &[Protocol, Port], &[Ipv6, Port]),
        (ONE4, &[Ipv4, Protocol, Port], &[Ipv4, Port]),
        (ONE6, &[Ipv6, Protocol, Port], &[Ipv6, Port]),
    ]
}

/// Before anything else is decided about a packet: no one from outside speaks to a container's
/// address, and no one but the host itself to 127.0.0.0/8 (which `route_localnet` on the bridge
/// would otherwise allow).
fn add_raw(batch: &mut Batch, bridge: &str, subnets: &Subnets) {
    let localhost = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0));
    batch.add_chain(&Chain::base("raw", "filter", Hook::Prerouting, priority::RAW));
    batch.add_rule(
        "raw",
        Rule::new()
            .differs(Field::InName, LOOPBACK)
            .family(Family::Ipv4)
            .in_network(Field::Ipv4Destination, localhost, 8)
            .drop()
            .comment("the host's own loopback"),
    );
    let outside = || {
        Rule::new()
            .differs(Field::InName, LOOPBACK)
            .differs(Field::InName, bridge)
    };
    batch.add_rule(
        "raw",
        outside()
            .family(Family::Ipv4)
            .in_network(Field::Ipv4Destination, subnets.net4.into(), subnets.prefix4)
            .drop()
            .comment("container addresses from outside"),
    );
    batch.add_rule(
        "raw",
        outside()
            .family(Family::Ipv6)
            .in_network(Field::Ipv6Destination, subnets.net6.into(), subnets.prefix6)
            .drop()
            .comment("container addresses from outside"),
    );
}

/// Published ports, for what comes in and for what the host itself sends.
fn add_translation(batch: &mut Batch) {
    for (chain, hook) in [("ports-in", Hook::Prerouting), ("ports-out", Hook::Output)] {
        batch.add_chain(&Chain::base(chain, "nat", hook, priority::DNAT));
        for (family, address, one, any) in [
            (Family::Ipv4, Field::Ipv4Destination, ONE4, ANY4),
            (Family::Ipv6, Field::Ipv6Destination, ONE6, ANY6),
        ] {
            // `[::1]` cannot be led on: the engine listens there (`held.rs`).
            let local = || match family {
                Family::Ipv6 => Rule::new()
                    .family(family)
                    .differs(Field::Ipv6Destination, Ipv6Addr::LOCALHOST)
                    .to_local(),
                _ => Rule::new().family(family).to_local(),
            };
            let port = [Field::Protocol, Field::PortDestination];
            let with_address = [address, Field::Protocol, Field::PortDestination];
            let nat = Nat::Destination;
            batch.add_rule(chain, local().nat_map(nat, family, &with_address, one, true));
            batch.add_rule(chain, local().nat_map(nat, family, &port, any, true));
        }
    }
}

fn add_masquerade(batch: &mut Batch, bridge: &str, subnets: &Subnets) {
    let chain = "masquerade";
    batch.add_chain(&Chain::base(chain, "nat", Hook::Postrouting, priority::SNAT));
    let hairpin = Rule::new().equals(Field::InName, bridge).equals(Field::OutName, bridge);
    batch.add_rule(
        chain,
        hairpin
            .any_bits(Field::CtStatus, ct_status::DNAT)
            .masquerade()
            .comment("a container to its own published port"),
    );
    batch.add_rule(
        chain,
        Rule::new()
            .equals(Field::OutName, bridge)
            .from_local()
            .masquerade()
            .comment("the host to a published port"),
    );
    let leaving = || Rule::new().differs(Field::OutName, bridge);
    let (net4, net6) = (subnets.net4.into(), subnets.net6.into());
    batch.add_rule(
        chain,
        leaving()
            .family(Family::Ipv4)
            .in_network(Field::Ipv4Source, net4, subnets.prefix4)
            .masquerade(),
    );
    batch.add_rule(
        chain,
        leaving()
            .family(Family::Ipv6)
            .in_network(Field::Ipv6Source, net6, subnets.prefix6)
            .masquerade(),
    );
}

fn add_forward(batch: &mut Batch, bridge: &str) {
    let chain = "forward";
    let base = Chain::base(chain, "filter", Hook::Forward, priority::FILTER);
    batch.add_chain(&base.policy(Policy::Drop));
    let from_bridge = || Rule::new().equals(Field::InName, bridge);
    let (metadata4, prefix4) = METADATA4;
    batch.add_rule(
        chain,
        from_bridge()
            .family(Family::Ipv4)
            .in_network(Field::Ipv4Destination, metadata4.into(), prefix4)
            .drop()
            .comment("metadata services"),
    );
    for address in METADATA6 {
        let rule = from_bridge()
            .family(Family::Ipv6)
            .equals(Field::Ipv6Destination, address);
        batch.add_rule(chain, rule.drop().comment("metadata services"));
    }
    let known = ct_state::ESTABLISHED | ct_state::RELATED;
    batch.add_rule(chain, Rule::new().any_bits(Field::CtState, known).accept());
    batch.add_rule(chain, Rule::new().any_bits(Field::CtState, ct_state::INVALID).drop());
    batch.add_rule(chain, from_bridge().accept().comment("containers outward"));
    batch.add_rule(
        chain,
        Rule::new()
            .equals(Field::OutName, bridge)
            .any_bits(Field::CtStatus, ct_status::DNAT)
            .accept()
            .comment("published ports"),
    );
}

/// The map elements of an endpoint's ports.
fn plan_elements(endpoint: &Endpoint) -> Vec<(&'static str, Element)> {
    endpoint
        .published
        .iter()
        .flat_map(|publish| plan_one(endpoint, publish))
        .collect()
}

fn plan_one(endpoint: &Endpoint, publish: &Publish) -> Vec<(&'static str, Element)> {
    let protocol: u8 = match publish.container.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    };
    let port = || [Data::from(protocol), Data::from(publish.host_port)];
    let target = |address: IpAddr| Data::concat([Data::from(address), Data::from(publish.container.port)]);
    let (ip4, ip6) = (IpAddr::V4(endpoint.ip4), IpAddr::V6(endpoint.ip6));
    let any = |map, address| (map, Element::key(Data::concat(port())).value(target(address)));
    let one = |map, host: IpAddr, address| {
        let key = Data::concat([Data::from(host)].into_iter().chain(port()));
        (map, Element::key(key).value(target(address)))
    };
    match publish.host_ip {
        None => vec![any(ANY4, ip4), any(ANY6, ip6)],
        Some(host @ IpAddr::V4(_)) if host.is_unspecified() => vec![any(ANY4, ip4)],
        Some(host @ IpAddr::V4(_)) => vec![one(ONE4, host, ip4)],
        Some(host @ IpAddr::V6(_)) if host.is_unspecified() => vec![any(ANY6, ip6)],
        Some(host @ IpAddr::V6(_)) => vec![one(ONE6, host, ip6)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::request::ContainerPort;

    fn endpoint(host_ip: Option<&str>) -> Endpoint {
        let container = ContainerPort {
            port: 80,
            protocol: Protocol::Tcp,
        };
        let host_ip = host_ip.map(|ip| ip.parse().unwrap());
        Endpoint {
            ip4: Ipv4Addr::new(172, 30, 0, 2),
            ip6: "fd00::2".parse().unwrap(),
            mac: [2, 0x42, 172, 30, 0, 2],
            published: vec![Publish {
                host_ip,
                host_port: 8080,
                container,
            }],
        }
    }

    #[test]
    fn a_port_goes_into_the_map_of_its_address() {
        let table: [(Option<&str>, &[&str]); 5] = [
            (None, &[ANY4, ANY6]),
            (Some("0.0.0.0"), &[ANY4]),
            (Some("127.0.0.1"), &[ONE4]),
            (Some("::"), &[ANY6]),
            (Some("::1"), &[ONE6]),
        ];
        for (host, want) in table {
            let maps: Vec<&str> = plan_elements(&endpoint(host)).into_iter().map(|(map, _)| map).collect();
            assert_eq!(maps, want, "{host:?}");
        }
    }

    #[test]
    fn nothing_published_is_nothing_to_send() {
        let quiet = Endpoint {
            published: vec![],
            ..endpoint(None)
        };
        assert!(plan_publish(&quiet).is_empty());
        assert!(!plan_publish(&endpoint(None)).is_empty());
    }
}
