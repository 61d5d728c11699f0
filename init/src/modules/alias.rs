//! Matching a device's alias against a module's pattern, as `fnmatch(3)` does: `*`, `?` and `[...]`. Pure, linear in
//! space, no recursion: aliases come from devices.

/// Whether `text` matches `pattern` as a whole.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go back to when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if let Some(after) = one(pattern, p, text.get(t).copied()) {
            p = after;
            t += 1;
        } else if let Some((after_star, from)) = star {
            star = Some((after_star, from + 1));
            p = after_star;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern
        .get(p..)
        .is_none_or(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// Matches one byte; the position in the pattern after it.
fn one(pattern: &[u8], at: usize, byte: Option<u8>) -> Option<usize> {
    let byte = byte?;
    match pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => set(pattern, at + 1, byte),
        literal if *literal == byte => Some(at + 1),
        _ => None,
    }
}

/// Matches `abc]`, `a-c]`, `!a]`; a set without an end matches nothing.
fn set(pattern: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    if negated {
        at += 1;
    }
    let mut found = false;
    let mut first = true;
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && !first {
            return (found != negated).then_some(at + 1);
        }
        first = false;
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(b'-'), Some(high)) if *high != b']' => {
                found |= (low..=*high).contains(&byte);
                at += 3;
            }
            _ => {
                found |= low == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_of_real_modules_match_real_devices() {
        let table = [
            ("virtio:d00000002v*", "virtio:d00000002v00001AF4", true),
            ("virtio:d00000001v*", "virtio:d00000002v00001AF4", false),
            (
                "pci:v*d*sv*sd*bc01sc06i01*",
                "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
                true,
            ),
            (
                "pci:v00008086d000025ABsv*sd*bc*sc*i*",
                "pci:v00008086d000025ABsv00001AF4sd00001100bc08sc80i00",
                true,
            ),
            ("scsi:t-0x00*", "scsi:t-0x00", true),
            (
                "usb:v05ACp*d*dc*dsc*dp*ic[0-9A]isc*",
                "usb:v05ACp1d2dc3dsc4dp5ic8isc6",
                true,
            ),
            ("usb:v[!0]*", "usb:v05AC", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXb", false),
            ("[]-]x", "]x", true),
            ("[a", "a", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn text_matches_itself_and_stars(text in "[a-z:0-9]{0,20}", at in 0..20usize) {
            prop_assert!(matches(&text, &text));
            let (head, tail) = text.split_at(at.min(text.len()));
            let starred = format!("{head}*{tail}");
            prop_assert!(matches(&starred, &text));
        }

        #[test]
        fn nothing_panics(pattern in ".{0,30}", text in ".{0,30}") {
            let _ = matches(&pattern, &text);
        }
    }
}
