//! Docker's detach keys: a sequence typed at an attached terminal that ends the client's part in it. Pure.

/// Ctrl-p, Ctrl-q.
const DEFAULT: [u8; 2] = [0x10, 0x11];

/// Watches what is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detector {
    keys: Vec<u8>,
    matched: usize,
}

/// What came of a piece of input.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    /// What is for the container.
    pub through: Vec<u8>,
    /// The sequence was completed; what came after it is dropped.
    pub detaches: bool,
}

impl Detector {
    /// From `ctrl-x,y,…`; an empty text is the default.
    ///
    /// # Errors
    /// A key that does not exist.
    pub fn parse(text: &str) -> Result<Detector, String> {
        let keys = if text.is_empty() {
            DEFAULT.to_vec()
        } else {
            let parse = |key: &str| parse_key(key).ok_or_else(|| format!("Invalid detach keys ({text}) provided"));
            text.split(',').map(parse).collect::<Result<_, _>>()?
        };
        Ok(Detector { keys, matched: 0 })
    }

    /// Takes a piece. The beginning of a sequence is held back until it is none.
    pub fn feed(&mut self, piece: &[u8]) -> Typed {
        let mut through = Vec::with_capacity(piece.len().saturating_add(self.matched));
        for byte in piece {
            if self.keys.get(self.matched) != Some(byte) {
                through.extend_from_slice(self.keys.get(..self.matched).unwrap_or_default());
                self.matched = 0;
            }
            if self.keys.get(self.matched) == Some(byte) {
                self.matched = self.matched.saturating_add(1);
            } else {
                through.push(*byte);
            }
            if self.matched == self.keys.len() {
                self.matched = 0;
                return Typed {
                    through,
                    detaches: true,
                };
            }
        }
        Typed {
            through,
            detaches: false,
        }
    }
}

fn parse_key(key: &str) -> Option<u8> {
    let lower = key.to_ascii_lowercase();
    if let Some(control) = lower.strip_prefix("ctrl-") {
        return match control.as_bytes() {
            [letter @ b'a'..=b'z'] => Some(letter & 0x1f),
            [sign @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => Some(sign & 0x1f),
            _ => None,
        };
    }
    match key.as_bytes() {
        [one] => Some(*one),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(detector: &mut Detector, piece: &[u8]) -> (Vec<u8>, bool) {
        let typed = detector.feed(piece);
        (typed.through, typed.detaches)
    }

    #[test]
    fn the_sequence_is_found_across_pieces_and_nothing_is_lost_before() {
        let mut default = Detector::parse("").unwrap();
        assert_eq!(feed(&mut default, b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(feed(&mut default, b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(feed(&mut default, b"x\x10\x10\x11y"), (b"x\x10".to_vec(), true));
        let mut own = Detector::parse("ctrl-a,z,ctrl-@").unwrap();
        assert_eq!(feed(&mut own, b"\x01z\x00"), (vec![], true));
    }

    #[test]
    fn keys_that_do_not_exist_are_refused() {
        for text in ["ctrl-", "ctrl-1", "shift-a", "a,,b"] {
            assert!(Detector::parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn without_the_sequence_everything_goes_through(pieces in proptest::collection::vec(proptest::collection::vec(0x10u8..0x13, 0..6), 0..6)) {
            let all = pieces.concat();
            let mut detector = Detector::parse("ctrl-p,ctrl-q,z").unwrap();
            let mut out = vec![];
            for piece in &pieces {
                out.extend(detector.feed(piece).through);
            }
            // What may still become the sequence is held back.
            out.extend(detector.feed(b"\0").through);
            proptest::prop_assert_eq!(out, [all, b"\0".to_vec()].concat());
        }
    }
}
