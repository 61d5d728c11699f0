//! The one command that is sent to a TPM, and its answer. Pure.
//!
//! `TPM2_PCR_Event` lets the TPM hash the data for each of its banks, so nothing here need know which there are.
//! Source: TCG "Trusted Platform Module Library" 1.59, part 2 (structures) and part 3, 22.3 (`TPM2_PCR_Event`).

use thiserror::Error;

const SESSIONS: u16 = 0x8002;
const PCR_EVENT: u32 = 0x013c;
/// Authorisation with an empty password: session, no nonce, no attributes, no secret.
const EMPTY_PASSWORD: [u8; 9] = [0x40, 0x00, 0x00, 0x09, 0, 0, 0, 0, 0];
/// Tag, size and code of an answer.
const HEADER: usize = 10;
/// The most banks that are believed.
const BANKS: u32 = 16;

/// A hash of one bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Name of the algorithm as sysfs and event logs write it, for instance `sha256`.
    pub algorithm: &'static str,
    /// Its value for the data.
    pub value: Vec<u8>,
}

/// Why an answer is of no use.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AnswerError {
    /// The TPM refused.
    #[error("the TPM answers with error {code:#x}")]
    Refused {
        /// `TPM_RC`.
        code: u32,
    },
    /// It is shorter than it says, or says what cannot be.
    #[error("the TPM's answer cannot be read")]
    Malformed,
}

/// The command that extends register `pcr` of every bank by the hash of `data`, at most 1024 bytes.
#[must_use]
pub fn pcr_event(pcr: u32, data: &[u8]) -> Vec<u8> {
    let mut body = pcr.to_be_bytes().to_vec();
    body.extend(u32::try_from(EMPTY_PASSWORD.len()).unwrap_or_default().to_be_bytes());
    body.extend(EMPTY_PASSWORD);
    body.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    body.extend(data);
    let mut command = SESSIONS.to_be_bytes().to_vec();
    command.extend(u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX).to_be_bytes());
    command.extend(PCR_EVENT.to_be_bytes());
    command.extend(body);
    command
}

/// The hashes a TPM extended its banks by.
///
/// # Errors
/// See [`AnswerError`].
pub fn parse_event_answer(answer: &[u8]) -> Result<Vec<Digest>, AnswerError> {
    let mut reader = Reader(answer);
    reader.take(2).ok_or(AnswerError::Malformed)?;
    let (_size, code) = (reader.number()?, reader.number()?);
    if code != 0 {
        return Err(AnswerError::Refused { code });
    }
    let _parameters = reader.number()?;
    let count = reader.number()?;
    if count > BANKS {
        return Err(AnswerError::Malformed);
    }
    (0..count).map(|_| reader.digest()).collect()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Result<u32, AnswerError> {
        let bytes = self.take(4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).ok_or(AnswerError::Malformed)
    }

    fn digest(&mut self) -> Result<Digest, AnswerError> {
        let algorithm = self
            .take(2)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u16::from_be_bytes);
        let (algorithm, length) = match algorithm {
            Some(0x0004) => ("sha1", 20),
            Some(0x000b) => ("sha256", 32),
            Some(0x000c) => ("sha384", 48),
            Some(0x000d) => ("sha512", 64),
            Some(0x0012) => ("sm3_256", 32),
            _ => return Err(AnswerError::Malformed),
        };
        let value = self.take(length).ok_or(AnswerError::Malformed)?.to_vec();
        Ok(Digest { algorithm, value })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(code: u32, banks: &[(u16, usize)]) -> Vec<u8> {
        let mut body = u32::try_from(banks.len()).unwrap().to_be_bytes().to_vec();
        for (algorithm, length) in banks {
            body.extend(algorithm.to_be_bytes());
            body.extend(vec![7; *length]);
        }
        let mut answer = SESSIONS.to_be_bytes().to_vec();
        answer.extend(u32::try_from(14 + body.len() + 5).unwrap().to_be_bytes());
        answer.extend(code.to_be_bytes());
        answer.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        answer.extend(body);
        answer.extend([0, 0, 0, 0, 0]);
        answer
    }

    #[test]
    fn a_command_says_how_long_it_is() {
        let command = pcr_event(11, b"ready");
        assert_eq!(command.len(), 10 + 4 + 4 + 9 + 2 + 5);
        assert_eq!(command[2..6], 34_u32.to_be_bytes());
        assert_eq!(command[10..14], 11_u32.to_be_bytes());
        assert!(command.ends_with(b"\0\x05ready"));
    }

    #[test]
    fn every_bank_is_read() {
        let digests = parse_event_answer(&answer(0, &[(0x0b, 32), (0x0c, 48)])).unwrap();
        let names: Vec<_> = digests
            .iter()
            .map(|digest| (digest.algorithm, digest.value.len()))
            .collect();
        assert_eq!(names, [("sha256", 32), ("sha384", 48)]);
    }

    #[test]
    fn refusals_and_nonsense_are_told_apart() {
        assert_eq!(
            parse_event_answer(&answer(0x101, &[])),
            Err(AnswerError::Refused { code: 0x101 })
        );
        for bad in [answer(0, &[(0x0b, 31)]), answer(0, &[(0x99, 32)]), vec![0; 12]] {
            let cut = &bad[..bad.len().saturating_sub(5)];
            assert_eq!(parse_event_answer(cut), Err(AnswerError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_event_answer(&bytes);
        }
    }
}
