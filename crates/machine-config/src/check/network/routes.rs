//! Addresses, gateways and routes: each can be reached, each is there once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Scene;
use crate::check::sink::Findings;
use crate::diagnostic::Code;
use crate::model::network::{Link, StaticRoute};
use crate::value::Destination;

pub(super) fn check(scene: Scene<'_>, name: &str, link: &Link, out: &mut Findings) {
    for (index, gateway) in link.gateways.iter().enumerate() {
        let path = format!("gateways[{index}]");
        let earlier = link.gateways.get(..index).unwrap_or_default();
        if let Some(first) = earlier.iter().position(|other| other.is_ipv4() == gateway.is_ipv4()) {
            let message = "a link has one gateway of a family";
            let finding = scene.contradiction(name, &path, message, "write `routes` with a `metric` each");
            let first = scene.span(name, &format!("gateways[{first}]"));
            out.push(finding.related("the first is here", first));
        }
        router(scene, name, link, *gateway, &path, out);
    }
    for (index, route) in link.routes.iter().enumerate() {
        check_route(scene, name, link, route, &format!("routes[{index}]"), out);
    }
}

fn check_route(scene: Scene<'_>, name: &str, link: &Link, route: &StaticRoute, path: &str, out: &mut Findings) {
    let to = format!("{path}.to");
    match (route.to, route.via) {
        (Destination::Default, None) => {
            let finding = scene.finding(Code::MissingKey, name, &to, "a default route needs a `via`");
            out.push(finding.cure("add `via`, the address of the router"));
        }
        (Destination::Network(ip, _), Some(via)) if ip.is_ipv4() != via.is_ipv4() => {
            let message = "the router and the addresses it leads to are of two families";
            let finding = scene.contradiction(
                name,
                &format!("{path}.via"),
                message,
                "give a router of the same family",
            );
            out.push(finding.related("the addresses", scene.span(name, &to)));
        }
        (_, Some(via)) if !route.on_link => router(scene, name, link, via, &format!("{path}.via"), out),
        (_, Some(via)) => own(scene, name, link, via, &format!("{path}.via"), out),
        _ => {}
    }
    if route.on_link && route.via.is_none() {
        let message = "`on-link` says something about a router, and there is none";
        let cure = "leave it out: without `via` the addresses are on the link";
        out.push(scene.contradiction(name, &format!("{path}.on-link"), message, cure));
    }
}

/// A router is another machine, and a network of the link holds it.
fn router(scene: Scene<'_>, name: &str, link: &Link, ip: IpAddr, path: &str, out: &mut Findings) {
    own(scene, name, link, ip, path, out);
    let local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let leased = link.dhcp4 && ip.is_ipv4();
    if local || leased || link.addresses.iter().any(|address| address.holds(ip)) {
        return;
    }
    let message = format!("no network of {name:?} holds the router {ip}");
    let cure = "correct one of the two, or write a route with `on-link = true`";
    let mut finding = scene.contradiction(name, path, message, cure);
    let of_family = link.addresses.iter().position(|a| a.ip.is_ipv4() == ip.is_ipv4());
    if let Some(index) = of_family {
        let address = scene.span(name, &format!("addresses[{index}]"));
        finding = finding.related("the link's network", address);
    }
    out.push(finding);
}

fn own(scene: Scene<'_>, name: &str, link: &Link, ip: IpAddr, path: &str, out: &mut Findings) {
    if let Some(index) = link.addresses.iter().position(|address| address.ip == ip) {
        let message = format!("{ip} is the machine itself");
        let finding = scene.contradiction(name, path, message, "give the router's address");
        let address = scene.span(name, &format!("addresses[{index}]"));
        out.push(finding.related("the machine's address", address));
    }
}

/// What the kernel tells routes apart by: destination, its bits and the metric. None when the metric is the link's own.
type RouteKey = (IpAddr, u8, u32);

/// The kernel keeps one route of a destination and metric; a second would replace it.
pub(super) fn across(scene: Scene<'_>, out: &mut Findings) {
    let mut seen: BTreeMap<RouteKey, (&str, String)> = BTreeMap::new();
    for (name, link) in scene.readable() {
        let mut here: BTreeMap<(IpAddr, u8), String> = BTreeMap::new();
        for (ip, prefix, metric, path) in keys(link) {
            let first = match metric {
                Some(metric) => seen.insert((ip, prefix, metric), (name, path.clone())),
                None => here.insert((ip, prefix), path.clone()).map(|path| (name, path)),
            };
            let Some((other, first)) = first else { continue };
            let message = match prefix {
                0 => "there is a default route of this family and metric already".to_owned(),
                _ => format!("there is a route to {ip}/{prefix} of this metric already"),
            };
            let finding = scene.contradiction(name, &path, message, "give each a `metric` of its own");
            out.push(finding.related("the first is here", scene.span(other, &first)));
        }
    }
}

fn keys(link: &Link) -> impl Iterator<Item = (IpAddr, u8, Option<u32>, String)> {
    let any = |ip: IpAddr| -> IpAddr {
        match ip {
            IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        }
    };
    // Of two gateways of a family the rule above has spoken.
    let first_of = |wanted: fn(&IpAddr) -> bool| link.gateways.iter().position(wanted);
    let gateways = [first_of(IpAddr::is_ipv4), first_of(IpAddr::is_ipv6)];
    let gateways = gateways.into_iter().flatten().filter_map(move |index| {
        let gateway = link.gateways.get(index)?;
        Some((any(*gateway), 0, link.metric, format!("gateways[{index}]")))
    });
    let routes = link.routes.iter().enumerate().filter_map(move |(index, route)| {
        let (ip, prefix) = match (route.to, route.via) {
            (Destination::Network(ip, prefix), _) => (ip, prefix),
            (Destination::Default, via) => (any(via?), 0),
        };
        Some((ip, prefix, route.metric.or(link.metric), format!("routes[{index}].to")))
    });
    gateways.chain(routes)
}

/// An address is on one link.
pub(super) fn addresses_once(scene: Scene<'_>, out: &mut Findings) {
    let mut seen: BTreeMap<IpAddr, (&str, String)> = BTreeMap::new();
    for (name, link) in scene.readable() {
        for (index, address) in link.addresses.iter().enumerate() {
            let path = format!("addresses[{index}]");
            let first = seen.insert(address.ip, (name, path.clone()));
            let Some((other, first)) = first else { continue };
            let local = matches!(address.ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
            if !local || other == name {
                let message = format!("the machine has the address {} already", address.ip);
                let finding = scene.contradiction(name, &path, message, "leave it out of one");
                out.push(finding.related("given here", scene.span(other, &first)));
            }
        }
    }
}
