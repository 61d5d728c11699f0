//! Frames: four bytes of length, little-endian, then that many bytes of one JSON object.
//!
//! The decoder is pure: bytes go in, objects come out; bounded by [`MAX_FRAME`].

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest JSON object either side accepts, in bytes.
pub const MAX_FRAME: usize = 4 << 20;

/// What can be wrong with a frame. After any of these the connection is useless.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length prefix is beyond [`MAX_FRAME`].
    #[error("frame of {length} bytes is longer than {MAX_FRAME}")]
    TooLong {
        /// The length it claims.
        length: usize,
    },
    /// Not the JSON object expected here.
    #[error("frame is not the expected message")]
    Json {
        /// What the JSON reader says.
        #[source]
        source: serde_json::Error,
    },
}

/// The bytes of one message, prefix included.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message).map_err(|source| FrameError::Json { source })?;
    let length = bytes.len().saturating_sub(4);
    let prefix = u32::try_from(length)
        .ok()
        .filter(|_| length <= MAX_FRAME)
        .ok_or(FrameError::TooLong { length })?;
    for (slot, byte) in bytes.iter_mut().zip(prefix.to_le_bytes()) {
        *slot = byte;
    }
    Ok(bytes)
}

/// Collects bytes until they make a frame.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
}

impl Decoder {
    /// Adds bytes as they came from the socket.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What has come and was not taken out.
    pub fn held(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether bytes of an unfinished frame are held.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the next whole frame's bytes out, `None` if more are needed.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let Some(prefix) = self.bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(FrameError::TooLong { length });
        }
        let end = length.saturating_add(4);
        if self.bytes.len() < end {
            return Ok(None);
        }
        let rest = self.bytes.split_off(end);
        let mut frame = std::mem::replace(&mut self.bytes, rest);
        frame.drain(..4);
        Ok(Some(frame))
    }

    /// Takes the next whole message out, `None` if more bytes are needed.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        match self.next_frame()? {
            None => Ok(None),
            Some(frame) => serde_json::from_slice(&frame)
                .map(Some)
                .map_err(|source| FrameError::Json { source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Request, RequestBody};
    use proptest::prelude::*;

    #[test]
    fn a_message_survives_any_cut() {
        let request = Request {
            id: 7,
            body: RequestBody::Kill {
                process: None,
                signal: 15,
                all: false,
            },
        };
        let bytes = encode(&request).unwrap();
        for cut in 0..bytes.len() {
            let mut decoder = Decoder::default();
            decoder.push(&bytes[..cut]);
            assert!(decoder.next_message::<Request>().unwrap().is_none(), "cut at {cut}");
            decoder.push(&bytes[cut..]);
            assert_eq!(decoder.next_message::<Request>().unwrap(), Some(request.clone()));
            assert!(decoder.is_empty());
        }
    }

    #[test]
    fn a_long_frame_is_refused_before_it_is_collected() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(matches!(decoder.next_frame(), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn the_wire_form_is_what_the_page_says() {
        let request = Request {
            id: 1,
            body: RequestBody::Wait {
                process: Some("e1".into()),
            },
        };
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"id":1,"op":"wait","process":"e1"}"#
        );
        let old: Request = serde_json::from_str(r#"{"id":2,"op":"delete","later":true}"#).unwrap();
        assert_eq!(old.body, RequestBody::Delete { force: false });
    }

    proptest! {
        #[test]
        fn no_bytes_panic(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let mut decoder = Decoder::default();
            for chunk in chunks {
                decoder.push(&chunk);
                if decoder.next_message::<Request>().is_err() { break; }
            }
        }
    }
}
