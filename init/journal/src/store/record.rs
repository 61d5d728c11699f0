//! One entry as bytes: length and CRC-32C of the body, then the body. `docs/formats/journal-store.md`.

use thiserror::Error;

use crate::entry::{ENTRY_BYTES, Entry, Fields, MOST_FIELDS};

/// Bytes in front of the body.
pub const PREFIX_BYTES: usize = 8;
/// Largest body: an entry of the largest size with its lengths, and the journal's own fields.
const BODY_BYTES: usize = ENTRY_BYTES + (64 << 10);

/// Why bytes are no record. At the end of the newest segment this is a torn write.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The bytes end inside the record.
    #[error("the record is cut off")]
    Short,
    /// The length cannot be.
    #[error("a record of {length} bytes cannot be")]
    Length {
        /// As found.
        length: u32,
    },
    /// The checksum does not match.
    #[error("the record has a wrong checksum")]
    Checksum,
    /// The body does not hold what its counts say.
    #[error("the record's body is malformed")]
    Body,
}

/// The record of an entry.
#[must_use]
pub fn encode(entry: &Entry) -> Vec<u8> {
    let mut body = Vec::with_capacity(64 + entry.fields.bytes() + entry.fields.len() * 5);
    body.extend(entry.seq.to_le_bytes());
    body.extend(entry.realtime.to_le_bytes());
    body.extend(entry.monotonic.to_le_bytes());
    body.extend(entry.boot);
    let fields: Vec<_> = entry.fields.iter().take(MOST_FIELDS * 2).collect();
    body.extend(u16::try_from(fields.len()).unwrap_or(u16::MAX).to_le_bytes());
    for (name, value) in fields {
        body.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        body.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        body.extend(name.bytes().take(usize::from(u8::MAX)));
        body.extend(value);
    }
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut record = Vec::with_capacity(PREFIX_BYTES + body.len());
    record.extend(length.to_le_bytes());
    record.extend(crc32c::crc32c(&body).to_le_bytes());
    record.extend(body);
    record
}

/// Length of the body a prefix announces.
///
/// # Errors
/// It cannot be.
pub fn body_length(prefix: [u8; PREFIX_BYTES]) -> Result<usize, RecordError> {
    let [a, b, c, d, ..] = prefix;
    let length = u32::from_le_bytes([a, b, c, d]);
    let fits = usize::try_from(length)
        .ok()
        .filter(|length| (42..=BODY_BYTES).contains(length));
    fits.ok_or(RecordError::Length { length })
}

/// Reads the record at the beginning of `data`; gives its size too.
///
/// # Errors
/// Says why there is no whole record.
pub fn decode(data: &[u8]) -> Result<(Entry, usize), RecordError> {
    let (prefix, rest) = data.split_first_chunk::<PREFIX_BYTES>().ok_or(RecordError::Short)?;
    let length = body_length(*prefix)?;
    let body = rest.get(..length).ok_or(RecordError::Short)?;
    let [.., a, b, c, d] = *prefix;
    if crc32c::crc32c(body) != u32::from_le_bytes([a, b, c, d]) {
        return Err(RecordError::Checksum);
    }
    let entry = Body(body).entry().ok_or(RecordError::Body)?;
    Ok((entry, PREFIX_BYTES + length))
}

struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn entry(mut self) -> Option<Entry> {
        let seq = u64::from_le_bytes(self.array()?);
        let realtime = u64::from_le_bytes(self.array()?);
        let monotonic = u64::from_le_bytes(self.array()?);
        let boot = self.array()?;
        let count = u16::from_le_bytes(self.array()?);
        let mut fields = Fields::new();
        for _ in 0..count {
            let [name_length] = self.array()?;
            let value_length = u32::from_le_bytes(self.array()?);
            let name = std::str::from_utf8(self.bytes(usize::from(name_length))?).ok()?;
            fields.push(name, self.bytes(usize::try_from(value_length).ok()?)?);
        }
        self.0.is_empty().then_some(Entry {
            seq,
            realtime,
            monotonic,
            boot,
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(message: &[u8]) -> Entry {
        let fields = [("MESSAGE", message.to_vec()), ("PRIORITY", b"6".to_vec())]
            .into_iter()
            .collect();
        Entry {
            seq: 7,
            realtime: 1,
            monotonic: 2,
            boot: [9; 16],
            fields,
        }
    }

    proptest! {
        #[test]
        fn every_entry_reads_back(message in proptest::collection::vec(any::<u8>(), 0..300)) {
            let entry = entry(&message);
            let record = encode(&entry);
            prop_assert_eq!(decode(&record), Ok((entry, record.len())));
        }

        #[test]
        fn every_cut_and_every_changed_byte_is_noticed(at in 0usize..70, flip in 1u8..) {
            let record = encode(&entry(b"hello"));
            let at = at % record.len();
            prop_assert!(decode(&record[..at]).is_err());
            let mut changed = record.clone();
            changed[at] ^= flip;
            prop_assert!(decode(&changed).is_err());
        }
    }
}
