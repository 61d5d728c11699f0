//! Signatures inside executables of firmware (PE files): what is covered, adding one, and reading them.
//!
//! Source: Microsoft "Windows Authenticode Portable Executable Signature Format" 1.0 and "PE Format".

use std::fmt;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::ID_SHA_256;
use der::asn1::{Any, OctetString};
use der::{Decode, Encode, Sequence};
use object::LittleEndian as LE;
use object::read::pe::PeFile64;
use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::keys::Key;
use super::signed_data::{self, EncodeError, VerifyError};

const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
/// `SpcAttributeTypeAndOptionalValue` for an executable: no flags and an empty file name, as everybody writes it.
const PE_IMAGE: &[u8] = &[
    0x30, 0x17, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x0f, 0x30, 0x09, 0x03, 0x01, 0x00,
    0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00,
];
const REVISION: u16 = 0x0200;
const PKCS_SIGNED_DATA: u16 = 2;
/// Length, revision and type before a signature.
const ENTRY_HEADER: usize = 8;
/// Entries of the table of signatures start at multiples of this.
const ALIGNMENT: usize = 8;
/// In the optional header of a 64-bit file.
const CHECKSUM: usize = 64;
const SECURITY: usize = 112 + 4 * 8;
const SECURITY_INDEX: u32 = 4;

/// Why a file cannot be signed, or its signatures not be read.
#[derive(Debug, Error)]
pub enum PeError {
    /// It is no 64-bit PE file.
    #[error("it is not a PE file")]
    Pe(#[from] object::read::Error),
    /// Headers or sections point outside of the file or into each other.
    #[error("its headers contradict each other")]
    Layout,
    /// Something lies between the sections, and would be covered by no signature.
    #[error("it has bytes between its sections, which no signature would cover")]
    Gap,
    /// The signature cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// A signature found in a file. As text: who signed, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Name of the certificate that signed, as RFC 4514 writes it; empty if it cannot be read.
    pub signer: String,
    /// What is wrong with it; `None`: it covers the file as it is.
    pub fault: Option<String>,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            None => f.write_str(&self.signer),
            Some(fault) if self.signer.is_empty() => write!(f, "invalid: {fault}"),
            Some(fault) => write!(f, "{}, invalid: {fault}", self.signer),
        }
    }
}

/// Places in a file.
#[derive(Debug)]
struct Layout {
    checksum: usize,
    security: usize,
    headers: usize,
    /// Start and end in the file, ascending, of those that have bytes.
    sections: Vec<(usize, usize)>,
    /// Start and end of the table of signatures, if there is one.
    table: Option<(usize, usize)>,
}

#[derive(Debug, Clone, Sequence)]
struct IndirectData {
    data: Any,
    digest: DigestInfo,
}

#[derive(Debug, Clone, Sequence)]
struct DigestInfo {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

/// The file with a signature by `key` in the place of those it had.
///
/// # Errors
/// See [`PeError`].
pub fn sign(file: &[u8], key: &Key) -> Result<Vec<u8>, PeError> {
    let mut out = without_signatures(file)?;
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    let layout = Layout::read(&out)?;
    if !layout.is_dense() {
        return Err(PeError::Gap);
    }
    let content = IndirectData {
        data: Any::from_der(PE_IMAGE).map_err(EncodeError::from)?,
        digest: DigestInfo {
            algorithm: AlgorithmIdentifierOwned {
                oid: ID_SHA_256,
                parameters: Some(Any::null()),
            },
            digest: OctetString::new(layout.digest(&out)).map_err(EncodeError::from)?,
        },
    };
    let content = Any::encode_from(&content).map_err(EncodeError::from)?;
    let signature = signed_data::sign_attached(key, INDIRECT_DATA, content)?;
    let table = (out.len(), (ENTRY_HEADER + signature.len()).next_multiple_of(ALIGNMENT));
    out.extend(number(ENTRY_HEADER + signature.len())?);
    out.extend(REVISION.to_le_bytes());
    out.extend(PKCS_SIGNED_DATA.to_le_bytes());
    out.extend(signature);
    out.resize(table.0 + table.1, 0);
    overwrite(
        &mut out,
        layout.security,
        &[number(table.0)?, number(table.1)?].concat(),
    );
    Ok(out)
}

/// The file as it was before it was signed. Its checksum becomes zero, which is "none".
///
/// # Errors
/// It is no PE file, or has something behind its signatures.
pub fn without_signatures(file: &[u8]) -> Result<Vec<u8>, PeError> {
    let layout = Layout::read(file)?;
    let mut out = file.to_vec();
    if let Some((start, end)) = layout.table {
        if end != out.len() {
            return Err(PeError::Layout);
        }
        out.truncate(start);
    }
    overwrite(&mut out, layout.security, &[0; 8]);
    overwrite(&mut out, layout.checksum, &[0; 4]);
    Ok(out)
}

/// The signatures in a file.
///
/// # Errors
/// It is no PE file.
pub fn signatures(file: &[u8]) -> Result<Vec<Signature>, PeError> {
    let layout = Layout::read(file)?;
    let Some((start, end)) = layout.table else {
        return Ok(Vec::new());
    };
    let digest = layout.digest(file);
    let mut table = file.get(start..end).unwrap_or_default();
    let mut found = Vec::new();
    while let Some((entry, rest)) = next_entry(table) {
        found.push(judge(entry, &digest));
        table = rest;
    }
    Ok(found)
}

/// The next entry of the table without its header, and what follows.
fn next_entry(table: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(u32::from_le_bytes(table.get(..4)?.try_into().ok()?)).ok()?;
    let entry = table.get(ENTRY_HEADER..length)?;
    let rest = table
        .get(length.checked_next_multiple_of(ALIGNMENT)?..)
        .unwrap_or_default();
    Some((entry, rest))
}

fn judge(entry: &[u8], digest: &[u8; 32]) -> Signature {
    // Up to seven zeros follow the message, so that the next entry is aligned.
    let exact = der_length(entry)
        .and_then(|length| entry.get(..length))
        .unwrap_or(entry);
    let (signer, content) = match signed_data::verify_attached(exact, INDIRECT_DATA) {
        Ok((signer, content)) => (signer.to_string(), content),
        Err(error) => {
            return Signature {
                signer: String::new(),
                fault: Some(error.to_string()),
            };
        }
    };
    let covered = content.decode_as::<IndirectData>();
    let fault = match covered {
        Ok(covered) if covered.digest.digest.as_bytes() == digest => None,
        Ok(_) => Some("the file was changed after it was signed".to_owned()),
        Err(_) => Some(VerifyError::Unreadable.to_string()),
    };
    Signature { signer, fault }
}

/// Bytes of a DER value with its header.
fn der_length(bytes: &[u8]) -> Option<usize> {
    let mut reader = der::SliceReader::new(bytes).ok()?;
    let header = <der::Header as Decode>::decode(&mut reader).ok()?;
    let total = (header.encoded_len().ok()? + header.length()).ok()?;
    usize::try_from(total).ok()
}

impl Layout {
    fn read(file: &[u8]) -> Result<Layout, PeError> {
        let pe = PeFile64::parse(file)?;
        let header = &pe.nt_headers().optional_header;
        let optional = (pe.dos_header().e_lfanew.get(LE) as usize)
            .checked_add(4 + size_of::<object::pe::ImageFileHeader>())
            .ok_or(PeError::Layout)?;
        let headers = header.size_of_headers.get(LE) as usize;
        let mut sections = Vec::new();
        for section in pe.section_table().iter() {
            let start = section.pointer_to_raw_data.get(LE) as usize;
            let size = section.size_of_raw_data.get(LE) as usize;
            if size > 0 {
                sections.push((start, start.checked_add(size).ok_or(PeError::Layout)?));
            }
        }
        sections.sort_unstable();
        let table = (header.number_of_rva_and_sizes.get(LE) > SECURITY_INDEX)
            .then(|| signature_table(file, optional + SECURITY))
            .ok_or(PeError::Layout)??;
        let layout = Layout {
            checksum: optional + CHECKSUM,
            security: optional + SECURITY,
            headers,
            sections,
            table,
        };
        if layout.is_within(file.len()) {
            Ok(layout)
        } else {
            Err(PeError::Layout)
        }
    }

    /// Nothing points outside or into something else.
    fn is_within(&self, length: usize) -> bool {
        let end = self.table.map_or(length, |(start, _)| start);
        let mut at = self.headers;
        self.security + 8 <= self.headers
            && self.sections.iter().all(|(start, next)| {
                let fits = *start >= at && *next <= end;
                at = *next;
                fits
            })
    }

    /// Whether headers and sections follow each other without a gap.
    fn is_dense(&self) -> bool {
        let mut at = self.headers;
        self.sections.iter().all(|(start, end)| {
            let follows = *start == at;
            at = *end;
            follows
        })
    }

    /// What a signature covers: the headers without checksum and place of the signatures, the sections, and what
    /// follows them.
    fn digest(&self, file: &[u8]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        let mut add = |from: usize, to: usize| hasher.update(file.get(from..to).unwrap_or_default());
        add(0, self.checksum);
        add(self.checksum + 4, self.security);
        add(self.security + 8, self.headers);
        let mut covered = self.headers;
        for (start, end) in &self.sections {
            add(*start, *end);
            covered += end - start;
        }
        add(covered, self.table.map_or(file.len(), |(start, _)| start));
        hasher.finalize().into()
    }
}

/// Start and end of the table of signatures by the entry in the headers.
fn signature_table(file: &[u8], entry: usize) -> Result<Option<(usize, usize)>, PeError> {
    let field = |at: usize| {
        let bytes = file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(|bytes| u32::from_le_bytes(bytes) as usize)
            .ok_or(PeError::Layout)
    };
    let (start, length) = (field(entry)?, field(entry + 4)?);
    if length == 0 {
        return Ok(None);
    }
    let end = start.checked_add(length).filter(|end| *end <= file.len());
    end.map(|end| Some((start, end))).ok_or(PeError::Layout)
}

fn number(value: usize) -> Result<[u8; 4], PeError> {
    u32::try_from(value).map(u32::to_le_bytes).map_err(|_| PeError::Layout)
}

fn overwrite(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(target) = out.get_mut(at..at + bytes.len()) {
        target.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uki::tests::pe;

    fn key() -> &'static Key {
        static KEY: std::sync::LazyLock<Key> = std::sync::LazyLock::new(|| Key::generate("CN=Test").unwrap());
        &KEY
    }

    #[test]
    fn a_signed_file_names_its_signer_and_notices_every_change() {
        let file = pe(b"program");
        let signed = sign(&file, key()).unwrap();
        let expected = Signature {
            signer: "CN=Test".into(),
            fault: None,
        };
        assert_eq!(signatures(&file).unwrap(), []);
        assert_eq!(signatures(&signed).unwrap(), [expected]);
        let layout = Layout::read(&signed).unwrap();
        let end = layout.table.unwrap().0;
        for at in [2, layout.headers - 1, layout.sections[0].0, end - 1] {
            let mut changed = signed.clone();
            changed[at] ^= 1;
            assert!(
                signatures(&changed).unwrap()[0].fault.is_some(),
                "byte {at} is not covered"
            );
        }
    }

    #[test]
    fn signing_again_replaces_and_the_same_key_gives_the_same_bytes() {
        let signed = sign(&pe(b"program"), key()).unwrap();
        assert!(sign(&signed, key()).unwrap() == signed);
        let plain = without_signatures(&signed).unwrap();
        assert_eq!(
            Layout::read(&plain).unwrap().digest(&plain),
            Layout::read(&signed).unwrap().digest(&signed)
        );
    }

    #[test]
    fn other_tools_agree() {
        let place = tempfile::tempdir().unwrap();
        let (file, certificate) = (place.path().join("file"), place.path().join("pem"));
        std::fs::write(&file, sign(&pe(b"program"), key()).unwrap()).unwrap();
        let pem = der::EncodePem::to_pem(&key().certificate, der::pem::LineEnding::LF).unwrap();
        std::fs::write(&certificate, pem).unwrap();
        let verified = std::process::Command::new("sbverify")
            .arg("--cert")
            .arg(&certificate)
            .arg(&file)
            .output();
        match verified {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => assert!(
                std::env::var_os("KEELSON_STRICT").is_none(),
                "no sbverify (package sbsigntool): {error}"
            ),
        }
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(matches!(sign(b"MZ", key()), Err(PeError::Pe(_))));
        let mut outside = pe(b"program");
        let security = Layout::read(&outside).unwrap().security;
        outside[security] = 1;
        outside[security + 7] = 0x7f;
        assert!(matches!(sign(&outside, key()), Err(PeError::Layout)));
    }
}
