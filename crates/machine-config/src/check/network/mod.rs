//! Rules of the network that look at several keys at once, whatever format the document has.
//!
//! They see links in their typed form, those that could be read, and ask a [`Places`] where a value stands.

mod devices;
mod made;
mod native;
mod routes;

use std::collections::BTreeMap;
use std::ops::Range;

use super::nearest::nearest;
use super::sink::{Finding, Findings};
use crate::diagnostic::Code;
use crate::model::network::{Link, NameServers};
pub(super) use native::check as check_native;

/// Links by name; None for one that could not be read and has been reported.
pub(crate) type Links = BTreeMap<String, Option<Link>>;

/// Where the value at a path below a link stands (`""` is the link itself, `routes[0].via`), and how that key is called.
pub(crate) trait Places {
    fn place(&self, link: &str, path: &str) -> (Range<usize>, String);
}

/// What the rules look at.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) links: &'a Links,
    pub(crate) places: &'a dyn Places,
    /// Whether a link may be missing because its declaration could not be read.
    pub(crate) incomplete: bool,
}

/// Applies every rule.
pub(crate) fn check(scene: Scene<'_>, out: &mut Findings) {
    for (name, link) in scene.readable() {
        made::check(scene, name, link, out);
        routes::check(scene, name, link, out);
        small_packets(scene, name, link, out);
    }
    made::members_once(scene, out);
    made::loops(scene, out);
    devices::check(scene, out);
    routes::across(scene, out);
    routes::addresses_once(scene, out);
}

/// A name server that is reached through one link only stands with that link.
pub(crate) fn machine_servers(dns: &NameServers, place: impl Fn(usize) -> (Range<usize>, String), out: &mut Findings) {
    for (index, server) in dns.servers.iter().enumerate() {
        let local = matches!(server, std::net::IpAddr::V6(ip) if ip.is_unicast_link_local());
        if local {
            let (span, key) = place(index);
            let message = format!("{server} is an address on one link, and which one is not said");
            let finding = Finding::error(Code::Contradiction, span, &key, message);
            out.push(finding.cure("name it as a server of that link"));
        }
    }
}

impl<'a> Scene<'a> {
    fn readable(self) -> impl Iterator<Item = (&'a str, &'a Link)> {
        let links = self.links.iter();
        links.filter_map(|(name, link)| Some((name.as_str(), link.as_ref()?)))
    }

    fn link(self, name: &str) -> Option<&'a Link> {
        self.links.get(name)?.as_ref()
    }

    fn finding(self, code: Code, link: &str, path: &str, message: impl Into<String>) -> Finding {
        let (span, key) = self.places.place(link, path);
        Finding::error(code, span, &key, message)
    }

    fn contradiction(self, link: &str, path: &str, message: impl Into<String>, cure: &str) -> Finding {
        self.finding(Code::Contradiction, link, path, message).cure(cure)
    }

    fn span(self, link: &str, path: &str) -> Range<usize> {
        self.places.place(link, path).0
    }

    /// Reports a name that no link has.
    fn known(self, name: &str, link: &str, path: &str, out: &mut Findings) -> bool {
        if self.links.contains_key(name) || self.incomplete {
            return true;
        }
        let others = self.links.keys().map(String::as_str).filter(|other| *other != link);
        let cure = match nearest(name, others) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("describe the link {name:?} in this document"),
        };
        let message = format!("no link is called {name:?}");
        out.push(self.finding(Code::UnknownLink, link, path, message).cure(cure));
        false
    }
}

/// The smallest packet that IPv6 allows.
const IPV6_MTU: u32 = 1280;

fn small_packets(scene: Scene<'_>, name: &str, link: &Link, out: &mut Findings) {
    let Some(mtu) = link.mtu.filter(|mtu| *mtu < IPV6_MTU) else {
        return;
    };
    let address = link.addresses.iter().position(|address| address.ip.is_ipv6());
    let gateway = link.gateways.iter().position(std::net::IpAddr::is_ipv6);
    let needs = address
        .map(|at| format!("addresses[{at}]"))
        .or(gateway.map(|at| format!("gateways[{at}]")));
    if let Some(needs) = needs {
        let message = format!("IPv6 needs packets of {IPV6_MTU} bytes, and this link carries {mtu}");
        let finding = scene.contradiction(
            name,
            "mtu",
            message,
            "give at least 1280, or leave the IPv6 addresses out",
        );
        out.push(finding.related("IPv6 is asked for here", scene.span(name, &needs)));
    }
}
