//! How long a message may be: judged by its first sixteen bytes, before anything is allocated for the rest. The wire
//! format allows 128 MiB; nothing that is said to our objects is longer than a few hundred bytes.

/// Most bytes of a message from a client.
pub const MOST: usize = 16 << 10;
/// Bytes that say how long a message is.
const HEAD: usize = 16;

/// A message that is longer than [`MOST`], or that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// Its own header says so.
    #[error("a message of {bytes} bytes, at most {MOST} are taken")]
    TooLong {
        /// Length by its header.
        bytes: u64,
    },
    /// Neither order of bytes.
    #[error("no message: it begins with byte {byte:#x}")]
    NoMessage {
        /// The first byte.
        byte: u8,
    },
}

/// Follows a stream of messages through pieces of any size.
#[derive(Debug, Default)]
pub struct Bound {
    head: [u8; HEAD],
    have: usize,
    /// Bytes of the present message after its head.
    left: usize,
}

impl Bound {
    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// [`BoundError`]; the stream cannot be followed any further.
    pub fn advance(&mut self, mut bytes: &[u8]) -> Result<(), BoundError> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let (_, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= bytes.len() - rest.len();
                bytes = rest;
                continue;
            }
            if let Some(place) = self.head.get_mut(self.have) {
                *place = *first;
                self.have += 1;
            }
            bytes = rest;
            if self.have == HEAD {
                self.left = rest_of(&self.head)?;
                self.have = 0;
            }
        }
        Ok(())
    }
}

/// Bytes after the head: the rest of the fields, what fills them up to a multiple of eight, and the body.
fn rest_of(head: &[u8; HEAD]) -> Result<usize, BoundError> {
    let [order, _, _, _, b0, b1, b2, b3, _, _, _, _, f0, f1, f2, f3] = *head;
    let number = match order {
        b'l' => u32::from_le_bytes,
        b'B' => u32::from_be_bytes,
        byte => return Err(BoundError::NoMessage { byte }),
    };
    let (body, fields) = (number([b0, b1, b2, b3]), number([f0, f1, f2, f3]));
    let rest = u64::from(fields).next_multiple_of(8) + u64::from(body);
    let bytes = rest + HEAD as u64;
    match usize::try_from(rest) {
        Ok(rest) if bytes <= MOST as u64 => Ok(rest),
        _ => Err(BoundError::TooLong { bytes }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(order: u8, body: u32, fields: u32) -> Vec<u8> {
        let bytes = |number: u32| {
            if order == b'l' {
                number.to_le_bytes()
            } else {
                number.to_be_bytes()
            }
        };
        [&[order, 1, 0, 1], &bytes(body)[..], &bytes(1), &bytes(fields)].concat()
    }

    #[test]
    fn the_head_alone_is_enough_to_refuse() {
        for (order, body, fields, bytes) in [
            (b'l', 16 << 10, 0, (16 << 10) + 16),
            (b'B', 0, 128 << 20, (128 << 20) + 16),
            (b'l', u32::MAX, u32::MAX, 16 + (1 << 32) + u64::from(u32::MAX)),
        ] {
            let refused = Bound::default().advance(&head(order, body, fields));
            assert_eq!(refused, Err(BoundError::TooLong { bytes }));
        }
        assert_eq!(Bound::default().advance(&head(b'l', (16 << 10) - 16, 0)), Ok(()));
        let none = Bound::default().advance(&[0; 16]);
        assert_eq!(none, Err(BoundError::NoMessage { byte: 0 }));
    }

    proptest! {
        #[test]
        fn any_cut_of_a_stream_gives_the_same(
            sizes in proptest::collection::vec((0_u32..300, 0_u32..100), 1..6),
            cuts in proptest::collection::vec(1_usize..40, 1..100),
        ) {
            let mut stream = Vec::new();
            for (body, fields) in sizes {
                stream.extend(head(b'l', body, fields));
                let rest = fields.next_multiple_of(8) + body;
                stream.extend(std::iter::repeat_n(0xff, rest as usize));
            }
            stream.extend(head(b'B', 1 << 20, 0));
            let mut bound = Bound::default();
            let mut refused = None;
            let mut at = 0;
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(stream.len());
                if let Err(error) = bound.advance(&stream[at..end]) {
                    refused = Some((end, error));
                }
                at = end;
                if at == stream.len() {
                    break;
                }
            }
            let long = BoundError::TooLong { bytes: (1 << 20) + 16 };
            prop_assert_eq!(refused, Some((stream.len(), long)));
        }
    }
}
