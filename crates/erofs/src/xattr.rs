//! Inline extended attributes: names to bytes behind an inode, and back. Knows prefixes and padding.

use crate::tree::Xattrs;

/// Bytes of the header before the entries.
pub const HEADER: usize = 12;

/// Prefixes that have a number; the whole name must match the two access lists.
const PREFIXES: [(u8, &[u8]); 5] = [
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (1, b"user."),
    (4, b"trusted."),
    (6, b"security."),
];

fn split_name(name: &[u8]) -> Option<(u8, &[u8])> {
    let (index, suffix) = PREFIXES
        .iter()
        .find_map(|(index, prefix)| Some((*index, name.strip_prefix(*prefix)?)))?;
    let list = matches!(index, 2 | 3);
    (list == suffix.is_empty() && suffix.len() <= 255).then_some((index, suffix))
}

/// The xattr body of an inode, a multiple of four bytes, empty without attributes. `Err` carries the
/// attribute that has no place: an unknown prefix, a value over 65,535 bytes, or all of them over 256 KiB.
pub fn encode(xattrs: &Xattrs) -> Result<Vec<u8>, Vec<u8>> {
    if xattrs.is_empty() {
        return Ok(Vec::new());
    }
    let mut out = vec![0; HEADER];
    for (name, value) in xattrs {
        let (index, suffix) = split_name(name).ok_or_else(|| name.clone())?;
        let value_len = u16::try_from(value.len()).map_err(|_| name.clone())?;
        let name_len = u8::try_from(suffix.len()).map_err(|_| name.clone())?;
        out.extend_from_slice(&[name_len, index]);
        out.extend_from_slice(&value_len.to_le_bytes());
        out.extend_from_slice(suffix);
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(4), 0);
        if count(out.len()).is_none() {
            return Err(name.clone());
        }
    }
    Ok(out)
}

/// The count word for a body of this many bytes.
pub fn count(body: usize) -> Option<u16> {
    match body.checked_sub(HEADER) {
        None => Some(0),
        Some(entries) => u16::try_from(entries / 4 + 1).ok(),
    }
}

/// Bytes of the body a count word stands for.
pub fn body_size(count: u16) -> u64 {
    if count == 0 {
        0
    } else {
        HEADER as u64 + 4 * (u64::from(count) - 1)
    }
}

/// Attributes of a body; `None` when it is malformed or uses shared attributes, which we never write.
pub fn decode(body: &[u8]) -> Option<Xattrs> {
    let mut xattrs = Xattrs::new();
    if body.is_empty() {
        return Some(xattrs);
    }
    if *body.get(4)? != 0 {
        return None;
    }
    let mut rest = body.get(HEADER..)?;
    while let Some((entry, after)) = rest.split_at_checked(4) {
        let (name_len, index) = (usize::from(*entry.first()?), *entry.get(1)?);
        let value_len = usize::from(u16::from_le_bytes([*entry.get(2)?, *entry.get(3)?]));
        if (name_len, index, value_len) == (0, 0, 0) {
            break;
        }
        let prefix = PREFIXES.iter().find(|(known, _)| *known == index)?.1;
        let (suffix, after) = after.split_at_checked(name_len)?;
        let value = after.get(..value_len)?;
        xattrs.insert([prefix, suffix].concat(), value.to_vec());
        let used = (4 + name_len + value_len).next_multiple_of(4);
        rest = rest.get(used..).unwrap_or_default();
    }
    Some(xattrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_encoding() {
        let xattrs = Xattrs::from([
            (b"security.capability".to_vec(), vec![1; 20]),
            (b"system.posix_acl_access".to_vec(), vec![2; 28]),
            (b"trusted.overlay.redirect".to_vec(), b"/ab/cd".to_vec()),
            (b"user.x".to_vec(), vec![]),
        ]);
        let body = encode(&xattrs).unwrap();
        assert_eq!(body_size(count(body.len()).unwrap()), body.len() as u64);
        assert_eq!(decode(&body).unwrap(), xattrs);
    }

    #[test]
    fn refuses_what_has_no_place() {
        for name in ["system.other", "lustre.x", "user", "system.posix_acl_accessory"] {
            let xattrs = Xattrs::from([(name.as_bytes().to_vec(), vec![])]);
            assert!(encode(&xattrs).is_err(), "{name}");
        }
        let large = Xattrs::from([(b"user.x".to_vec(), vec![0; 65_536])]);
        assert!(encode(&large).is_err());
    }
}
