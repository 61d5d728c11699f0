//! Netlink's encoding: attributes (length, type, value, padding to four bytes), nested freely.
//!
//! [`Buffer`] writes, [`attributes`] reads. Reading never panics whatever the bytes: an attribute
//! that does not fit ends the walk.

/// Attribute type bit that says "nested".
const NESTED: u16 = 0x8000;
/// Mask that leaves the attribute's type.
const TYPE_MASK: u16 = 0x3fff;
/// Length of an attribute's header.
const HEADER: usize = 4;

/// Rounds up to netlink's alignment of four.
pub const fn align(length: usize) -> usize {
    length.div_ceil(4) * 4
}

/// Bytes of a message being built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Buffer {
    bytes: Vec<u8>,
    overflow: bool,
}

impl Buffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written, padded to four bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True when some attribute was longer than 65,535 bytes: the message must not be sent.
    pub fn overflowed(&self) -> bool {
        self.overflow
    }

    /// Appends raw bytes (a fixed header), padded.
    pub fn raw(&mut self, data: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(data);
        self.pad();
        self
    }

    /// Appends an attribute.
    pub fn attr(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value);
        self.close(start);
        self
    }

    /// Appends an attribute of one byte.
    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.attr(kind, &[value])
    }

    /// Appends an attribute of two bytes, host order.
    pub fn u16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Appends an attribute of four bytes, host order (rtnetlink's habit).
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Appends an attribute of four bytes, network order (nftables' habit).
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Appends an attribute of eight bytes, network order.
    pub fn be64(&mut self, kind: u16, value: u64) -> &mut Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Appends a text attribute, terminated by zero.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.close(start);
        self
    }

    /// Appends an attribute that holds what `fill` writes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.open(kind | NESTED);
        fill(self);
        self.close(start);
        self
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        let length = u16::try_from(self.bytes.len() - start).unwrap_or_else(|_| {
            self.overflow = true;
            u16::MAX
        });
        if let Some(field) = self.bytes.get_mut(start..start + 2) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(align(self.bytes.len()), 0);
    }
}

/// One attribute as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr<'a> {
    /// Type, without the flag bits.
    pub kind: u16,
    /// Value, without padding.
    pub value: &'a [u8],
}

impl<'a> Attr<'a> {
    /// First byte.
    pub fn as_u8(&self) -> Option<u8> {
        self.value.first().copied()
    }

    /// First two bytes, host order.
    pub fn as_u16(&self) -> Option<u16> {
        self.value.first_chunk().copied().map(u16::from_ne_bytes)
    }

    /// First four bytes, host order.
    pub fn as_u32(&self) -> Option<u32> {
        self.value.first_chunk().copied().map(u32::from_ne_bytes)
    }

    /// First four bytes, network order.
    pub fn as_be32(&self) -> Option<u32> {
        self.value.first_chunk().copied().map(u32::from_be_bytes)
    }

    /// Text up to the first zero byte; None unless UTF-8.
    pub fn as_text(&self) -> Option<&'a str> {
        let text = self.value.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(text).ok()
    }

    /// The attributes inside.
    pub fn nested(&self) -> Attributes<'a> {
        attributes(self.value)
    }
}

/// Walks the attributes in `bytes`; stops at the first that does not fit.
pub fn attributes(bytes: &[u8]) -> Attributes<'_> {
    Attributes { rest: bytes }
}

/// Iterator of [`attributes`].
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The first attribute of this type.
    pub fn find(mut self, kind: u16) -> Option<Attr<'a>> {
        Iterator::find(&mut self, |attr| attr.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attr<'a>;

    fn next(&mut self) -> Option<Attr<'a>> {
        let length = usize::from(u16::from_ne_bytes(*self.rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*self.rest.get(2..)?.first_chunk()?);
        let value = self.rest.get(HEADER..length)?;
        self.rest = self.rest.get(align(length)..).unwrap_or_default();
        Some(Attr {
            kind: kind & TYPE_MASK,
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let mut buffer = Buffer::new();
        buffer.text(3, "br0").nest(18, |inner| {
            inner.text(1, "bridge");
        });
        let seen: Vec<_> = attributes(buffer.bytes()).collect();
        assert_eq!(seen[0].as_text(), Some("br0"));
        assert_eq!(seen[1].kind, 18);
        assert_eq!(seen[1].nested().find(1).unwrap().as_text(), Some("bridge"));
        assert_eq!(buffer.bytes().len() % 4, 0);
    }

    #[test]
    fn a_value_too_long_for_its_length_field_is_noticed() {
        let mut buffer = Buffer::new();
        buffer.attr(1, &vec![0; 70_000]);
        assert!(buffer.overflowed());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec((0u16..0x3fff, prop::collection::vec(any::<u8>(), 0..40)), 0..12)) {
            let mut buffer = Buffer::new();
            for (kind, value) in &values {
                buffer.attr(*kind, value);
            }
            let read: Vec<_> = attributes(buffer.bytes()).map(|a| (a.kind, a.value.to_vec())).collect();
            prop_assert_eq!(read, values);
        }

        #[test]
        fn any_bytes_end_the_walk(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(attributes(&bytes).count() <= bytes.len() / HEADER + 1);
        }
    }
}
