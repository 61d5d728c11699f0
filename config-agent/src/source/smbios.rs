//! SMBIOS: strings of type 11, by which a hypervisor hands credentials to a machine.
//!
//! After DMTF DSP0134 3.7 (7.12, OEM Strings) and systemd's names: `io.systemd.credential:NAME=TEXT` and
//! `io.systemd.credential.binary:NAME=BASE64`. Read from the raw table: what is cut short shows there.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::credential::{self, Part, Parts};
use super::{Kind, Looked, Origin};

/// Where the kernel shows the table.
const TABLE: &str = "firmware/dmi/tables/DMI";
/// Longest table; firmware with 32-bit entry points allows 64 KiB.
const MAX_TABLE: u64 = 1 << 20;
/// The most that all parts may have together: beyond 64 KiB of table firmware cuts without a word.
pub const MAX_PAYLOAD: usize = 48 << 10;

const TEXT: &[u8] = b"io.systemd.credential:";
const BINARY: &[u8] = b"io.systemd.credential.binary:";
const OEM_STRINGS: u8 = 11;
const END: u8 = 127;

/// Why a table cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmbiosError {
    /// A structure or its strings have no end.
    #[error(
        "the SMBIOS table ends within a structure: the firmware cut it; hand over at most {MAX_PAYLOAD} bytes, or use fw_cfg"
    )]
    Cut,
    /// A binary credential is not base64.
    #[error("the SMBIOS credential {0} is not base64")]
    Base64(String),
    /// Beyond the bound.
    #[error("the SMBIOS credentials have {0} bytes, more than {MAX_PAYLOAD}: use fw_cfg or a volume")]
    TooLong(usize),
    /// Given twice.
    #[error("{0}")]
    Twice(#[from] credential::Twice),
}

/// Looks at the table, if the machine has one.
pub(super) fn look(sys: &Path, looked: &mut Looked) {
    looked.at.push("SMBIOS strings".to_owned());
    let table = match super::bounded_read(&sys.join(TABLE), MAX_TABLE) {
        Ok(table) => table,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            looked.problems.push(format!("cannot read the SMBIOS table: {error}"));
            return;
        }
    };
    let found = parts(&table).map(|parts| parts.found(Kind::Smbios, |name| Origin::only(Kind::Smbios, name)));
    looked.add(found.map_err(|error| error.to_string()));
}

/// The credentials of a table that are meant for this program.
///
/// # Errors
/// [`SmbiosError`].
pub fn parts(table: &[u8]) -> Result<Parts, SmbiosError> {
    let mut parts = Parts::default();
    for string in oem_strings(table)? {
        let (text, is_binary) = match (string.strip_prefix(TEXT), string.strip_prefix(BINARY)) {
            (Some(text), _) => (text, false),
            (_, Some(text)) => (text, true),
            _ => continue,
        };
        let Some((name, value)) = split_once(text, b'=') else {
            continue;
        };
        let Some(part) = Part::of_credential(name) else {
            continue;
        };
        let value = if is_binary {
            decoded(part, value)?
        } else {
            value.to_vec()
        };
        parts.add(part, part.credential(), value)?;
    }
    match parts.len() {
        length if length > MAX_PAYLOAD => Err(SmbiosError::TooLong(length)),
        _ => Ok(parts),
    }
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().position(|byte| *byte == at)?;
    Some((bytes.get(..place)?, bytes.get(place + 1..)?))
}

fn decoded(part: Part, text: &[u8]) -> Result<Vec<u8>, SmbiosError> {
    let compact: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    STANDARD
        .decode(compact)
        .map_err(|_| SmbiosError::Base64(part.credential().to_owned()))
}

/// All strings of all structures of type 11.
fn oem_strings(table: &[u8]) -> Result<Vec<&[u8]>, SmbiosError> {
    let mut strings = Vec::new();
    let mut rest = table;
    while let [kind, length, ..] = *rest {
        let (set, tail) = string_set(rest.get(usize::from(length).max(4)..).ok_or(SmbiosError::Cut)?)?;
        match kind {
            OEM_STRINGS => strings.extend(set),
            END => break,
            _ => {}
        }
        rest = tail;
    }
    Ok(strings)
}

/// The strings at the end of a structure, and what follows: strings end with a zero, the set with another; an empty
/// set is two zeros.
fn string_set(bytes: &[u8]) -> Result<(Vec<&[u8]>, &[u8]), SmbiosError> {
    if let Some(tail) = bytes.strip_prefix(&[0, 0]) {
        return Ok((Vec::new(), tail));
    }
    let mut strings = Vec::new();
    let mut rest = bytes;
    loop {
        let (string, tail) = split_once(rest, 0).ok_or(SmbiosError::Cut)?;
        if string.is_empty() {
            return Ok((strings, tail));
        }
        strings.push(string);
        rest = tail;
    }
}

/// One of the firmware's words about the machine; `None` when it says nothing.
pub(super) fn identity(sys: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(sys.join("class/dmi/id").join(name)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(kind: u8, strings: &[&str]) -> Vec<u8> {
        let mut out = vec![kind, 5, 0, 0, u8::try_from(strings.len()).unwrap()];
        for string in strings {
            out.extend(string.as_bytes());
            out.push(0);
        }
        out.extend(if strings.is_empty() { &[0, 0][..] } else { &[0] });
        out
    }

    fn table(strings: &[&str]) -> Vec<u8> {
        [structure(1, &["QEMU"]), structure(11, strings), structure(127, &[])].concat()
    }

    #[test]
    fn finds_text_and_base64() {
        for string in [
            "io.systemd.credential:keelson.config=schema = 1",
            "io.systemd.credential.binary:keelson.config=c2NoZW1h ID0gMQ==",
        ] {
            let parts = parts(&table(&["other", "io.systemd.credential:x=y", string])).unwrap();
            assert_eq!(parts.get(Part::Document), Some(&b"schema = 1"[..]));
        }
        assert_eq!(parts(&[]).unwrap().len(), 0);
        assert_eq!(parts(&table(&[])).unwrap().len(), 0);
    }

    #[test]
    fn what_is_cut_or_wrong_is_an_error() {
        let whole = table(&["io.systemd.credential:keelson.config=schema = 1"]);
        let end = whole.len() - structure(127, &[]).len();
        for cut in [end - 1, end - 2, end - 20, 3] {
            assert_eq!(parts(&whole[..cut]).err(), Some(SmbiosError::Cut), "{cut}");
        }
        let bad = table(&["io.systemd.credential.binary:keelson.config=!"]);
        assert!(matches!(parts(&bad), Err(SmbiosError::Base64(_))));
        let long = format!("io.systemd.credential:keelson.config={}", "x".repeat(MAX_PAYLOAD + 1));
        assert!(matches!(parts(&table(&[&long])), Err(SmbiosError::TooLong(_))));
        let one = "io.systemd.credential:keelson.config=a";
        assert!(matches!(parts(&table(&[one, one])), Err(SmbiosError::Twice(_))));
    }
}
