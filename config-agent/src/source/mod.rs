//! Where documents come from.
//!
//! Each source is one file with a function that looks and gives what it [`Found`]; which one counts is decided in
//! [`crate::choose`]. To add one: write its file, a [`Kind`] with its rank, and a line in [`look`].

pub mod block;
mod config_drive;
pub mod credential;
pub mod ec2;
pub mod encoding;
mod esp;
mod found;
mod fw_cfg;
pub mod nocloud;
mod origin;
pub mod patience;
mod settle;
pub mod smbios;
mod volumes;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Instant;

pub use found::{Found, Looked, NetworkConfig, NetworkFormat};
pub use keelson_machine_config::MetaData;
pub use keelson_volume::{ReadAt, Volume, VolumeError};
pub use origin::{Kind, Origin};
pub use patience::Patience;

use crate::places::Places;

/// Looks at every local source. Waits a little for devices that the kernel is still detecting: for the firmware's, whose
/// word comes first, and for disks only while `pinned`, or any document at all, is not found, and as `patience` says.
#[must_use]
pub fn look(places: &Places, pinned: Option<&Origin>, patience: impl Fn() -> Patience) -> Looked {
    let (begun, sys) = (Instant::now(), places.sys.as_path());
    let mut waiting = settle::Waiting::new(places);
    waiting.for_firmware();
    let mut looked = Looked::default();
    fw_cfg::look(sys, &mut looked);
    smbios::look(sys, &mut looked);
    esp::look(&places.boot_facts, &places.dev, &mut looked);
    let enough = |found: &[Found]| {
        found
            .iter()
            .any(|found| pinned.is_none_or(|pinned| pinned.same_as(&found.origin)))
    };
    let mut shown = block::shown(sys);
    let mut volumes = volumes::look(sys, &places.dev);
    let mut more = true;
    while more && !enough(&looked.found) && !enough(&volumes.found) && volumes.problems.is_empty() {
        // What was detected before time was up is looked at all the same.
        more = waiting.worthwhile(&patience);
        let now = block::shown(sys);
        if now != shown {
            (shown, volumes) = (now, volumes::look(sys, &places.dev));
        }
    }
    looked.found.append(&mut volumes.found);
    looked.at.append(&mut volumes.at);
    looked.problems.append(&mut volumes.problems);
    nocloud::complete(sys, &mut looked);
    looked.took = begun.elapsed();
    looked
}

/// A whole file of the kernel's.
fn bounded_read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Entry points for fuzzing.
pub mod fuzz {
    use keelson_machine_config::MAX_DOCUMENT;

    use super::{MetaData, Volume, config_drive, ec2, encoding, nocloud, smbios};

    /// A block device: label, identity and the files of a volume.
    pub fn volume(data: &[u8]) {
        if let Ok(Some(volume)) = Volume::open(data) {
            let _ = (volume.label(), volume.id(), volume.kind());
            for name in ["user-data", "meta-data", "openstack/latest/user_data"] {
                let content = volume.file(name, 4096);
                assert!(content.ok().flatten().is_none_or(|content| content.len() <= 4096));
            }
        }
    }

    /// NoCloud's `meta-data`, and the machine's serial number.
    pub fn meta_data(data: &[u8]) {
        let _ = MetaData::parse(data);
        let _ = nocloud::hint(&String::from_utf8_lossy(data));
    }

    /// OpenStack's `meta_data.json` and `vendor_data.json`.
    pub fn openstack(data: &[u8]) {
        let mut meta_data = MetaData::parse(data);
        let _ = config_drive::vendor_data(data, &mut meta_data);
    }

    /// A raw SMBIOS table.
    pub fn smbios_table(data: &[u8]) {
        if let Ok(parts) = smbios::parts(data) {
            assert!(parts.len() <= smbios::MAX_PAYLOAD);
        }
    }

    /// What the program that asks the metadata service says.
    pub fn metadata_message(data: &[u8]) {
        if let Ok(message) = serde_json::from_slice(data) {
            let _ = ec2::looked(message);
        }
    }

    /// What a document is wrapped in.
    pub fn wrapped_document(data: &[u8]) {
        if let Ok(document) = encoding::document(data.to_vec()) {
            assert!(document.len() <= MAX_DOCUMENT.max(data.len()));
        }
    }
}
