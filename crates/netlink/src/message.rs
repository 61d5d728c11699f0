//! Messages: what we send ([`Message`]), what comes back ([`Reply`]), and the split of a datagram
//! into replies ([`replies`]). Pure.

use crate::wire::{self, Buffer};
use rustix::io::Errno;

/// Length of the header in front of every message.
const HEADER: usize = 16;

/// Message flags (netlink's NLM_F_*).
pub mod flags {
    /// Every message of ours carries it.
    pub const REQUEST: u16 = 0x1;
    /// The kernel answers even when all is well.
    pub const ACK: u16 = 0x4;
    /// Ask for all objects.
    pub const DUMP: u16 = 0x300;
    /// Replace what is there.
    pub const REPLACE: u16 = 0x100;
    /// Fail when it is there.
    pub const EXCL: u16 = 0x200;
    /// Create it.
    pub const CREATE: u16 = 0x400;
    /// Put it at the end.
    pub const APPEND: u16 = 0x800;
}

/// Message types of netlink itself.
mod control {
    pub const NOOP: u16 = 1;
    pub const ERROR: u16 = 2;
    pub const DONE: u16 = 3;
    pub const OVERRUN: u16 = 4;
}

const FLAG_CAPPED: u16 = 0x100;
const FLAG_ACK_TLVS: u16 = 0x200;
const ERROR_ATTR_TEXT: u16 = 1;

/// A request, with words for the error that may follow.
#[derive(Debug, Clone)]
pub struct Message {
    /// Message type.
    pub kind: u16,
    /// Flags, [`flags::REQUEST`] included on sending.
    pub flags: u16,
    /// What it asks for, as the end of "the kernel refuses to …".
    pub what: String,
    /// Fixed header and attributes.
    pub body: Buffer,
}

impl Message {
    /// A message with this fixed header and no attributes yet.
    pub fn new(kind: u16, flags: u16, what: impl Into<String>, header: &[u8]) -> Self {
        let mut body = Buffer::new();
        body.raw(header);
        Self {
            kind,
            flags,
            what: what.into(),
            body,
        }
    }

    /// Appends the encoded message to `out`.
    pub fn encode(&self, sequence: u32, extra_flags: u16, out: &mut Vec<u8>) {
        let body = self.body.bytes();
        let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        let flags = self.flags | extra_flags | flags::REQUEST;
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(&self.kind.to_ne_bytes());
        out.extend_from_slice(&flags.to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        out.extend_from_slice(&0u32.to_ne_bytes());
        out.extend_from_slice(body);
    }
}

/// What one message from the kernel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    /// An object.
    Object {
        /// Message type.
        kind: u16,
        /// Fixed header and attributes.
        body: &'a [u8],
    },
    /// The request was carried out.
    Done,
    /// It was not.
    Refused {
        /// Code.
        errno: Errno,
        /// The kernel's words.
        detail: Option<String>,
    },
    /// The kernel had to drop messages.
    Overrun,
}

/// One message from the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Sequence number of the request it answers; 0 for an event.
    pub sequence: u32,
    /// What it says.
    pub content: Content<'a>,
}

/// Splits a datagram. Stops at the first message that does not fit.
pub fn replies(datagram: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        loop {
            let (reply, after) = next_reply(rest)?;
            rest = after;
            if reply.is_some() {
                return reply;
            }
        }
    })
}

/// The first message of `bytes` (None for one that says nothing) and what follows it.
fn next_reply(bytes: &[u8]) -> Option<(Option<Reply<'_>>, &[u8])> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let flags = u16::from_ne_bytes(*bytes.get(6..)?.first_chunk()?);
    let sequence = u32_at(bytes, 8)?;
    let body = bytes.get(HEADER..length)?;
    let rest = bytes.get(wire::align(length)..).unwrap_or_default();
    let content = match kind {
        control::NOOP => return Some((None, rest)),
        control::ERROR => parse_error(flags, body)?,
        control::DONE => parse_done(body),
        control::OVERRUN => Content::Overrun,
        _ => Content::Object { kind, body },
    };
    Some((Some(Reply { sequence, content }), rest))
}

/// `struct nlmsgerr`: code, the request (or its header only), then attributes.
fn parse_error(flags: u16, body: &[u8]) -> Option<Content<'_>> {
    let code = u32_at(body, 0)?.cast_signed();
    let request_length = usize::try_from(u32_at(body, 4)?).ok()?;
    let echoed = if flags & FLAG_CAPPED != 0 {
        HEADER
    } else {
        wire::align(request_length)
    };
    let attributes = (flags & FLAG_ACK_TLVS != 0)
        .then(|| body.get(4usize.checked_add(echoed)?..))
        .flatten()
        .unwrap_or_default();
    Some(verdict(code, attributes))
}

/// End of a dump: an optional code, then attributes.
fn parse_done(body: &[u8]) -> Content<'_> {
    let code = u32_at(body, 0).unwrap_or(0).cast_signed();
    verdict(code, body.get(4..).unwrap_or_default())
}

fn verdict(code: i32, attributes: &[u8]) -> Content<'static> {
    let Some(errno) = code.checked_neg().filter(|errno| (1..4096).contains(errno)) else {
        return Content::Done;
    };
    let detail = wire::attributes(attributes)
        .find(ERROR_ATTR_TEXT)
        .and_then(|attr| attr.as_text())
        .map(str::to_owned);
    Content::Refused {
        errno: Errno::from_raw_os_error(errno),
        detail,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Message::new(kind, flags, "test", body).encode(7, 0, &mut bytes);
        bytes
    }

    #[test]
    fn an_error_carries_code_sequence_and_words() {
        let mut body = Vec::new();
        body.extend_from_slice(&(-17i32).to_ne_bytes());
        body.extend_from_slice(&encoded(16, 0, &[]));
        let mut words = Buffer::new();
        words.text(ERROR_ATTR_TEXT, "File exists already");
        body.extend_from_slice(words.bytes());
        let bytes = encoded(control::ERROR, FLAG_CAPPED | FLAG_ACK_TLVS, &body);
        let all: Vec<_> = replies(&bytes).collect();
        assert_eq!(
            all,
            [Reply {
                sequence: 7,
                content: Content::Refused {
                    errno: Errno::EXIST,
                    detail: Some("File exists already".into())
                }
            }]
        );
    }

    #[test]
    fn a_zero_code_is_an_acknowledgement() {
        let body = [0u8; 4 + HEADER];
        let bytes = encoded(control::ERROR, 0, &body);
        assert_eq!(replies(&bytes).next().unwrap().content, Content::Done);
    }

    #[test]
    fn several_messages_share_a_datagram() {
        let mut bytes = encoded(16, 0, &[1, 2, 3, 4]);
        bytes.extend(encoded(control::NOOP, 0, &[]));
        bytes.extend(encoded(control::DONE, 0, &[0; 4]));
        let kinds: Vec<_> = replies(&bytes).map(|reply| reply.content).collect();
        assert_eq!(
            kinds,
            [
                Content::Object {
                    kind: 16,
                    body: &[1, 2, 3, 4]
                },
                Content::Done
            ]
        );
    }

    #[test]
    fn a_cut_message_ends_the_walk() {
        let bytes = encoded(16, 0, &[0; 32]);
        for length in 0..bytes.len() {
            assert_eq!(replies(&bytes[..length]).count(), 0, "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(replies(&bytes).count() <= bytes.len());
        }
    }
}
