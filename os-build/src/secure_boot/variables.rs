//! What firmware keeps keys in: signature lists, and signed updates of its variables.
//!
//! Source: UEFI Specification 2.10, 8.2.2 (`EFI_VARIABLE_AUTHENTICATION_2`) and 32.4.1 (`EFI_SIGNATURE_LIST`).

use uuid::{Uuid, uuid};

use super::keys::Key;
use super::signed_data::{self, EncodeError};

/// `EFI_GLOBAL_VARIABLE`.
pub const GLOBAL: Uuid = uuid!("8be4df61-93ca-11d2-aa0d-00e098032b8c");
/// `EFI_IMAGE_SECURITY_DATABASE_GUID`.
pub const IMAGE_SECURITY: Uuid = uuid!("d719b2cb-3d3a-4596-a3bc-dad00e67656f");
const X509: Uuid = uuid!("a5c059a1-94e4-4aa7-87b5-ab155c2bf072");
const PKCS7: Uuid = uuid!("4aafd29d-68df-49ee-8aa9-347d375665a7");
/// Kept, seen before and after the boot loader, and changed only by whoever signs with a later time.
pub const ATTRIBUTES: u32 = 0x01 | 0x02 | 0x04 | 0x20;
/// What is written joins what is there.
pub const APPEND: u32 = 0x40;
const REVISION: u16 = 0x0200;
const CERTIFICATE_OF_GUID: u16 = 0x0ef1;

/// A variable that holds keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// `PK`.
    PlatformKey,
    /// `KEK`.
    ExchangeKey,
    /// `db`.
    Database,
}

impl Variable {
    /// In the order they are made; firmware enrols them the other way round, since `PK` ends its setup mode.
    pub const ALL: [Variable; 3] = [Variable::PlatformKey, Variable::ExchangeKey, Variable::Database];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Variable::PlatformKey => "PK",
            Variable::ExchangeKey => "KEK",
            Variable::Database => "db",
        }
    }

    /// Its vendor.
    #[must_use]
    pub const fn vendor(self) -> Uuid {
        match self {
            Variable::PlatformKey | Variable::ExchangeKey => GLOBAL,
            Variable::Database => IMAGE_SECURITY,
        }
    }

    /// Whose key may change it.
    #[must_use]
    pub const fn signed_by(self) -> Variable {
        match self {
            Variable::PlatformKey | Variable::ExchangeKey => Variable::PlatformKey,
            Variable::Database => Variable::ExchangeKey,
        }
    }
}

/// A list of one certificate.
#[must_use]
pub fn signature_list(owner: Uuid, certificate: &[u8]) -> Vec<u8> {
    const LIST_HEADER: usize = 16 + 3 * 4;
    let entry = 16 + certificate.len();
    let mut list = X509.to_bytes_le().to_vec();
    for size in [LIST_HEADER + entry, 0, entry] {
        list.extend(length(size));
    }
    list.extend(owner.to_bytes_le());
    list.extend(certificate);
    list
}

/// A signed update that replaces a variable's content with `list`. `seconds` is its time since 1970: firmware refuses
/// one that is not later than the last.
///
/// # Errors
/// The signature cannot be encoded.
pub fn update(variable: Variable, list: &[u8], signer: &Key, seconds: u64) -> Result<Vec<u8>, EncodeError> {
    signed(variable, list, signer, seconds, ATTRIBUTES)
}

/// A signed update that adds `list` to a variable's content, for [`ATTRIBUTES`] and [`APPEND`]. Firmware takes it whatever
/// its time.
///
/// # Errors
/// The signature cannot be encoded.
pub fn addition(variable: Variable, list: &[u8], signer: &Key, seconds: u64) -> Result<Vec<u8>, EncodeError> {
    signed(variable, list, signer, seconds, ATTRIBUTES | APPEND)
}

fn signed(
    variable: Variable,
    list: &[u8],
    signer: &Key,
    seconds: u64,
    attributes: u32,
) -> Result<Vec<u8>, EncodeError> {
    let time = efi_time(seconds);
    let mut message: Vec<u8> = utf16(variable.name()).collect();
    message.extend(variable.vendor().to_bytes_le());
    message.extend(attributes.to_le_bytes());
    message.extend(time);
    message.extend(list);
    let signature = signed_data::sign_detached(signer, &message)?;
    let mut update = time.to_vec();
    update.extend(length(4 + 2 + 2 + 16 + signature.len()));
    update.extend(REVISION.to_le_bytes());
    update.extend(CERTIFICATE_OF_GUID.to_le_bytes());
    update.extend(PKCS7.to_bytes_le());
    update.extend(signature);
    update.extend(list);
    Ok(update)
}

/// Text as firmware writes it, without an end.
pub fn utf16(text: &str) -> impl Iterator<Item = u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes)
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

/// `EFI_TIME` in UTC, everything below seconds zero.
#[must_use]
pub fn efi_time(seconds: u64) -> [u8; 16] {
    let stamp = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let time = jiff::tz::Offset::UTC.to_datetime(stamp.unwrap_or_default());
    let small = |value: i8| value.unsigned_abs();
    let [low, high] = time.year().to_le_bytes();
    let mut bytes = [0; 16];
    let fields = [
        low,
        high,
        small(time.month()),
        small(time.day()),
        small(time.hour()),
        small(time.minute()),
        small(time.second()),
    ];
    bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_how_long_it_is() {
        let list = signature_list(Uuid::from_u128(7), b"certificate");
        assert_eq!(list.len(), 28 + 16 + 11);
        assert_eq!(list[16..20], 55_u32.to_le_bytes());
        assert_eq!(list[24..28], 27_u32.to_le_bytes());
        assert!(list.ends_with(b"certificate"));
    }

    #[test]
    fn times_are_calendar_days() {
        let time = efi_time(1_700_000_000);
        assert_eq!(time, [0xe7, 7, 11, 14, 22, 13, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
