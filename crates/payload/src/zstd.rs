//! One zstd frame, decoded within bounds, with the bytes that went before it if it refers to any.
//!
//! Source: RFC 8878. A frame made with a prefix refers to bytes before its own first one; the decoder knows such bytes
//! only as a dictionary's content, so the prefix goes in as one whose tables no frame of ours uses.

use ruzstd::decoding::{BlockDecodingStrategy, Dictionary, FrameDecoder};
use thiserror::Error;

/// Most bytes a frame may need before it gives any.
const FRAME_WINDOW: u64 = 8 << 20;
/// Bytes decoded between two looks at how many there are.
const STRIDE: usize = 256 << 10;
/// Number of the dictionary; never in a frame.
const DICTIONARY: u32 = 1;

/// A dictionary without content: identification, number, one Huffman and three FSE tables with a single symbol or two,
/// offsets. RFC 8878, section 5.
const EMPTY_DICTIONARY: [u8; 28] = [
    0x37, 0xa4, 0x30, 0xec, 1, 0, 0, 0, // identification, number
    128, 0x10, // Huffman: one weight of 1, the second symbol takes the rest
    0xf0, 0x03, // FSE: 32 states for symbol 0
    0xf0, 0x03, 0xf0, 0x03, // the same twice
    1, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, // offsets a frame begins with
];

/// Why a frame gives nothing.
#[derive(Debug, Error)]
pub enum FrameError {
    /// Not zstd, or damaged.
    #[error("no zstd frame: {0}")]
    Decoder(String),
    /// Its header promises another size.
    #[error("the frame says it holds {found} bytes, at most {most} can be")]
    Size {
        /// Bytes it says.
        found: u64,
        /// Bytes there can be.
        most: usize,
    },
    /// It gives another number of bytes than its header says.
    #[error("the frame holds other than the {0} bytes it says")]
    Content(u64),
    /// Something follows it.
    #[error("{0} bytes follow the frame")]
    Trailing(usize),
}

/// Decodes the one frame in `bytes`, which says its size, at most `most`. `prefix` is what went before.
pub(crate) fn decode(prefix: Vec<u8>, mut bytes: &[u8], most: usize) -> Result<Vec<u8>, FrameError> {
    let failed = |error: &dyn std::fmt::Display| FrameError::Decoder(error.to_string());
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(FRAME_WINDOW);
    decoder.init(&mut bytes).map_err(|error| failed(&error))?;
    let size = decoder.content_size();
    if size > most as u64 {
        return Err(FrameError::Size { found: size, most });
    }
    if !prefix.is_empty() {
        let mut dictionary = Dictionary::decode_dict(&EMPTY_DICTIONARY).map_err(|error| failed(&error))?;
        dictionary.dict_content = prefix;
        decoder.add_dict(dictionary).map_err(|error| failed(&error))?;
        decoder.force_dict(DICTIONARY).map_err(|error| failed(&error))?;
    }
    while !decoder.is_finished() {
        decoder
            .decode_blocks(&mut bytes, BlockDecodingStrategy::UptoBytes(STRIDE))
            .map_err(|error| failed(&error))?;
        if decoder.can_collect() as u64 > size {
            return Err(FrameError::Content(size));
        }
    }
    let content = decoder.collect().unwrap_or_default();
    if content.len() as u64 != size {
        Err(FrameError::Content(size))
    } else if bytes.is_empty() {
        Ok(content)
    } else {
        Err(FrameError::Trailing(bytes.len()))
    }
}
