//! Rules: a builder that strings matches and actions together, left to right as `nft` writes them.

use super::Family;
use super::data::{Data, Field, Verdict};
use super::expr;
use crate::wire::Buffer;
use std::net::IpAddr;

const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
const USERDATA_COMMENT: u8 = 0;
/// Longest comment, its final zero byte included.
const COMMENT_MAX: usize = 128;

/// Time that a rate is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// One second.
    Second,
    /// One minute.
    Minute,
    /// One hour.
    Hour,
}

impl Unit {
    const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }
}

/// How to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reject {
    /// TCP reset.
    Reset,
    /// ICMP "port unreachable" of the packet's family.
    PortUnreachable,
    /// ICMP "administratively prohibited" of the packet's family.
    Prohibited,
}

/// Which address a translation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Nat {
    /// The source (postrouting, input).
    Source = 0,
    /// The destination (prerouting, output).
    Destination = 1,
}

/// A rule being built. It matches when all its parts do, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    expressions: Buffer,
    comment: Option<String>,
}

impl Rule {
    /// A rule that matches everything and does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Matches when the field has this value.
    #[must_use]
    pub fn equals(self, field: Field, value: impl Into<Data>) -> Self {
        self.compare(field, true, &value.into())
    }

    /// Matches when the field has another value.
    #[must_use]
    pub fn differs(self, field: Field, value: impl Into<Data>) -> Self {
        self.compare(field, false, &value.into())
    }

    /// Matches when any of these bits is set.
    #[must_use]
    pub fn any_bits(mut self, field: Field, bits: u32) -> Self {
        let out = &mut self.expressions;
        expr::load(out, field, expr::FIRST);
        expr::mask(out, expr::FIRST, &bits.to_ne_bytes());
        expr::compare(out, expr::FIRST, false, &[0; 4]);
        self
    }

    /// Matches when the address field lies in this network.
    #[must_use]
    pub fn in_network(self, field: Field, network: IpAddr, prefix: u8) -> Self {
        self.network(field, true, network, prefix)
    }

    /// Matches when the address field lies outside this network.
    #[must_use]
    pub fn not_in_network(self, field: Field, network: IpAddr, prefix: u8) -> Self {
        self.network(field, false, network, prefix)
    }

    /// Matches when the field lies between two values, both included.
    #[must_use]
    pub fn between(mut self, field: Field, from: impl Into<Data>, to: impl Into<Data>) -> Self {
        let out = &mut self.expressions;
        expr::load(out, field, expr::FIRST);
        expr::range(out, expr::FIRST, true, &from.into().0, &to.into().0);
        self
    }

    /// Matches IPv4 (2) or IPv6 (10) packets only; needed before addresses are looked at in an
    /// inet table.
    #[must_use]
    pub fn family(self, family: Family) -> Self {
        self.equals(Field::NetProtocol, family as u8)
    }

    /// Matches when the destination (by the routing table) is an address of this host.
    #[must_use]
    pub fn to_local(self) -> Self {
        self.equals(Field::FibDestinationType, Field::ADDRESS_LOCAL)
    }

    /// Matches when the source (by the routing table) is an address of this host.
    #[must_use]
    pub fn from_local(self) -> Self {
        self.equals(Field::FibSourceType, Field::ADDRESS_LOCAL)
    }

    /// Matches when these fields together are a key of the set.
    #[must_use]
    pub fn in_set(mut self, fields: &[Field], set: &str) -> Self {
        self.load_all(fields);
        expr::lookup(&mut self.expressions, set, expr::FIRST, false);
        self
    }

    /// Matches when these fields together are no key of the set.
    #[must_use]
    pub fn not_in_set(mut self, fields: &[Field], set: &str) -> Self {
        self.load_all(fields);
        expr::lookup(&mut self.expressions, set, expr::FIRST, true);
        self
    }

    /// Adds these fields to a dynamic set.
    #[must_use]
    pub fn add_to_set(mut self, fields: &[Field], set: &str) -> Self {
        self.load_all(fields);
        expr::add_to_set(&mut self.expressions, set, expr::FIRST);
        self
    }

    /// Decides by a verdict map; goes on when these fields are no key of it.
    #[must_use]
    pub fn verdict_map(mut self, fields: &[Field], map: &str) -> Self {
        self.load_all(fields);
        expr::lookup_verdict(&mut self.expressions, map, expr::FIRST);
        self
    }

    /// Counts.
    #[must_use]
    pub fn counter(mut self) -> Self {
        expr::counter(&mut self.expressions);
        self
    }

    /// Matches while no more than `rate` packets per `unit` came, after a burst.
    #[must_use]
    pub fn limit(mut self, rate: u64, unit: Unit, burst: u32) -> Self {
        expr::limit(&mut self.expressions, rate, unit.seconds(), burst);
        self
    }

    /// Sets the packet's mark.
    #[must_use]
    pub fn set_mark(mut self, mark: u32) -> Self {
        expr::immediate(&mut self.expressions, expr::FIRST, &mark.to_ne_bytes());
        expr::set_mark(&mut self.expressions, expr::FIRST);
        self
    }

    /// Sets the connection's mark.
    #[must_use]
    pub fn set_ct_mark(mut self, mark: u32) -> Self {
        expr::immediate(&mut self.expressions, expr::FIRST, &mark.to_ne_bytes());
        expr::set_ct_mark(&mut self.expressions, expr::FIRST);
        self
    }

    /// Keeps the packet out of connection tracking (raw priority).
    #[must_use]
    pub fn no_track(mut self) -> Self {
        expr::bare(&mut self.expressions, "notrack");
        self
    }

    /// Decides.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        expr::verdict(&mut self.expressions, &verdict);
        self
    }

    /// Lets it pass.
    #[must_use]
    pub fn accept(self) -> Self {
        self.verdict(Verdict::Accept)
    }

    /// Drops it.
    #[must_use]
    pub fn drop(self) -> Self {
        self.verdict(Verdict::Drop)
    }

    /// Sends it through another chain.
    #[must_use]
    pub fn jump(self, chain: &str) -> Self {
        self.verdict(Verdict::Jump(chain.to_owned()))
    }

    /// Refuses with an answer.
    #[must_use]
    pub fn reject(mut self, how: Reject) -> Self {
        let (kind, code) = match how {
            Reject::Reset => (1, 0),
            Reject::PortUnreachable => (2, 1),
            Reject::Prohibited => (2, 3),
        };
        expr::reject(&mut self.expressions, kind, code);
        self
    }

    /// Replaces the source by the address of the link it leaves by.
    #[must_use]
    pub fn masquerade(mut self) -> Self {
        expr::bare(&mut self.expressions, "masq");
        self
    }

    /// Sends to this port of this host instead.
    #[must_use]
    pub fn redirect(mut self, port: u16) -> Self {
        expr::immediate(&mut self.expressions, expr::FIRST, &port.to_be_bytes());
        expr::redirect(&mut self.expressions, expr::FIRST);
        self
    }

    /// Translates to a fixed address and, if given, port.
    #[must_use]
    pub fn nat(mut self, nat: Nat, address: IpAddr, port: Option<u16>) -> Self {
        let family = if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        let value = Data::from(address).0;
        let port_register = expr::FIRST + expr::registers(value.len());
        let out = &mut self.expressions;
        expr::immediate(out, expr::FIRST, &value);
        if let Some(port) = port {
            expr::immediate(out, port_register, &port.to_be_bytes());
        }
        let port = port.map(|_| port_register);
        expr::nat(out, nat as u32, family as u32, expr::FIRST, port);
        self
    }

    /// Translates to what the map holds for these fields: an address of `family`, followed by a
    /// port when `with_port`. Ends the rule when the fields are no key.
    #[must_use]
    pub fn nat_map(mut self, nat: Nat, family: Family, fields: &[Field], map: &str, with_port: bool) -> Self {
        self.load_all(fields);
        let address_length = if family == Family::Ipv6 { 16 } else { 4 };
        let port = with_port.then(|| expr::FIRST + expr::registers(address_length));
        let out = &mut self.expressions;
        expr::lookup_value(out, map, expr::FIRST, expr::FIRST);
        expr::nat(out, nat as u32, family as u32, expr::FIRST, port);
        self
    }

    /// A remark that `nft` shows; cut to 127 bytes.
    #[must_use]
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.comment = Some(text.into());
        self
    }

    /// Writes the rule's attributes.
    pub(super) fn write(&self, table: &str, chain: &str, out: &mut Buffer) {
        out.text(RULE_TABLE, table).text(RULE_CHAIN, chain);
        out.nest(RULE_EXPRESSIONS, |list| {
            list.raw(self.expressions.bytes());
        });
        if let Some(comment) = &self.comment {
            out.attr(RULE_USERDATA, &comment_data(comment));
        }
    }

    /// Reads fields one behind the other, from the first register on.
    fn load_all(&mut self, fields: &[Field]) {
        let mut register = expr::FIRST;
        for field in fields {
            register = expr::load(&mut self.expressions, *field, register);
        }
    }

    fn compare(mut self, field: Field, equal: bool, value: &Data) -> Self {
        let out = &mut self.expressions;
        expr::load(out, field, expr::FIRST);
        expr::compare(out, expr::FIRST, equal, &value.0);
        self
    }

    fn network(mut self, field: Field, inside: bool, network: IpAddr, prefix: u8) -> Self {
        let mut address = Data::from(network).0;
        let mask = prefix_mask(address.len(), prefix);
        for (byte, mask) in address.iter_mut().zip(&mask) {
            *byte &= mask;
        }
        let out = &mut self.expressions;
        expr::load(out, field, expr::FIRST);
        expr::mask(out, expr::FIRST, &mask);
        expr::compare(out, expr::FIRST, inside, &address);
        self
    }
}

/// Names a chain whose rules are all deleted.
pub(super) fn write_flush(table: &str, chain: &str, out: &mut Buffer) {
    out.text(RULE_TABLE, table).text(RULE_CHAIN, chain);
}

/// `bytes` bytes of which the first `prefix` bits are set.
fn prefix_mask(bytes: usize, prefix: u8) -> Vec<u8> {
    (0..bytes)
        .map(|index| {
            let bits = usize::from(prefix).saturating_sub(index * 8).min(8);
            u8::MAX.checked_shl(u32::try_from(8 - bits).unwrap_or(8)).unwrap_or(0)
        })
        .collect()
}

/// A comment as `nft` keeps it: type, length, text, zero byte.
fn comment_data(comment: &str) -> Vec<u8> {
    let mut end = comment.len().min(COMMENT_MAX - 1);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    let text = comment.get(..end).unwrap_or_default().as_bytes();
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    [&[USERDATA_COMMENT, length], text, &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_follow_the_prefix() {
        let table: [(usize, u8, &[u8]); 4] = [
            (4, 8, &[255, 0, 0, 0]),
            (4, 20, &[255, 255, 240, 0]),
            (4, 0, &[0; 4]),
            (4, 32, &[255; 4]),
        ];
        for (bytes, prefix, mask) in table {
            assert_eq!(prefix_mask(bytes, prefix), mask);
        }
    }

    #[test]
    fn comments_are_cut_between_characters() {
        let data = comment_data(&"é".repeat(100));
        assert!(data.len() <= 2 + COMMENT_MAX);
        assert!(std::str::from_utf8(&data[2..data.len() - 1]).is_ok());
    }
}
