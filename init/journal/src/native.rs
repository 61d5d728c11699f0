//! The journal's native protocol: one datagram, or one sealed memory file, is one entry.
//!
//! Source: systemd `JOURNAL_NATIVE_PROTOCOL`. Lines `NAME=value`, or `NAME`, a newline, the value's length as 64-bit
//! little-endian, the value and a newline.

use thiserror::Error;

use crate::entry::{ENTRY_BYTES, Fields, MOST_FIELDS, VALUE_BYTES, is_client_name};

/// Why a datagram is no entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NativeError {
    /// The length of a value reaches beyond the datagram or the limit.
    #[error("a value of {length} bytes does not fit")]
    Length {
        /// As announced.
        length: u64,
    },
    /// A value with a length is not followed by a newline.
    #[error("a value is not followed by a newline")]
    Unterminated,
    /// More bytes than an entry may have.
    #[error("{found} bytes are more than an entry may have")]
    TooLarge {
        /// Bytes given.
        found: usize,
    },
}

/// Reads the fields of one entry. Fields whose name a sender may not use are left out, as are those beyond the most.
///
/// # Errors
/// The datagram is not of the protocol's form.
pub fn parse(mut data: &[u8]) -> Result<Fields, NativeError> {
    if data.len() > ENTRY_BYTES {
        return Err(NativeError::TooLarge { found: data.len() });
    }
    let mut fields = Fields::new();
    while !data.is_empty() {
        let (line, rest) = split_once(data, b'\n');
        let (name, value, rest) = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => (
                line.get(..at).unwrap_or_default(),
                line.get(at + 1..).unwrap_or_default(),
                rest,
            ),
            None if line.is_empty() => {
                data = rest;
                continue;
            }
            None => {
                let (value, rest) = sized_value(rest)?;
                (line, value, rest)
            }
        };
        keep(&mut fields, name, value);
        data = rest;
    }
    Ok(fields)
}

fn keep(fields: &mut Fields, name: &[u8], value: &[u8]) {
    let Ok(name) = std::str::from_utf8(name) else { return };
    if is_client_name(name) && fields.len() < MOST_FIELDS && value.len() <= VALUE_BYTES {
        fields.push(name, value);
    }
}

/// Length, value, newline.
fn sized_value(data: &[u8]) -> Result<(&[u8], &[u8]), NativeError> {
    let (length, rest) = data.split_first_chunk::<8>().ok_or(NativeError::Length { length: 0 })?;
    let length = u64::from_le_bytes(*length);
    let fits = usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length));
    let (value, rest) = fits.ok_or(NativeError::Length { length })?;
    match rest.split_first() {
        Some((b'\n', rest)) => Ok((value, rest)),
        _ => Err(NativeError::Unterminated),
    }
}

/// Up to a byte and behind it; the whole if it does not occur.
fn split_once(data: &[u8], at: u8) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == at) {
        Some(index) => (
            data.get(..index).unwrap_or_default(),
            data.get(index + 1..).unwrap_or_default(),
        ),
        None => (data, &[]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sized(name: &str, value: &[u8]) -> Vec<u8> {
        let mut data = format!("{name}\n").into_bytes();
        data.extend((value.len() as u64).to_le_bytes());
        data.extend(value);
        data.push(b'\n');
        data
    }

    #[test]
    fn both_forms_of_a_field_are_read() {
        let mut data = b"PRIORITY=4\n".to_vec();
        data.extend(sized("MESSAGE", b"two\nlines"));
        let fields = parse(&data).unwrap();
        assert_eq!(fields.text("PRIORITY"), Some("4"));
        assert_eq!(fields.text("MESSAGE"), Some("two\nlines"));
    }

    #[test]
    fn the_journals_own_names_are_dropped() {
        let fields = parse(b"_UID=0\nMESSAGE=a=b\n__CURSOR=x\nlower=1\nLAST=no newline").unwrap();
        assert_eq!(fields.len(), 2);
        assert_eq!(fields.text("MESSAGE"), Some("a=b"));
        assert_eq!(fields.text("LAST"), Some("no newline"));
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let mut data = b"MESSAGE\n".to_vec();
        data.extend(u64::MAX.to_le_bytes());
        assert_eq!(parse(&data), Err(NativeError::Length { length: u64::MAX }));
        assert_eq!(parse(b"MESSAGE\nab"), Err(NativeError::Length { length: 0 }));
        let mut data = sized("MESSAGE", b"abc");
        data.pop();
        assert_eq!(parse(&data), Err(NativeError::Unterminated));
    }

    proptest! {
        #[test]
        fn any_value_passes_whole(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let fields = parse(&sized("MESSAGE", &value)).unwrap();
            prop_assert_eq!(fields.get("MESSAGE"), Some(value.as_slice()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&data);
        }
    }
}
