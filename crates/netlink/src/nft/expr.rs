//! The expressions a rule is made of, one function each: they append one list element to a rule.
//!
//! Registers are numbered as the kernel's four-byte registers, 8 to 23; a value longer than four
//! bytes takes several in a row.

use super::data::{Field, Verdict, write_value};
use super::uapi;
use crate::wire::{Buffer, align};

const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const VERDICT_REGISTER: u32 = 0;

/// The first four-byte register.
pub(super) const FIRST: u32 = 8;

const META_KEY_MARK: u32 = 3;
const CT_KEY_MARK: u32 = 3;

/// Where a field is read from.
enum Source {
    Meta(u32),
    Ct(u32),
    Payload { base: u32, offset: u32 },
    Fib { flags: u32 },
}

const LINK: u32 = 0;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const FIB_SOURCE: u32 = 1;
const FIB_DESTINATION: u32 = 2;
const FIB_RESULT_ADDRTYPE: u32 = 3;

const fn source(field: Field) -> Source {
    match field {
        Field::EtherType => Source::Meta(1),
        Field::Mark => Source::Meta(META_KEY_MARK),
        Field::InIndex => Source::Meta(4),
        Field::OutIndex => Source::Meta(5),
        Field::InName => Source::Meta(6),
        Field::OutName => Source::Meta(7),
        Field::SocketUid => Source::Meta(10),
        Field::NetProtocol => Source::Meta(15),
        Field::Protocol => Source::Meta(16),
        Field::InBridge => Source::Meta(17),
        Field::OutBridge => Source::Meta(18),
        Field::CtState => Source::Ct(0),
        Field::CtStatus => Source::Ct(2),
        Field::CtMark => Source::Ct(CT_KEY_MARK),
        Field::MacDestination => Source::Payload { base: LINK, offset: 0 },
        Field::MacSource => Source::Payload { base: LINK, offset: 6 },
        Field::Ipv4Source => Source::Payload {
            base: NETWORK,
            offset: 12,
        },
        Field::Ipv4Destination => Source::Payload {
            base: NETWORK,
            offset: 16,
        },
        Field::Ipv6Source => Source::Payload {
            base: NETWORK,
            offset: 8,
        },
        Field::Ipv6Destination => Source::Payload {
            base: NETWORK,
            offset: 24,
        },
        Field::PortSource | Field::IcmpType => Source::Payload {
            base: TRANSPORT,
            offset: 0,
        },
        Field::PortDestination => Source::Payload {
            base: TRANSPORT,
            offset: 2,
        },
        Field::FibSourceType => Source::Fib { flags: FIB_SOURCE },
        Field::FibDestinationType => Source::Fib { flags: FIB_DESTINATION },
    }
}

/// Reads a field into registers from `register` on; returns the next free register.
pub(super) fn load(out: &mut Buffer, field: Field, register: u32) -> u32 {
    let length = length(field.length());
    match source(field) {
        Source::Meta(key) => expression(out, "meta", |data| {
            data.be32(1, register).be32(2, key);
        }),
        Source::Ct(key) => expression(out, "ct", |data| {
            data.be32(1, register).be32(2, key);
        }),
        Source::Payload { base, offset } => expression(out, "payload", |data| {
            data.be32(1, register).be32(2, base).be32(3, offset).be32(4, length);
        }),
        Source::Fib { flags } => expression(out, "fib", |data| {
            data.be32(1, register).be32(2, FIB_RESULT_ADDRTYPE).be32(3, flags);
        }),
    }
    register + registers(field.length())
}

/// Four-byte registers a value of `bytes` takes.
pub(super) fn registers(bytes: usize) -> u32 {
    length(align(bytes) / 4)
}

/// Compares a register; `equal` or different.
pub(super) fn compare(out: &mut Buffer, register: u32, equal: bool, value: &[u8]) {
    expression(out, "cmp", |data| {
        data.be32(1, register).be32(2, u32::from(!equal));
        write_value(data, 3, value);
    });
}

/// Compares a register with a range, ends included.
pub(super) fn range(out: &mut Buffer, register: u32, inside: bool, from: &[u8], to: &[u8]) {
    expression(out, "range", |data| {
        data.be32(1, register).be32(2, u32::from(!inside));
        write_value(data, 3, from);
        write_value(data, 4, to);
    });
}

/// Keeps the bits of `mask` in a register.
pub(super) fn mask(out: &mut Buffer, register: u32, mask: &[u8]) {
    expression(out, "bitwise", |data| {
        data.be32(1, register).be32(2, register).be32(3, length(mask.len()));
        write_value(data, 4, mask);
        write_value(data, 5, &vec![0; mask.len()]);
    });
}

/// Looks a key up; goes on when it is there (or, inverted, when it is not).
pub(super) fn lookup(out: &mut Buffer, set: &str, key: u32, inverted: bool) {
    expression(out, "lookup", |data| {
        data.text(1, set).be32(2, key);
        if inverted {
            data.be32(5, 1);
        }
    });
}

/// Looks a key up in a map and leaves the value in `value`; ends the rule when it is not there.
pub(super) fn lookup_value(out: &mut Buffer, map: &str, key: u32, value: u32) {
    expression(out, "lookup", |data| {
        data.text(1, map).be32(2, key).be32(3, value);
    });
}

/// Looks a key up in a verdict map.
pub(super) fn lookup_verdict(out: &mut Buffer, map: &str, key: u32) {
    lookup_value(out, map, key, VERDICT_REGISTER);
}

/// Adds a key to a set; goes on unless that fails.
pub(super) fn add_to_set(out: &mut Buffer, set: &str, key: u32) {
    expression(out, "dynset", |data| {
        data.text(1, set).be32(3, 0).be32(4, key);
    });
}

/// Decides.
pub(super) fn verdict(out: &mut Buffer, verdict: &Verdict) {
    expression(out, "immediate", |data| {
        data.be32(1, VERDICT_REGISTER);
        verdict.write(data, 2);
    });
}

/// Puts a value into registers.
pub(super) fn immediate(out: &mut Buffer, register: u32, value: &[u8]) {
    expression(out, "immediate", |data| {
        data.be32(1, register);
        write_value(data, 2, value);
    });
}

/// Sets the packet's mark.
pub(super) fn set_mark(out: &mut Buffer, register: u32) {
    expression(out, "meta", |data| {
        data.be32(2, META_KEY_MARK).be32(3, register);
    });
}

/// Sets the connection's mark.
pub(super) fn set_ct_mark(out: &mut Buffer, register: u32) {
    expression(out, "ct", |data| {
        data.be32(2, CT_KEY_MARK).be32(4, register);
    });
}

/// Counts packets and bytes.
pub(super) fn counter(out: &mut Buffer) {
    expression(out, "counter", |data| {
        data.be64(1, 0).be64(2, 0);
    });
}

/// Goes on while no more than `rate` packets per `seconds` came, after a burst.
pub(super) fn limit(out: &mut Buffer, rate: u64, seconds: u64, burst: u32) {
    expression(out, "limit", |data| {
        data.be64(1, rate).be64(2, seconds).be32(3, burst).be32(4, 0).be32(5, 0);
    });
}

/// Answers with an error: `kind` 1 is a TCP reset, 2 an ICMP error that fits the family.
pub(super) fn reject(out: &mut Buffer, kind: u32, code: u8) {
    expression(out, "reject", |data| {
        data.be32(1, kind).u8(2, code);
    });
}

/// Translates an address: `kind` 0 is the source, 1 the destination.
pub(super) fn nat(out: &mut Buffer, kind: u32, family: u32, address: u32, port: Option<u32>) {
    expression(out, "nat", |data| {
        data.be32(1, kind).be32(2, family).be32(3, address).be32(4, address);
        if let Some(port) = port {
            data.be32(5, port).be32(6, port);
        }
    });
}

/// Sends to a port of this host itself.
pub(super) fn redirect(out: &mut Buffer, port: u32) {
    expression(out, "redir", |data| {
        data.be32(1, port).be32(2, port);
    });
}

/// An expression without parameters: `masq`, `notrack`.
pub(super) fn bare(out: &mut Buffer, name: &str) {
    expression(out, name, |_| {});
}

fn expression(out: &mut Buffer, name: &str, fill: impl FnOnce(&mut Buffer)) {
    out.nest(uapi::LIST_ELEM, |element| {
        element.text(EXPR_NAME, name);
        element.nest(EXPR_DATA, fill);
    });
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
