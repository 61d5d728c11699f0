//! OpenStack's `network_data.json`: links, the networks on them, and services. JSON is YAML.

use std::collections::BTreeMap;

use super::keys;
use super::reader::{Fields, Reader};
use super::v1;
use crate::diagnostic::Code;
use crate::model::network::{Link, Vlan};
use crate::schema::Rule;
use crate::value::{LINK_NAME_MAX, Name};
use crate::yaml::Node;

/// Types of links that are devices of the machine, by whatever the host makes them.
const DEVICES: [&str; 13] = [
    "phy",
    "ethernet",
    "ovs",
    "vif",
    "tap",
    "bridge",
    "dvs",
    "hyperv",
    "hw_veb",
    "vhostuser",
    "macvtap",
    "ib_hca",
    "direct",
];

pub(super) fn read(reader: &mut Reader, node: &Node<'_>) {
    let root = reader.fields(node, &keys::OPENSTACK, "");
    let links: Vec<Read<'_, '_>> = list(reader, root.get("links"), "links", &keys::OPENSTACK_LINK);
    let names = names(reader, &links);
    let mut made: BTreeMap<String, Option<Link>> = BTreeMap::new();
    for fields in &links {
        let Some(name) = id(fields).and_then(|id| names.get(&id)) else {
            continue;
        };
        let link = link(reader, fields, name, &names);
        made.insert(name.clone(), link);
    }
    for fields in list(reader, root.get("networks"), "networks", &keys::OPENSTACK_NETWORK) {
        let at = fields.path("link");
        let owner = fields
            .get("link")
            .and_then(Node::scalar)
            .map(|scalar| scalar.text.to_string());
        match owner.as_ref().and_then(|id| names.get(id)) {
            // Of a link that is refused the networks are read all the same, for the mistakes in them.
            Some(name) => match made.get_mut(name) {
                Some(Some(link)) => network(reader, &fields, name, link),
                Some(None) => network(reader, &fields, name, &mut Link::default()),
                None => {}
            },
            None if reader.broken => {}
            None => {
                let span = fields.get("link").map_or(fields.span.clone(), |node| node.span.clone());
                reader.error(
                    Code::UnknownLink,
                    &span,
                    &at,
                    "no link has this `id`",
                    "name the `id` of a link",
                );
            }
        }
    }
    for (name, link) in made {
        let (span, at) = reader.spots.at(&name, "");
        reader.add(&name, link, &span, &at);
    }
    for service in list(reader, root.get("services"), "services", &keys::OPENSTACK_SERVICE) {
        let mut link = Link::default();
        dns_service(reader, &service, "", &mut link);
        reader.dns.servers.extend(link.dns.servers);
    }
}

type Read<'n, 'd> = Fields<'n, 'd>;

fn list<'n, 'd>(
    reader: &mut Reader,
    node: Option<&'n Node<'d>>,
    at: &str,
    section: &'static keys::Section,
) -> Vec<Fields<'n, 'd>> {
    let nodes = reader.list(node, at, false);
    let fields = nodes.iter().enumerate();
    fields
        .map(|(index, node)| reader.fields(node, section, &format!("{at}[{index}]")))
        .collect()
}

fn id(fields: &Fields<'_, '_>) -> Option<String> {
    fields.get("id")?.scalar().map(|scalar| scalar.text.to_string())
}

fn kind<'n>(fields: &Fields<'n, '_>) -> &'n str {
    fields.get("type").and_then(Node::text).unwrap_or_default()
}

/// The name of each link by its id: the id where it can be one.
fn names(reader: &mut Reader, links: &[Fields<'_, '_>]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for (index, fields) in links.iter().enumerate() {
        let Some(id) = id(fields) else {
            if !reader.broken {
                let message = format!("`{}` has no `id`", fields.at);
                reader.error(Code::MissingKey, &fields.span, &fields.at, message, "add `id`");
            }
            continue;
        };
        let kind = kind(fields);
        let most = if matches!(kind, "vlan" | "bond") {
            LINK_NAME_MAX
        } else {
            63
        };
        let fits = id.len() <= most && crate::check::string::link_name(&id).is_ok();
        let name = if fits {
            id.clone()
        } else {
            format!("{}{index}", if kind.is_empty() { "link" } else { kind })
        };
        reader.spot(&name, "", &fields.span, &fields.at);
        names.insert(id, name);
    }
    names
}

/// A link; None when it is reported.
fn link(reader: &mut Reader, fields: &Fields<'_, '_>, name: &str, names: &BTreeMap<String, String>) -> Option<Link> {
    let mut link = Link {
        accept_ra: false,
        ..Link::default()
    };
    let mac_at = fields.path("ethernet_mac_address");
    let mac_node = fields.get("ethernet_mac_address");
    let mac = mac_node.and_then(|node| reader.parse(node, Rule::Mac, &mac_at));
    reader.mtu(name, &mut link, fields.get("mtu"), &fields.path("mtu"));
    match kind(fields) {
        "vlan" => {
            let at = fields.path("vlan_mac_address");
            link.mac = fields
                .get("vlan_mac_address")
                .and_then(|node| reader.parse(node, Rule::Mac, &at))
                .or(mac);
            let id = reader.number(fields.get("vlan_id"), &fields.path("vlan_id"), (1, 4094));
            let lower = reference(reader, fields.get("vlan_link"), &fields.path("vlan_link"), names);
            if (fields.get("vlan_id").is_none() || fields.get("vlan_link").is_none()) && !reader.broken {
                let message = format!("`{}` has no `vlan_id` or no `vlan_link`", fields.at);
                reader.error(Code::MissingKey, &fields.span, &fields.at, message, "add it");
            }
            link.vlan = Some(Vlan {
                id: u16::try_from(id?).ok()?,
                link: lower?,
            });
        }
        "bond" => {
            link.mac = mac;
            let at = fields.path("bond_links");
            let nodes = reader.list(fields.get("bond_links"), &at, false);
            let members = nodes
                .iter()
                .filter_map(|node| reference(reader, Some(node), &at, names))
                .collect();
            let mode = reader.mode(fields.get("bond_mode"), &fields.path("bond_mode"));
            let mut bond = Reader::bond(members, mode);
            let interval = reader.interval(fields.get("bond_miimon"), &fields.path("bond_miimon"));
            bond.miimon = interval.filter(|span| !span.0.is_zero()).unwrap_or(bond.miimon);
            let policy = fields.path("bond_xmit_hash_policy");
            bond.hash_policy = reader
                .hash_policy(fields.get("bond_xmit_hash_policy"), &policy)
                .unwrap_or_default();
            link.bond = Some(bond);
        }
        kind if DEVICES.contains(&kind) => {
            if mac_node.is_none() && !reader.broken {
                let message = format!("`{}` has no `ethernet_mac_address`", fields.at);
                let cure = "add it: a device is known by nothing else";
                reader.error(Code::MissingKey, &fields.span, &fields.at, message, cure);
            }
            link.matches.mac = mac;
            mac?;
        }
        _ if reader.broken => {}
        _ => {
            let span = fields.get("type").map_or(fields.span.clone(), |node| node.span.clone());
            let message = "this type of a link is not known";
            reader.error(
                Code::Unsupported,
                &span,
                &fields.path("type"),
                message,
                "possible are phy, vlan, bond and vif types",
            );
            return None;
        }
    }
    Some(link)
}

/// The name of the link that an id stands for.
fn reference(reader: &mut Reader, node: Option<&Node<'_>>, at: &str, names: &BTreeMap<String, String>) -> Option<Name> {
    let node = node?;
    let id = node.scalar().map(|scalar| scalar.text.to_string()).unwrap_or_default();
    let name = names.get(&id).and_then(|name| name.parse().ok());
    if name.is_none() && !reader.broken {
        let message = format!("no link has the id {id:?}");
        reader.error(Code::UnknownLink, &node.span, at, message, "name the `id` of a link");
    }
    name
}

fn network(reader: &mut Reader, fields: &Fields<'_, '_>, name: &str, link: &mut Link) {
    match kind(fields) {
        "ipv4_dhcp" => link.dhcp4 = true,
        "ipv6_slaac" => link.accept_ra = true,
        text @ ("ipv6_dhcp" | "ipv6_dhcpv6-stateful" | "ipv6_dhcpv6-stateless") => {
            link.accept_ra = true;
            let span = fields.get("type").map(|node| node.span.clone()).unwrap_or_default();
            let message = format!("{text}: there is no DHCPv6 client; IPv6 addresses come from router advertisements");
            reader.note(&span, &fields.path("type"), message);
        }
        "ipv4" | "ipv6" => {
            v1::static_address(reader, name, link, fields, "ip_address");
            v1::gateway(reader, name, link, fields);
        }
        _ if reader.broken => {}
        _ => {
            let span = fields.get("type").map_or(fields.span.clone(), |node| node.span.clone());
            let cure = "possible are ipv4, ipv4_dhcp, ipv6, ipv6_slaac, ipv6_dhcp, ipv6_dhcpv6-stateful";
            reader.error(
                Code::BadWord,
                &span,
                &fields.path("type"),
                "this is no type of a network",
                cure,
            );
        }
    }
    let at = fields.path("routes");
    for (index, node) in reader.list(fields.get("routes"), &at, false).iter().enumerate() {
        let at = format!("{at}[{index}]");
        let fields = reader.fields(node, &keys::OPENSTACK_ROUTE, &at);
        let Some(route) = v1::route_of(reader, &fields, "network") else {
            continue;
        };
        // The gateway of a network stands here as a route as well.
        if !(route.to == crate::value::Destination::Default && link.gateways.iter().any(|ip| Some(*ip) == route.via)) {
            reader.route(name, link, route, &node.span, &at);
        }
    }
    reader.servers(
        name,
        link,
        fields.get("dns_nameservers"),
        &fields.path("dns_nameservers"),
    );
    reader.search(link, fields.get("dns_search"), &fields.path("dns_search"));
    for service in list(
        reader,
        fields.get("services"),
        &fields.path("services"),
        &keys::OPENSTACK_SERVICE,
    ) {
        dns_service(reader, &service, name, link);
    }
}

fn dns_service(reader: &mut Reader, fields: &Fields<'_, '_>, name: &str, link: &mut Link) {
    match kind(fields) {
        "dns" => reader.servers(name, link, fields.get("address"), &fields.path("address")),
        other => {
            let span = fields.get("type").map_or(fields.span.clone(), |node| node.span.clone());
            reader.note(
                &span,
                &fields.path("type"),
                format!("the service {other:?} is not used"),
            );
        }
    }
}
