//! Blob to tar: gzip, zstd or neither, told by the first bytes as other engines do, since media types lie.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

const BUFFER: usize = 128 * 1024;
/// Largest window of a zstd frame, as log2 of bytes: 128 MiB, zstd's own default for decoders.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How a blob is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, skippable frames included.
    Zstd,
}

/// Tells the packing by the first four bytes.
#[must_use]
pub fn detect(start: &[u8]) -> Compression {
    match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// The unpacked stream of a blob.
///
/// # Errors
/// The blob's own I/O errors.
pub fn decoder<'a>(blob: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut blob = BufReader::with_capacity(BUFFER, blob);
    Ok(match detect(blob.fill_buf()?) {
        Compression::None => Box::new(blob),
        Compression::Gzip => Box::new(MultiGzDecoder::new(blob)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(blob)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pack_gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn unpacks_each_kind() {
        let text = b"some text ".repeat(1000);
        // Two members, as parallel compressors make them.
        let gzip: Vec<u8> = [&text[..5000], &text[5000..]].into_iter().flat_map(pack_gzip).collect();
        let zstd = zstd::encode_all(text.as_slice(), 1).unwrap();
        for blob in [text.clone(), gzip, zstd] {
            let mut out = Vec::new();
            decoder(blob.as_slice()).unwrap().read_to_end(&mut out).unwrap();
            assert!(out == text);
        }
    }

    #[test]
    fn a_torn_blob_is_an_error() {
        let zstd = zstd::encode_all(b"some text ".repeat(1000).as_slice(), 1).unwrap();
        let mut out = Vec::new();
        assert!(decoder(&zstd[..zstd.len() - 4]).unwrap().read_to_end(&mut out).is_err());
    }
}
