//! Domain names as configuration sources give them: checked text, and DNS wire form with compression
//! (RFC 1035 section 4.1.4). Pure.

/// Longest name in text.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;
/// Names taken from one list; more is abuse.
const LIST_MAX: usize = 16;
/// Pointers followed per name.
const JUMPS_MAX: usize = 16;

/// A name in lower case without its final dot; None unless it is a plausible host or domain name.
pub fn normalise(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('.');
    let fits = (1..=NAME_MAX).contains(&text.len()) && text.split('.').all(is_label);
    fits.then(|| text.to_ascii_lowercase())
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_MAX).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// The names in a list in wire form, whose pointers refer to the list itself. Stops at the first that
/// is malformed; leaves out the root (which router advertisements use as padding).
pub fn parse_wire_list(bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < bytes.len() && names.len() < LIST_MAX {
        let Some((name, end)) = parse_wire(bytes, at) else {
            break;
        };
        names.extend(normalise(&name));
        at = end;
    }
    names
}

/// The name at `at` and where the bytes behind it begin.
fn parse_wire(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut end = None;
    let mut jumps = 0;
    loop {
        let length = *bytes.get(at)?;
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = bytes.get(at + 1..at + 1 + usize::from(length))?;
                name.push_str(std::str::from_utf8(label).ok()?);
                name.push('.');
                at += 1 + usize::from(length);
            }
            192.. => {
                let low = *bytes.get(at + 1)?;
                end = end.or(Some(at + 2));
                at = usize::from(length & 0x3f) << 8 | usize::from(low);
                jumps += 1;
            }
            64..=191 => return None,
        }
        if jumps > JUMPS_MAX || name.len() > NAME_MAX + 1 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plausible_names_only() {
        let table = [
            ("Web-1.Example.ORG.", Some("web-1.example.org")),
            ("_srv.example", Some("_srv.example")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("-a", None),
            ("a b", None),
            ("ä.de", None),
        ];
        for (text, expected) in table {
            assert_eq!(normalise(text).as_deref(), expected, "{text}");
        }
        assert_eq!(normalise(&"a".repeat(64)), None);
        assert_eq!(
            normalise(&"a.".repeat(127)),
            Some("a.".repeat(127).trim_end_matches('.').into())
        );
        assert_eq!(normalise(&"a.".repeat(128)), None);
    }

    #[test]
    fn compressed_lists() {
        // The example of RFC 3397: eng.apple.com, marketing.apple.com.
        let bytes = b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04";
        assert_eq!(parse_wire_list(bytes), ["eng.apple.com", "marketing.apple.com"]);
        assert_eq!(parse_wire_list(b"\x03eng\x00\x00\x00\x00"), ["eng"]);
    }

    #[test]
    fn loops_and_cuts_end() {
        for bytes in [&b"\xc0\x00"[..], b"\x01a\xc0\x00", b"\x05ab", b"\x40a", b"\xc0"] {
            assert!(parse_wire_list(bytes).is_empty(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(parse_wire_list(&bytes).len() <= LIST_MAX);
        }
    }
}
