//! Version 1: a list of things of many types.

use super::keys::{self, Section};
use super::links::joined;
use super::reader::{Fields, Reader};
use crate::Fate;
use crate::diagnostic::Code;
use crate::model::network::{Bond, LacpRate, Link, StaticRoute, Vlan};
use crate::schema::Rule;
use crate::value::{Destination, Name};
use crate::yaml::Node;

/// Reads it; false when it says that nothing is to be set up.
pub(super) fn read(reader: &mut Reader, node: &Node<'_>) -> bool {
    let root = reader.fields(node, &keys::V1, "");
    let Some(config) = root.get("config") else {
        if !reader.broken {
            let message = "the configuration has no `config`";
            reader.error(
                Code::MissingKey,
                &root.span,
                "config",
                message,
                "add `config`, a list of links",
            );
        }
        return true;
    };
    if config.text() == Some("disabled") {
        reader.note(
            &config.span,
            "config",
            "`disabled`: links are asked for addresses as without a configuration",
        );
        return false;
    }
    let items = reader.list(Some(config), "config", false);
    // Links first: routes and name servers by themselves belong to one.
    let mut later = Vec::new();
    for (index, node) in items.iter().enumerate() {
        let at = format!("config[{index}]");
        match kind(reader, node, &at).as_deref() {
            Some("physical") => link(reader, node, &keys::V1_PHYSICAL, &at),
            Some("vlan") => link(reader, node, &keys::V1_VLAN, &at),
            Some("bond") => link(reader, node, &keys::V1_BOND, &at),
            Some("loopback") => drop(reader.fields(node, &keys::V1_LOOPBACK, &at)),
            Some(kind @ ("nameserver" | "route")) => later.push((kind.to_owned(), node, at)),
            Some(_) | None => {}
        }
    }
    for (kind, node, at) in later {
        match kind.as_str() {
            "nameserver" => nameserver(reader, node, &at),
            _ => lone_route(reader, node, &at),
        }
    }
    true
}

/// The type of an entry; None for one that is reported.
fn kind(reader: &mut Reader, node: &Node<'_>, at: &str) -> Option<String> {
    let known = ["physical", "vlan", "bond", "loopback", "nameserver", "route"];
    let Some(map) = node.map() else {
        reader.wrong_type(node, at, "a map");
        return None;
    };
    let entry = map.get("type");
    let text = entry.and_then(|entry| entry.value.text());
    if let Some(text) = text.filter(|text| known.contains(text)) {
        return Some(text.to_owned());
    }
    reader.settle_inside(node, Fate::Refused);
    let (span, message, cure) = match (entry, text) {
        (None, _) if reader.broken => return None,
        (Some(entry), Some(text @ ("bridge" | "infiniband"))) => {
            let message = format!("the type {text:?} is not supported");
            let cure = "put the addresses on the link itself; containers have bridges of their own";
            (entry.value.span.clone(), message, cure)
        }
        (Some(entry), _) => {
            let message = "this type is not known".to_owned();
            let cure = "possible are physical, vlan, bond, loopback, nameserver, route";
            (entry.value.span.clone(), message, cure)
        }
        (None, _) => (
            node.span.clone(),
            format!("`{at}` has no `type`"),
            "add `type: physical`",
        ),
    };
    let code = if entry.is_some() {
        Code::Unsupported
    } else {
        Code::MissingKey
    };
    reader.error(code, &span, &format!("{at}.type"), message, cure);
    None
}

fn link(reader: &mut Reader, node: &Node<'_>, section: &'static Section, at: &str) {
    let fields = reader.fields(node, section, at);
    let Some(name_node) = fields.get("name") else {
        if !reader.broken {
            let message = format!("`{at}` has no `name`");
            reader.error(Code::MissingKey, &node.span, at, message, "add `name`");
        }
        return;
    };
    let Some(name) = reader.parse::<Name>(name_node, Rule::LinkName, &fields.path("name")) else {
        return;
    };
    let name = name.as_str();
    let mut link = Link::default();
    if let Some(node) = fields.get("mac_address") {
        let mac = reader.parse(node, Rule::Mac, &fields.path("mac_address"));
        match section.path {
            // Of a device it is the condition, of what is made it is the wish.
            path if path == keys::V1_PHYSICAL.path => link.matches.mac = mac,
            _ => link.mac = mac,
        }
        reader.spot(name, "match.mac", &node.span, &fields.path("mac_address"));
    }
    reader.mtu(name, &mut link, fields.get("mtu"), &fields.path("mtu"));
    link.accept_ra = reader
        .flag(fields.get("accept-ra"), &fields.path("accept-ra"))
        .unwrap_or(true);
    let mut readable = true;
    if section.path == keys::V1_VLAN.path {
        link.vlan = vlan(reader, name, &fields);
        readable = link.vlan.is_some();
    }
    if section.path == keys::V1_BOND.path {
        link.bond = Some(bond(reader, name, &fields));
    }
    let subnets = fields.path("subnets");
    for (index, node) in reader.list(fields.get("subnets"), &subnets, false).iter().enumerate() {
        subnet(reader, name, &mut link, node, &format!("{subnets}[{index}]"));
    }
    reader.add(name, readable.then_some(link), &name_node.span, at);
}

fn subnet(reader: &mut Reader, name: &str, link: &mut Link, node: &Node<'_>, at: &str) {
    let fields = reader.fields(node, &keys::V1_SUBNET, at);
    let kind = fields.get("type");
    match kind.and_then(Node::text) {
        Some("dhcp" | "dhcp4") => link.dhcp4 = true,
        Some(text @ ("dhcp6" | "ipv6_dhcpv6-stateful" | "ipv6_dhcpv6-stateless")) => {
            link.accept_ra = true;
            let message = format!("{text}: there is no DHCPv6 client; IPv6 addresses come from router advertisements");
            reader.note(
                &kind.map(|node| node.span.clone()).unwrap_or_default(),
                &fields.path("type"),
                message,
            );
        }
        Some("ipv6_slaac") => link.accept_ra = true,
        Some("manual") => {}
        Some("static" | "static6") => static_address(reader, name, link, &fields, "address"),
        _ if reader.broken => {}
        _ => {
            let span = kind.map_or(node.span.clone(), |node| node.span.clone());
            let cure = "possible are dhcp, dhcp4, dhcp6, static, static6, ipv6_slaac, manual";
            reader.error(
                Code::BadWord,
                &span,
                &fields.path("type"),
                "this is no type of a subnet",
                cure,
            );
        }
    }
    link.metric = reader
        .number(fields.get("metric"), &fields.path("metric"), (1, u32::MAX))
        .or(link.metric);
    gateway(reader, name, link, &fields);
    reader.servers(
        name,
        link,
        fields.get("dns_nameservers"),
        &fields.path("dns_nameservers"),
    );
    reader.search(link, fields.get("dns_search"), &fields.path("dns_search"));
    let routes = fields.path("routes");
    for (index, node) in reader.list(fields.get("routes"), &routes, false).iter().enumerate() {
        let at = format!("{routes}[{index}]");
        if let Some(found) = route(reader, node, &at) {
            reader.route(name, link, found, &node.span, &at);
        }
    }
}

/// An address whose mask may stand apart.
pub(super) fn static_address(reader: &mut Reader, name: &str, link: &mut Link, fields: &Fields<'_, '_>, key: &str) {
    let at = fields.path(key);
    let Some(node) = fields.get(key) else {
        if !reader.broken {
            let message = format!("`{}` has no `{key}`", fields.at);
            reader.error(
                Code::MissingKey,
                &fields.span,
                &fields.at,
                message,
                &format!("add `{key}`"),
            );
        }
        return;
    };
    let mask = fields
        .get("netmask")
        .and_then(Node::scalar)
        .map(|scalar| scalar.text.as_ref());
    let address = node.scalar().map(|scalar| scalar.text.as_ref()).unwrap_or_default();
    match joined(address, mask) {
        Some(text) => reader.address(name, link, &text, &node.span, &at),
        // The mask is wrong, or there is none: the error about the address says what is needed.
        None => match (fields.get("netmask"), mask) {
            (Some(node), Some(_)) => {
                let cure = "write 255.255.255.0, or the number of bits";
                reader.error(
                    Code::BadValue,
                    &node.span,
                    &fields.path("netmask"),
                    "this is no network mask",
                    cure,
                );
            }
            _ => reader.address(name, link, address, &node.span, &at),
        },
    }
}

/// The gateway of a subnet.
pub(super) fn gateway(reader: &mut Reader, name: &str, link: &mut Link, fields: &Fields<'_, '_>) {
    let at = fields.path("gateway");
    let Some(node) = fields.get("gateway") else { return };
    if let Some(ip) = reader.ip(Some(node), &at) {
        reader.gateway(name, link, ip, &node.span, &at);
    }
}

fn route(reader: &mut Reader, node: &Node<'_>, at: &str) -> Option<StaticRoute> {
    let fields = reader.fields(node, &keys::V1_ROUTE, at);
    let key = if fields.get("destination").is_some() {
        "destination"
    } else {
        "network"
    };
    route_of(reader, &fields, key)
}

/// A route whose destination stands at `key` and whose mask may stand apart.
pub(super) fn route_of(reader: &mut Reader, fields: &Fields<'_, '_>, key: &str) -> Option<StaticRoute> {
    let via = reader.ip(fields.get("gateway"), &fields.path("gateway"));
    let metric = match fields.has("metric") {
        true => reader
            .number(fields.get("metric"), &fields.path("metric"), (0, u32::MAX))
            .filter(|m| *m > 0),
        false => None,
    };
    let Some(node) = fields.get(key) else {
        if !reader.broken {
            let message = format!("`{}` does not say where it leads", fields.at);
            reader.error(
                Code::MissingKey,
                &fields.span,
                &fields.at,
                message,
                "add `destination`, a network",
            );
        }
        return None;
    };
    let mask = match fields.has("prefix") {
        true => fields.get("netmask").or_else(|| fields.get("prefix")),
        false => fields.get("netmask"),
    };
    let mask = mask.and_then(Node::scalar).map(|scalar| scalar.text.as_ref());
    let text = node.scalar().map(|scalar| scalar.text.as_ref()).unwrap_or_default();
    let whole = if text.contains(':') { "128" } else { "32" };
    let to = match (text, joined(text, mask.or(Some(whole)))) {
        ("default", _) => Some(Destination::Default),
        (_, Some(joined)) if joined == "0.0.0.0/0" || joined == "::/0" => Some(Destination::Default),
        (_, joined) => {
            let text = joined.unwrap_or_else(|| text.to_owned());
            reader.parse_text(&text, &node.span, Rule::Destination, &fields.path(key))
        }
    };
    Some(StaticRoute {
        to: to?,
        via,
        metric,
        on_link: false,
    })
}

/// A route by itself belongs to the link that reaches its gateway.
fn lone_route(reader: &mut Reader, node: &Node<'_>, at: &str) {
    let Some(found) = route(reader, node, at) else { return };
    let holds = |link: &Link| {
        found
            .via
            .is_some_and(|via| link.addresses.iter().any(|address| address.holds(via)))
    };
    let owner = reader.links.iter().find(|(_, link)| link.as_ref().is_some_and(holds));
    let Some(name) = owner.map(|(name, _)| name.clone()) else {
        let message = "no link reaches the gateway of this route";
        let cure = "write the route under the `subnets` of a link";
        reader.error(Code::Contradiction, &node.span, at, message, cure);
        return;
    };
    if let Some(Some(mut link)) = reader.links.remove(&name) {
        reader.route(&name, &mut link, found, &node.span, at);
        reader.links.insert(name, Some(link));
    }
}

/// Name servers by themselves are the machine's, or one link's.
fn nameserver(reader: &mut Reader, node: &Node<'_>, at: &str) {
    let fields = reader.fields(node, &keys::V1_NAMESERVER, at);
    let mut link = Link::default();
    let interface = fields.get("interface");
    let owner = interface.and_then(|node| reader.parse::<Name>(node, Rule::LinkName, &fields.path("interface")));
    if let (Some(node), Some(name)) = (interface, &owner)
        && !reader.links.contains_key(name.as_str())
    {
        let message = format!("no link is called {:?}", name.as_str());
        reader.error(
            Code::UnknownLink,
            &node.span,
            &fields.path("interface"),
            message,
            "name a link of this list",
        );
        return;
    }
    let name = owner.as_ref().map_or("", Name::as_str);
    reader.servers(name, &mut link, fields.get("address"), &fields.path("address"));
    reader.search(&mut link, fields.get("search"), &fields.path("search"));
    let dns = match reader.links.get_mut(name) {
        Some(Some(link)) => &mut link.dns,
        Some(None) => return,
        None => &mut reader.dns,
    };
    dns.servers.extend(link.dns.servers);
    dns.search.extend(link.dns.search);
}

fn vlan(reader: &mut Reader, name: &str, fields: &Fields<'_, '_>) -> Option<Vlan> {
    let id = reader.number(fields.get("vlan_id"), &fields.path("vlan_id"), (1, 4094));
    for (key, path) in [("vlan_id", "vlan.id"), ("vlan_link", "vlan.link")] {
        if let Some(node) = fields.get(key) {
            reader.spot(name, path, &node.span, &fields.path(key));
        } else if !reader.broken {
            let message = format!("`{}` has no `{key}`", fields.at);
            reader.error(
                Code::MissingKey,
                &fields.span,
                &fields.at,
                message,
                &format!("add `{key}`"),
            );
        }
    }
    let lower = fields.get("vlan_link");
    let link = lower.and_then(|node| reader.parse(node, Rule::LinkName, &fields.path("vlan_link")));
    Some(Vlan {
        id: u16::try_from(id?).ok()?,
        link: link?,
    })
}

fn bond(reader: &mut Reader, name: &str, fields: &Fields<'_, '_>) -> Bond {
    let interfaces = fields.get("bond_interfaces");
    let members = reader.members(name, interfaces, &fields.path("bond_interfaces"));
    if let Some(node) = interfaces {
        reader.spot(name, "bond.members", &node.span, &fields.path("bond_interfaces"));
    }
    let mut bond = Reader::bond(members, None);
    let Some(node) = fields.get("params") else { return bond };
    let at = fields.path("params");
    let fields = reader.dashed(node, &keys::V1_PARAMETERS, &at);
    for (key, path) in [
        ("bond-mode", "bond.mode"),
        ("bond-lacp-rate", "bond.lacp-rate"),
        ("bond-xmit-hash-policy", "bond.hash-policy"),
        ("bond-min-links", "bond.min-links"),
        ("bond-primary", "bond.primary"),
        ("bond-miimon", "bond.miimon"),
        ("bond-updelay", "bond.up-delay"),
        ("bond-downdelay", "bond.down-delay"),
    ] {
        if let Some(node) = fields.get(key) {
            reader.spot(name, path, &node.span, &fields.path(key));
        }
    }
    bond.mode = reader
        .mode(fields.get("bond-mode"), &fields.path("bond-mode"))
        .unwrap_or(bond.mode);
    if let Some(node) = fields.get("bond-lacp-rate") {
        let word = reader.word(node, &fields.path("bond-lacp-rate"), LacpRate::WORDS);
        bond.lacp_rate = word.and_then(LacpRate::from_word).unwrap_or_default();
    }
    let policy = reader.hash_policy(
        fields.get("bond-xmit-hash-policy"),
        &fields.path("bond-xmit-hash-policy"),
    );
    bond.hash_policy = policy.unwrap_or_default();
    let links = reader.number(fields.get("bond-min-links"), &fields.path("bond-min-links"), (0, 64));
    bond.min_links = links.unwrap_or(0);
    let primary = fields.get("bond-primary");
    bond.primary = primary.and_then(|node| reader.parse(node, Rule::LinkName, &fields.path("bond-primary")));
    let mut time = |key: &str| reader.interval(fields.get(key), &fields.path(key));
    let (interval, up, down) = (time("bond-miimon"), time("bond-updelay"), time("bond-downdelay"));
    // 0 turns watching off elsewhere; here a bond always watches.
    bond.miimon = interval.filter(|span| !span.0.is_zero()).unwrap_or(bond.miimon);
    bond.up_delay = up.unwrap_or(bond.up_delay);
    bond.down_delay = down.unwrap_or(bond.down_delay);
    bond
}
