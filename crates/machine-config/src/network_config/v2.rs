//! Version 2: maps of links by kind.

use super::keys;
use super::reader::{Fields, Reader, join};
use crate::Fate;
use crate::diagnostic::Code;
use crate::model::network::{Bond, LacpRate, Link, StaticRoute, Vlan};
use crate::schema::Rule;
use crate::value::Destination;
use crate::yaml::{Entry, Node};

pub(super) fn read(reader: &mut Reader, node: &Node<'_>) {
    let root = reader.fields(node, &keys::V2, "");
    for entry in reader.named(root.get("ethernets"), "ethernets") {
        link(reader, entry, &keys::V2_ETHERNET, "ethernets");
    }
    for entry in reader.named(root.get("bonds"), "bonds") {
        link(reader, entry, &keys::V2_BOND, "bonds");
    }
    for entry in reader.named(root.get("vlans"), "vlans") {
        link(reader, entry, &keys::V2_VLAN, "vlans");
    }
}

fn link(reader: &mut Reader, entry: &Entry<'_>, section: &'static keys::Section, kind: &str) {
    let at = join(kind, &entry.key);
    // With conditions the name is only a name; else it is the kernel's.
    let free = kind == "ethernets" && entry.value.map().is_some_and(|map| map.get("match").is_some());
    let rule = if free { Rule::Name } else { Rule::LinkName };
    let name: Option<crate::value::Name> = reader.parse_text(&entry.key, &entry.at, rule, &at);
    let fields = reader.fields(&entry.value, section, &at);
    let mut link = Link::default();
    let name = name.as_ref().map_or(&*entry.key, |name| name.as_str());
    // The sections of the kinds differ in these keys.
    match kind {
        "ethernets" => matches(reader, name, &mut link, &fields),
        "bonds" => link.bond = Some(bond(reader, name, &fields)),
        _ => link.vlan = vlan(reader, name, &fields),
    }
    addresses(reader, name, &mut link, &fields);
    dhcp(reader, &mut link, &fields);
    routes(reader, name, &mut link, &fields);
    let readable = kind != "vlans" || link.vlan.is_some();
    reader.add(name, readable.then_some(link), &entry.at, &at);
}

fn matches(reader: &mut Reader, name: &str, link: &mut Link, fields: &Fields<'_, '_>) {
    let Some(node) = fields.get("match") else { return };
    let at = fields.path("match");
    let fields = reader.fields(node, &keys::V2_MATCH, &at);
    if let Some(node) = fields.get("macaddress") {
        link.matches.mac = reader.parse(node, Rule::Mac, &fields.path("macaddress"));
        reader.spot(name, "match.mac", &node.span, &fields.path("macaddress"));
    }
    if let Some(node) = fields.get("name") {
        link.matches.name = reader.parse(node, Rule::LinkPattern, &fields.path("name"));
        reader.spot(name, "match.name", &node.span, &fields.path("name"));
    }
    let drivers = reader.list(fields.get("driver"), &fields.path("driver"), true);
    if let [_, second, ..] = drivers {
        let message = "a link has one driver here";
        reader.error(
            Code::Unsupported,
            &second.span,
            &fields.path("driver"),
            message,
            "describe a link for each",
        );
    }
    if let Some(node) = drivers.first() {
        link.matches.driver = reader.parse(node, Rule::Driver, &fields.path("driver"));
    }
    // Nothing said: every device. What could not be read is reported.
    if fields.is_empty() {
        link.matches.name = "*".parse().ok();
    }
}

fn addresses(reader: &mut Reader, name: &str, link: &mut Link, fields: &Fields<'_, '_>) {
    let at = fields.path("addresses");
    for (index, node) in reader.list(fields.get("addresses"), &at, false).iter().enumerate() {
        let at = format!("{at}[{index}]");
        if let Some(map) = node.map() {
            for entry in &map.entries {
                reader.fates.insert(entry.at.start, Fate::Honoured);
                reader.fields(&entry.value, &keys::V2_ADDRESS, &at);
                reader.address(name, link, &entry.key, &entry.at, &at);
            }
        } else if let Some(scalar) = node.scalar() {
            reader.address(name, link, &scalar.text, &node.span, &at);
        } else {
            reader.wrong_type(node, &at, "a text");
        }
    }
    for key in ["gateway4", "gateway6"] {
        let at = fields.path(key);
        let node = fields.get(key);
        let Some((node, ip)) = node.and_then(|node| Some((node, reader.ip(Some(node), &at)?))) else {
            continue;
        };
        if ip.is_ipv4() != (key == "gateway4") {
            let cure = "`gateway4` takes an IPv4 address, `gateway6` an IPv6 address";
            let message = "this is an address of the other family";
            reader.error(Code::BadValue, &node.span, &at, message, cure);
        } else {
            reader.gateway(name, link, ip, &node.span, &at);
        }
    }
    reader.mtu(name, link, fields.get("mtu"), &fields.path("mtu"));
    if let Some(node) = fields.get("macaddress") {
        link.mac = reader.parse(node, Rule::Mac, &fields.path("macaddress"));
    }
    if let Some(node) = fields.get("nameservers") {
        let fields = reader.fields(node, &keys::V2_NAMESERVERS, &fields.path("nameservers"));
        reader.servers(name, link, fields.get("addresses"), &fields.path("addresses"));
        reader.search(link, fields.get("search"), &fields.path("search"));
    }
}

fn dhcp(reader: &mut Reader, link: &mut Link, fields: &Fields<'_, '_>) {
    link.dhcp4 = reader.flag(fields.get("dhcp4"), &fields.path("dhcp4")).unwrap_or(false);
    link.accept_ra = reader
        .flag(fields.get("accept-ra"), &fields.path("accept-ra"))
        .unwrap_or(true);
    if let Some(node) = fields.get("dhcp6")
        && reader.flag(Some(node), &fields.path("dhcp6")) == Some(true)
    {
        let message = "there is no DHCPv6 client; IPv6 addresses come from router advertisements";
        reader.note(&node.span, &fields.path("dhcp6"), message);
    }
    if let Some(node) = fields.get("dhcp-identifier") {
        let words: &[&str] = &["mac", "duid"];
        if reader.word(node, &fields.path("dhcp-identifier"), words) == Some("duid") {
            reader.note(
                &node.span,
                &fields.path("dhcp-identifier"),
                "the client id is the hardware address",
            );
        }
    }
    let Some(node) = fields.get("dhcp4-overrides") else {
        return;
    };
    let fields = reader.fields(node, &keys::V2_OVERRIDES, &fields.path("dhcp4-overrides"));
    link.metric = reader.number(fields.get("route-metric"), &fields.path("route-metric"), (1, u32::MAX));
    for key in ["use-dns", "use-ntp", "use-mtu", "use-routes", "use-domains"] {
        let node = fields.get(key);
        // `use-domains: route` sends only some questions to the link's servers.
        let off = node.is_some_and(|node| node.flag() != Some(true));
        if let (Some(node), true) = (node, off) {
            let message = "what a lease says is used whole";
            let cure = "leave it out, or write addresses instead of `dhcp4`";
            reader.error(Code::Unsupported, &node.span, &fields.path(key), message, cure);
        }
    }
}

fn routes(reader: &mut Reader, name: &str, link: &mut Link, fields: &Fields<'_, '_>) {
    let at = fields.path("routes");
    for (index, node) in reader.list(fields.get("routes"), &at, false).iter().enumerate() {
        let at = format!("{at}[{index}]");
        let fields = reader.fields(node, &keys::V2_ROUTE, &at);
        let via = fields.get("via");
        let via_ip = reader.ip(via, &fields.path("via"));
        let on_link = reader
            .flag(fields.get("on-link"), &fields.path("on-link"))
            .unwrap_or(false);
        let metric = reader.number(fields.get("metric"), &fields.path("metric"), (1, u32::MAX));
        let Some(to) = fields.get("to") else {
            if !reader.broken {
                let message = format!("`{at}` has no `to`");
                reader.error(
                    Code::MissingKey,
                    &node.span,
                    &at,
                    message,
                    "add `to: default` or a network",
                );
            }
            continue;
        };
        let Some(destination) = destination(reader, to, &fields.path("to")) else {
            continue;
        };
        let path = format!("routes[{}]", link.routes.len());
        reader.spot(name, &format!("{path}.to"), &to.span, &fields.path("to"));
        if let Some(via) = via {
            reader.spot(name, &format!("{path}.via"), &via.span, &fields.path("via"));
        }
        if via.is_some() && via_ip.is_none() {
            continue;
        }
        let route = StaticRoute {
            to: destination,
            via: via_ip,
            metric,
            on_link,
        };
        reader.route(name, link, route, &node.span, &at);
    }
}

/// `default`, its long forms, a network, or one address.
fn destination(reader: &mut Reader, node: &Node<'_>, at: &str) -> Option<Destination> {
    let text = node.scalar().map(|scalar| scalar.text.as_ref());
    match text {
        Some("0.0.0.0/0" | "::/0") => Some(Destination::Default),
        Some(text) => {
            let whole = match text.parse::<std::net::IpAddr>() {
                Ok(ip) => format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 }),
                Err(_) => text.to_owned(),
            };
            reader.parse_text(&whole, &node.span, Rule::Destination, at)
        }
        None => reader.parse(node, Rule::Destination, at),
    }
}

fn vlan(reader: &mut Reader, name: &str, fields: &Fields<'_, '_>) -> Option<Vlan> {
    let id = reader.number(fields.get("id"), &fields.path("id"), (1, 4094));
    let lower = fields.get("link");
    for key in ["id", "link"] {
        if let Some(node) = fields.get(key) {
            reader.spot(name, &format!("vlan.{key}"), &node.span, &fields.path(key));
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
    let link = lower.and_then(|node| reader.parse(node, Rule::Name, &fields.path("link")));
    Some(Vlan {
        id: u16::try_from(id?).ok()?,
        link: link?,
    })
}

fn bond(reader: &mut Reader, name: &str, fields: &Fields<'_, '_>) -> Bond {
    let interfaces = fields.get("interfaces");
    let members = reader.members(name, interfaces, &fields.path("interfaces"));
    if let Some(node) = interfaces {
        reader.spot(name, "bond.members", &node.span, &fields.path("interfaces"));
    }
    let Some(node) = fields.get("parameters") else {
        return Reader::bond(members, None);
    };
    let fields = reader.fields(node, &keys::V2_PARAMETERS, &fields.path("parameters"));
    for (key, path) in [
        ("mode", "bond.mode"),
        ("lacp-rate", "bond.lacp-rate"),
        ("transmit-hash-policy", "bond.hash-policy"),
        ("min-links", "bond.min-links"),
        ("primary", "bond.primary"),
        ("mii-monitor-interval", "bond.miimon"),
        ("up-delay", "bond.up-delay"),
        ("down-delay", "bond.down-delay"),
    ] {
        if let Some(node) = fields.get(key) {
            reader.spot(name, path, &node.span, &fields.path(key));
        }
    }
    let mut bond = Reader::bond(members, reader.mode(fields.get("mode"), &fields.path("mode")));
    if let Some(node) = fields.get("lacp-rate") {
        let word = reader.word(node, &fields.path("lacp-rate"), LacpRate::WORDS);
        bond.lacp_rate = word.and_then(LacpRate::from_word).unwrap_or_default();
    }
    let policy = reader.hash_policy(fields.get("transmit-hash-policy"), &fields.path("transmit-hash-policy"));
    bond.hash_policy = policy.unwrap_or_default();
    bond.min_links = reader
        .number(fields.get("min-links"), &fields.path("min-links"), (0, 64))
        .unwrap_or(0);
    let primary = fields.get("primary");
    bond.primary = primary.and_then(|node| reader.parse(node, Rule::Name, &fields.path("primary")));
    let mut time = |key: &str| reader.interval(fields.get(key), &fields.path(key));
    let (interval, up, down) = (time("mii-monitor-interval"), time("up-delay"), time("down-delay"));
    bond.miimon = interval.unwrap_or(bond.miimon);
    bond.up_delay = up.unwrap_or(bond.up_delay);
    bond.down_delay = down.unwrap_or(bond.down_delay);
    bond
}
