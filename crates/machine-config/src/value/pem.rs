//! Certificates in PEM.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ValueError, string_serde};

/// One or more certificates, PEM (RFC 7468). The structure is checked as far as the outermost DER
/// element; trust is the TLS library's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaBundle(String);

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

impl CaBundle {
    /// The PEM text.
    #[must_use]
    pub fn as_pem(&self) -> &str {
        &self.0
    }
}

impl FromStr for CaBundle {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let cure = "give the certificate between its BEGIN CERTIFICATE and END CERTIFICATE lines";
        if text.contains("PRIVATE KEY-----") {
            let cure = "give only the certificate; treat this key as disclosed";
            return Err(ValueError::new("this holds a private key", cure));
        }
        let mut body: Option<String> = None;
        let mut count = 0_usize;
        for line in text.lines().map(str::trim) {
            match (&mut body, line) {
                (None, BEGIN) => body = Some(String::new()),
                (None, "") => {}
                (None, line) if line.starts_with('#') => {}
                (None, _) => return Err(ValueError::new("this is not a PEM certificate", cure)),
                (Some(base64), END) => {
                    count += 1;
                    check_certificate(base64)
                        .map_err(|problem| ValueError::new(format!("certificate {count}: {problem}"), cure))?;
                    body = None;
                }
                (Some(base64), line) => base64.push_str(line),
            }
        }
        match (body, count) {
            (Some(_), _) => Err(ValueError::new("the last certificate has no END line", cure)),
            (None, 0) => Err(ValueError::new("there is no certificate here", cure)),
            (None, _) => Ok(Self(text.to_owned())),
        }
    }
}

fn check_certificate(base64: &str) -> Result<(), &'static str> {
    let der = STANDARD.decode(base64).map_err(|_| "its base64 is damaged")?;
    match der_sequence_length(&der) {
        Some(length) if length == der.len() => Ok(()),
        Some(_) => Err("it is cut short, or something follows it"),
        None => Err("it is not DER"),
    }
}

/// Whole length of the SEQUENCE that opens `der` (X.690 8.1.3).
fn der_sequence_length(der: &[u8]) -> Option<usize> {
    let (&[0x30, first], rest) = der.split_first_chunk()? else {
        return None;
    };
    if first < 0x80 {
        return Some(2 + usize::from(first));
    }
    let octets = usize::from(first & 0x7f);
    if !(1..=4).contains(&octets) {
        return None;
    }
    let length = rest
        .get(..octets)?
        .iter()
        .fold(0_usize, |sum, b| sum << 8 | usize::from(*b));
    Some(2 + octets + length)
}

impl fmt::Display for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

string_serde!(CaBundle);
