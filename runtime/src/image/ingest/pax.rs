//! PAX extended headers: records to the few facts a layer may state. Pure.

use keelson_erofs::{Time, Xattrs};

const XATTR: &[u8] = b"SCHILY.xattr.";

/// What an extended header overrides; `None` where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pax {
    /// Name of the entry.
    pub path: Option<Vec<u8>>,
    /// Target of a link.
    pub link: Option<Vec<u8>>,
    /// Bytes of contents.
    pub size: Option<u64>,
    /// Owner.
    pub uid: Option<u64>,
    /// Group.
    pub gid: Option<u64>,
    /// Modification time.
    pub mtime: Option<Time>,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// Whether the contents are a sparse map, which we do not read.
    pub sparse: bool,
}

/// Reads the records of an extended header; `None` when one is malformed. Unknown keys mean nothing.
#[must_use]
pub fn parse_pax(content: &[u8]) -> Option<Pax> {
    let mut pax = Pax::default();
    let mut rest = content;
    while rest.first().is_some_and(|byte| *byte != 0) {
        let (record, after) = split_record(rest)?;
        rest = after;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
        apply(&mut pax, key, value)?;
    }
    Some(pax)
}

/// The first record without its length and newline, and what follows it.
fn split_record(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = content.iter().take(12).position(|byte| *byte == b' ')?;
    let length = parse_number(content.get(..space)?)?;
    let (record, after) = content.split_at_checked(usize::try_from(length).ok()?)?;
    Some((record.get(space + 1..)?.strip_suffix(b"\n")?, after))
}

fn apply(pax: &mut Pax, key: &[u8], value: &[u8]) -> Option<()> {
    if let Some(name) = key.strip_prefix(XATTR) {
        pax.xattrs.insert(name.to_vec(), value.to_vec());
        return Some(());
    }
    pax.sparse |= key.starts_with(b"GNU.sparse.");
    if value.is_empty() {
        return Some(());
    }
    match key {
        b"path" => pax.path = Some(value.to_vec()),
        b"linkpath" => pax.link = Some(value.to_vec()),
        b"size" => pax.size = Some(parse_number(value)?),
        b"uid" => pax.uid = Some(parse_number(value)?),
        b"gid" => pax.gid = Some(parse_number(value)?),
        b"mtime" => pax.mtime = Some(parse_time(value)?),
        _ => {}
    }
    Some(())
}

fn parse_number(digits: &[u8]) -> Option<u64> {
    let valid = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    valid.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// `-12.3456`: seconds and a fraction of any length; nanoseconds count upwards from the second below.
fn parse_time(text: &[u8]) -> Option<Time> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(parse_number(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanoseconds = (0..9).fold(0, |sum: u32, at| {
        sum * 10 + u32::from(fraction.get(at).map_or(0, |digit| digit - b'0'))
    });
    Some(match (negative, nanoseconds) {
        (false, nanoseconds) => Time { seconds, nanoseconds },
        (true, 0) => Time {
            seconds: -seconds,
            nanoseconds: 0,
        },
        (true, nanoseconds) => Time {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_layer_states() {
        let content: Vec<u8> = [
            ("mtime", b"1700000000.123456789".as_slice()),
            ("path", b"a/b"),
            ("SCHILY.xattr.user.x", b"a=b\nc\0d"),
            ("uid", b"100"),
            ("comment", b""),
        ]
        .iter()
        .flat_map(|(key, value)| record(key, value))
        .collect();
        let pax = parse_pax(&content).unwrap();
        assert_eq!(pax.path.as_deref(), Some(b"a/b".as_slice()));
        assert_eq!(pax.uid, Some(100));
        assert_eq!(
            pax.mtime,
            Some(Time {
                seconds: 1_700_000_000,
                nanoseconds: 123_456_789
            })
        );
        assert_eq!(pax.xattrs[b"user.x".as_slice()], b"a=b\nc\0d");
    }

    /// A record with its length, which counts its own digits.
    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let length = (1..)
            .map(|digits| body + digits)
            .find(|n| n.to_string().len() + body == *n)
            .unwrap();
        [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn times_count_upwards() {
        for (text, seconds, nanoseconds) in [
            ("5", 5, 0),
            ("5.5", 5, 500_000_000),
            ("-1.25", -2, 750_000_000),
            ("-3", -3, 0),
            ("1.0000000019", 1, 1),
        ] {
            assert_eq!(
                parse_time(text.as_bytes()),
                Some(Time { seconds, nanoseconds }),
                "{text}"
            );
        }
        assert_eq!(parse_time(b"1e9"), None);
        assert_eq!(parse_time(b""), None);
    }

    #[test]
    fn refuses_malformed_records() {
        for content in [
            "5 a=b",
            "x a=b\n",
            "99999999999999999999 a=b\n",
            "4 ab\n",
            "6 a=b\nx",
            "11 uid=abc\n",
        ] {
            assert_eq!(parse_pax(content.as_bytes()), None, "{content:?}");
        }
    }
}
