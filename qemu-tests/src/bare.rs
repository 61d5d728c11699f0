//! A machine that does not say that it is a virtual one, for what firmware and boot loader do only on real ones: systemd's
//! boot loader takes its times only there, since a virtual counter need not begin with the machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use keelson_os_build::qemu::MachineSpec;

/// The firmware's table of such a machine.
#[derive(Debug)]
pub struct Bare(PathBuf);

impl Bare {
    /// Writes it into a folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(folder: &Path) -> Result<Bare> {
        let table = folder.join("smbios-type0");
        std::fs::write(&table, firmware_information()).context("write the table of the firmware")?;
        Ok(Bare(table))
    }

    /// Makes a machine such a one.
    pub fn fit(&self, spec: &mut MachineSpec) {
        spec.bare_processor = true;
        spec.smbios.push(format!("file={}", self.0.display()));
    }
}

/// BIOS Information (type 0) without the bit for virtual machines, which QEMU's own always has.
///
/// Source: SMBIOS 3.6 (DSP0134), 7.1.
fn firmware_information() -> Vec<u8> {
    const UEFI: u8 = 1 << 3;
    let characteristics_not_supported = (1u64 << 3).to_le_bytes();
    let mut table = vec![0, 0x18, 0, 0];
    // Vendor and version, segment of the code, date, size of the ROM.
    table.extend([1, 2, 0, 0xe8, 3, 0]);
    table.extend(characteristics_not_supported);
    // Two bytes of extensions, release of the firmware and of the embedded controller.
    table.extend([0, UEFI, 0, 0, 0xff, 0xff]);
    table.extend(b"Keelson\0test\x0001/01/2026\0\0");
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_long_as_it_says_and_ends_with_its_strings() {
        let table = firmware_information();
        let strings = table.get(usize::from(table[1])..).unwrap();
        assert!(strings.starts_with(b"Keelson\0") && strings.ends_with(b"\0\0"));
        assert_eq!(table[0x13] & 1 << 4, 0, "it says that it is virtual");
    }
}
