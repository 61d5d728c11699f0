//! What all formats say of a link: addresses with a mask apart, gateways, intervals, bonds.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use super::reader::Reader;
use crate::diagnostic::Code;
use crate::model::network::{Bond, BondMode, HashPolicy, Link, StaticRoute};
use crate::schema::Rule;
use crate::value::{Destination, InterfaceAddress, Name, Span};
use crate::yaml::Node;

impl Reader {
    /// Adds an address to a link.
    pub(super) fn address(&mut self, name: &str, link: &mut Link, text: &str, span: &Range<usize>, at: &str) {
        if let Some(address) = self.parse_text::<InterfaceAddress>(text, span, Rule::InterfaceAddress, at) {
            let twice = link.addresses.contains(&address);
            self.spot(name, &format!("addresses[{}]", link.addresses.len()), span, at);
            if !twice {
                link.addresses.push(address);
            }
        }
    }

    /// Adds a gateway. One beyond the only network of a link with a single address is taken to be on the link: that is
    /// how clouds give addresses.
    pub(super) fn gateway(&mut self, name: &str, link: &mut Link, ip: IpAddr, span: &Range<usize>, at: &str) {
        if on_link(link, ip) {
            let message = format!("{ip} is in no network of the link and taken to be on the link");
            self.note(span, at, message);
            let path = format!("routes[{}]", link.routes.len());
            for part in ["", ".to", ".via"] {
                self.spot(name, &format!("{path}{part}"), span, at);
            }
            link.routes.push(StaticRoute {
                to: Destination::Default,
                via: Some(ip),
                metric: None,
                on_link: true,
            });
            return;
        }
        if !link.gateways.contains(&ip) {
            self.spot(name, &format!("gateways[{}]", link.gateways.len()), span, at);
            link.gateways.push(ip);
        }
    }

    /// Adds a route that stands at `span`.
    pub(super) fn route(&mut self, name: &str, link: &mut Link, mut route: StaticRoute, span: &Range<usize>, at: &str) {
        if let Some(via) = route.via.filter(|via| !route.on_link && on_link(link, *via)) {
            self.note(
                span,
                at,
                format!("{via} is in no network of the link and taken to be on the link"),
            );
            route.on_link = true;
        }
        let path = format!("routes[{}]", link.routes.len());
        self.spot(name, &path, span, at);
        link.routes.push(route);
    }

    pub(super) fn ip(&mut self, node: Option<&Node<'_>>, at: &str) -> Option<IpAddr> {
        node.and_then(|node| self.parse(node, Rule::Address, at))
    }

    /// Name servers of a link.
    pub(super) fn servers(&mut self, name: &str, link: &mut Link, node: Option<&Node<'_>>, at: &str) {
        for node in self.list(node, at, true) {
            if let Some(ip) = self.parse(node, Rule::Address, at) {
                self.spot(
                    name,
                    &format!("dns.servers[{}]", link.dns.servers.len()),
                    &node.span,
                    at,
                );
                link.dns.servers.push(ip);
            }
        }
    }

    /// Search domains of a link.
    pub(super) fn search(&mut self, link: &mut Link, node: Option<&Node<'_>>, at: &str) {
        for node in self.list(node, at, true) {
            link.dns.search.extend(self.domain(node, at));
        }
    }

    /// A search domain. Other tools take capitals and a final dot.
    pub(super) fn domain(&mut self, node: &Node<'_>, at: &str) -> Option<String> {
        let Some(scalar) = node.scalar() else {
            self.wrong_type(node, at, "a text");
            return None;
        };
        let text = scalar.text.trim_end_matches('.').to_ascii_lowercase();
        self.parse_text(&text, &node.span, Rule::Domain, at)
    }

    pub(super) fn mtu(&mut self, name: &str, link: &mut Link, node: Option<&Node<'_>>, at: &str) {
        if let Some(node) = node {
            self.spot(name, "mtu", &node.span, at);
            link.mtu = self.number(Some(node), at, (68, 65535));
        }
    }

    /// The names of other links, as `members`.
    pub(super) fn members(&mut self, name: &str, node: Option<&Node<'_>>, at: &str) -> Vec<Name> {
        let mut members = Vec::new();
        for node in self.list(node, at, true) {
            let path = format!("bond.members[{}]", members.len());
            if let Some(member) = self.parse(node, Rule::Name, at) {
                self.spot(name, &path, &node.span, at);
                members.push(member);
            }
        }
        members
    }

    /// The mode of a bond, by word or number.
    pub(super) fn mode(&mut self, node: Option<&Node<'_>>, at: &str) -> Option<BondMode> {
        let node = node?;
        self.word(node, at, BondMode::WORDS).and_then(BondMode::from_word)
    }

    pub(super) fn hash_policy(&mut self, node: Option<&Node<'_>>, at: &str) -> Option<HashPolicy> {
        let node = node?;
        self.word(node, at, HashPolicy::WORDS).and_then(HashPolicy::from_word)
    }

    /// One of the kernel's words, or its number.
    pub(super) fn word(&mut self, node: &Node<'_>, at: &str, words: &'static [&'static str]) -> Option<&'static str> {
        let Some(scalar) = node.scalar() else {
            self.wrong_type(node, at, "a text");
            return None;
        };
        let number = scalar.text.parse::<usize>().ok();
        let word = number.and_then(|number| words.get(number).copied());
        let word = word.or_else(|| words.iter().find(|word| **word == scalar.text).copied());
        if word.is_none() {
            let all: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            let message = format!("{:?} is not possible here", &*scalar.text);
            let cure = format!("possible are {}", all.join(", "));
            self.error(Code::BadWord, &node.span, at, message, &cure);
        }
        word
    }

    /// A time: a number of milliseconds, or digits with a unit.
    pub(super) fn interval(&mut self, node: Option<&Node<'_>>, at: &str) -> Option<Span> {
        let node = node?;
        let Some(scalar) = node.scalar() else {
            self.wrong_type(node, at, "a time");
            return None;
        };
        let plain = scalar
            .text
            .parse::<u32>()
            .ok()
            .map(|ms| Span(Duration::from_millis(ms.into())));
        let span = plain
            .or_else(|| scalar.text.parse().ok())
            .filter(|span| span.0.as_secs() <= 600);
        if span.is_none() {
            let message = format!("{:?} is not a time", &*scalar.text);
            self.error(
                Code::BadValue,
                &node.span,
                at,
                message,
                "write a number of milliseconds, at most 600000",
            );
        }
        span
    }

    /// A bond with these members whose mode is to be said; other tools begin with `balance-rr`.
    pub(super) fn bond(members: Vec<Name>, mode: Option<BondMode>) -> Bond {
        Bond::new(mode.unwrap_or(BondMode::BalanceRr), members)
    }
}

/// Whether a router beyond the networks of a link is one of a cloud, on the link.
fn on_link(link: &Link, ip: IpAddr) -> bool {
    let local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let mut own = link
        .addresses
        .iter()
        .filter(|address| address.ip.is_ipv4() == ip.is_ipv4())
        .peekable();
    let whole = if ip.is_ipv4() { 32 } else { 128 };
    let single = own.peek().is_some() && own.all(|address| address.prefix == whole && address.ip != ip);
    single && !local
}

/// An address and a mask apart, as text: `192.0.2.1` and `255.255.255.0` or `24`. Without a mask the address may carry
/// its own.
pub(super) fn joined(address: &str, mask: Option<&str>) -> Option<String> {
    if address.contains('/') {
        return Some(address.to_owned());
    }
    let mask = mask?;
    let bits = match mask.parse::<IpAddr>() {
        Ok(IpAddr::V4(mask)) => ones(mask.to_bits().into(), 32)?,
        Ok(IpAddr::V6(mask)) => ones(mask.to_bits(), 128)?,
        Err(_) => mask.parse().ok()?,
    };
    Some(format!("{address}/{bits}"))
}

/// The number of leading ones of a mask of so many bits, if it has no others.
fn ones(mask: u128, bits: u32) -> Option<u32> {
    let ones = (mask << (128 - bits)).leading_ones();
    (mask.count_ones() == ones).then_some(ones)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_become_bits() {
        for (address, mask, expected) in [
            ("192.0.2.1", Some("255.255.255.0"), Some("192.0.2.1/24")),
            ("192.0.2.1", Some("24"), Some("192.0.2.1/24")),
            ("192.0.2.1/25", Some("255.255.255.0"), Some("192.0.2.1/25")),
            ("192.0.2.1", Some("255.0.255.0"), None),
            ("192.0.2.1", Some("0.0.0.0"), Some("192.0.2.1/0")),
            ("192.0.2.1", None, None),
            ("2001:db8::1", Some("ffff:ffff:ffff:ffff::"), Some("2001:db8::1/64")),
            ("2001:db8::1", Some("64"), Some("2001:db8::1/64")),
        ] {
            assert_eq!(joined(address, mask).as_deref(), expected, "{address} {mask:?}");
        }
    }
}
