//! EFI variables as the kernel's efivarfs gives them.
//!
//! Source: UEFI Specification 8.2; the Boot Loader Interface of systemd ("systemd.io/BOOT_LOADER_INTERFACE").

/// The vendor of the boot loader's variables.
pub const LOADER: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// The vendor of the firmware's own (`EFI_GLOBAL_VARIABLE`).
pub const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Bytes of attributes before the value.
pub const ATTRIBUTES: usize = 4;

/// The text of a variable: attributes, then UTF-16, ended by a zero.
#[must_use]
pub fn text(variable: &[u8]) -> Option<String> {
    let units = variable.get(ATTRIBUTES..)?.chunks_exact(2);
    let units: Vec<u16> = units
        .map(|unit| u16::from_le_bytes([unit.first().copied().unwrap_or(0), unit.get(1).copied().unwrap_or(0)]))
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16(&units).ok()
}
