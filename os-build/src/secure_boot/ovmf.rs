//! The variable store of OVMF, the firmware of virtual machines, with keys in it: what `virt-fw-vars` makes too. The
//! machine starts with Secure Boot on.
//!
//! Source: edk2 `MdeModulePkg/Include/Guid/VariableFormat.h`, UEFI Platform Initialization Specification 1.8, volume 3.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use uuid::{Uuid, uuid};

use super::variables::{ATTRIBUTES, Variable, efi_time, utf16};

/// `gEfiAuthenticatedVariableGuid`.
const AUTHENTICATED: Uuid = uuid!("aaf32c78-947b-439a-a180-2e144ec37792");
/// `_FVH` in a volume header, and where the header's length lies.
const VOLUME_SIGNATURE: (usize, &[u8; 4]) = (40, b"_FVH");
const VOLUME_HEADER_LENGTH: usize = 48;
/// Store header: identity, size, format, state, reserved.
const STORE_HEADER: usize = 28;
const FORMATTED_AND_HEALTHY: [u8; 2] = [0x5a, 0xfe];
const START: u16 = 0x55aa;
const ADDED: u8 = 0x3f;
const ERASED: u8 = 0xff;

/// A copy of the empty store `empty` with the signature lists of a folder of keys.
///
/// # Errors
/// A list is missing, or the store is not one of OVMF, or not empty.
pub fn enrolled(empty: &[u8], keys: &Path, seconds: u64) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    for variable in Variable::ALL {
        let path = keys.join(format!("{}.esl", variable.name()));
        let list = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        records.extend(record(variable, &list, seconds));
    }
    put(empty, &records)
}

/// One variable: header, name, content, and filling to a multiple of four.
fn record(variable: Variable, content: &[u8], seconds: u64) -> Vec<u8> {
    let name: Vec<u8> = utf16(variable.name()).chain([0, 0]).collect();
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut record = START.to_le_bytes().to_vec();
    record.extend([ADDED, 0]);
    record.extend(ATTRIBUTES.to_le_bytes());
    record.extend(0_u64.to_le_bytes());
    record.extend(efi_time(seconds));
    record.extend(0_u32.to_le_bytes());
    record.extend(length(&name));
    record.extend(length(content));
    record.extend(variable.vendor().to_bytes_le());
    record.extend(name);
    record.extend(content);
    record.resize(record.len().next_multiple_of(4), ERASED);
    record
}

fn put(empty: &[u8], records: &[u8]) -> Result<Vec<u8>> {
    let (at, signature) = VOLUME_SIGNATURE;
    ensure!(
        empty.get(at..at + 4) == Some(signature),
        "this is no variable store of OVMF"
    );
    let store = field::<2>(empty, VOLUME_HEADER_LENGTH)
        .map(u16::from_le_bytes)
        .map(usize::from);
    let store = store.context("the variable store is cut off")?;
    let header = empty
        .get(store..store + STORE_HEADER)
        .context("the variable store is cut off")?;
    ensure!(
        header.starts_with(&AUTHENTICATED.to_bytes_le()) && header.get(20..22) == Some(&FORMATTED_AND_HEALTHY),
        "the variable store is of a kind without signed variables"
    );
    let size = field::<4>(empty, store + 16)
        .map(u32::from_le_bytes)
        .unwrap_or_default() as usize;
    let room = STORE_HEADER..size;
    ensure!(records.len() <= room.len(), "the keys do not fit the variable store");
    let mut out = empty.to_vec();
    let Some(target) = out.get_mut(store + room.start..store + room.start + records.len()) else {
        bail!("the variable store is cut off");
    };
    ensure!(
        target.iter().all(|byte| *byte == ERASED),
        "the variable store is not empty"
    );
    target.copy_from_slice(records);
    Ok(out)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}
