//! What a document may be wrapped in: a first line with its length and digest, and compression.
//!
//! ```text
//! #keelson-document length=BYTES sha256=HEX
//! ```
//!
//! The line protects against sources that cut a document short without a word. What follows it counts, as it stands: if
//! it is compressed, the compressed bytes. A document is never longer than [`MAX_DOCUMENT`], before and after.

use std::io::{self, Read};

use keelson_machine_config::MAX_DOCUMENT;
use sha2::{Digest, Sha256};

use super::Found;
use crate::keyed::hex;

const MARK: &[u8] = b"#keelson-document";
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The most memory that zstd's window takes: 8 MiB.
const WINDOW_LOG: u32 = 23;

/// Why a document cannot be unwrapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// The first line is not of the agreed form.
    #[error("its first line is not `#keelson-document length=BYTES sha256=HEX`")]
    Line,
    /// The source lost or added bytes.
    #[error("it has {there} bytes where its first line says {said}: the source cut it short or added to it")]
    Length {
        /// Bytes that arrived.
        there: usize,
        /// Bytes that were meant.
        said: usize,
    },
    /// The source changed bytes.
    #[error("its SHA-256 is not the one in its first line")]
    Digest,
    /// Damaged.
    #[error("it is compressed with {0} and cannot be expanded: it is cut short or damaged")]
    Damaged(&'static str),
    /// A bomb, or simply too much.
    #[error("it expands to more than {MAX_DOCUMENT} bytes")]
    TooLong,
}

/// The document itself.
///
/// # Errors
/// [`EncodingError`]; the bytes of the document are never part of it.
pub fn document(bytes: Vec<u8>) -> Result<Vec<u8>, EncodingError> {
    if bytes.starts_with(MARK) {
        return checked(&bytes).and_then(|body| expanded(body.to_vec()));
    }
    expanded(bytes)
}

/// Unpacks the parts of what was found.
pub(super) fn unpack(mut found: Found) -> Result<Found, String> {
    let origin = found.origin.to_string();
    let unwrap = |what: &str, bytes: Vec<u8>| {
        document(bytes).map_err(|error| format!("the {what} from {origin} is not used: {error}"))
    };
    found.user_data = unwrap("document", found.user_data)?;
    found.vendor_data = found
        .vendor_data
        .map(|bytes| unwrap("vendor-data", bytes))
        .transpose()?;
    Ok(found)
}

/// What follows the first line, if it is what the line says.
fn checked(bytes: &[u8]) -> Result<&[u8], EncodingError> {
    let end = bytes
        .iter()
        .take(256)
        .position(|byte| *byte == b'\n')
        .ok_or(EncodingError::Line)?;
    let (line, body) = bytes.split_at(end);
    let body = body.get(1..).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| EncodingError::Line)?;
    let value = |key: &str| line.split_ascii_whitespace().find_map(|word| word.strip_prefix(key));
    let said: usize = value("length=")
        .and_then(|text| text.parse().ok())
        .ok_or(EncodingError::Line)?;
    let digest = value("sha256=").ok_or(EncodingError::Line)?;
    if body.len() != said {
        return Err(EncodingError::Length {
            there: body.len(),
            said,
        });
    }
    if !hex(&Sha256::digest(body)).eq_ignore_ascii_case(digest) {
        return Err(EncodingError::Digest);
    }
    Ok(body)
}

fn expanded(bytes: Vec<u8>) -> Result<Vec<u8>, EncodingError> {
    if bytes.starts_with(GZIP) {
        return bounded("gzip", flate2::read::MultiGzDecoder::new(bytes.as_slice()));
    }
    if bytes.starts_with(ZSTD) {
        let damaged = |_| EncodingError::Damaged("zstd");
        let mut decoder = zstd::Decoder::with_buffer(bytes.as_slice()).map_err(damaged)?;
        decoder.window_log_max(WINDOW_LOG).map_err(damaged)?;
        return bounded("zstd", decoder);
    }
    Ok(bytes)
}

fn bounded(name: &'static str, decoder: impl Read) -> Result<Vec<u8>, EncodingError> {
    let mut out = Vec::new();
    let read: io::Result<usize> = decoder.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut out);
    match read {
        Ok(length) if length > MAX_DOCUMENT => Err(EncodingError::TooLong),
        Ok(_) => Ok(out),
        Err(_) => Err(EncodingError::Damaged(name)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn marked(body: &[u8]) -> Vec<u8> {
        let line = format!(
            "#keelson-document length={} sha256={}\n",
            body.len(),
            hex(&Sha256::digest(body))
        );
        [line.as_bytes(), body].concat()
    }

    #[test]
    fn unwraps() {
        let text = b"schema = 1\n".to_vec();
        let zstd = zstd::encode_all(text.as_slice(), 3).unwrap();
        for wrapped in [text.clone(), gzip(&text), zstd, marked(&text), marked(&gzip(&text))] {
            assert_eq!(document(wrapped), Ok(text.clone()));
        }
        assert_eq!(document(Vec::new()), Ok(Vec::new()));
    }

    #[test]
    fn what_was_cut_or_changed_is_refused() {
        let whole = marked(b"schema = 1\n");
        let cut = whole[..whole.len() - 1].to_vec();
        assert_eq!(document(cut), Err(EncodingError::Length { there: 10, said: 11 }));
        let mut changed = whole;
        *changed.last_mut().unwrap() = b' ';
        assert_eq!(document(changed), Err(EncodingError::Digest));
        assert_eq!(
            document(b"#keelson-document length=1\nx".to_vec()),
            Err(EncodingError::Line)
        );
        assert_eq!(document(b"#keelson-document".to_vec()), Err(EncodingError::Line));
        let whole = gzip(b"schema = 1\n");
        assert_eq!(
            document(whole[..whole.len() - 4].to_vec()),
            Err(EncodingError::Damaged("gzip"))
        );
    }

    #[test]
    fn bombs_are_refused() {
        let zeros = vec![0; MAX_DOCUMENT + 1];
        assert_eq!(document(gzip(&zeros)), Err(EncodingError::TooLong));
        let zstd = zstd::encode_all(zeros.as_slice(), 3).unwrap();
        assert_eq!(document(zstd), Err(EncodingError::TooLong));
        assert!(document(gzip(&zeros[..MAX_DOCUMENT])).is_ok());
    }
}
