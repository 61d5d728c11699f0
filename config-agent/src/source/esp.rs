//! A file on the EFI system partition that the loader came from. The partition is read, not mounted: only the slot
//! writer mounts it.

use std::fs;
use std::path::Path;

use keelson_image_layout::facts::Disk;
use keelson_machine_config::MAX_DOCUMENT;

use super::found::MAX_EXTRA;
use super::volumes::{chain, open_read_only};
use super::{Found, Kind, Looked, MetaData, NetworkConfig, NetworkFormat, Origin, Volume, VolumeError};

/// The document, by either name.
const DOCUMENTS: [&str; 2] = ["keelson/config.toml", "keelson/user-data"];

/// The one fact of the boot that matters here.
#[derive(serde::Deserialize)]
struct DiskFact {
    disk: Disk,
}

/// Looks at the partition that the initramfs found.
pub(super) fn look(boot_facts: &Path, dev: &Path, looked: &mut Looked) {
    let facts: Option<DiskFact> = fs::read(boot_facts)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(facts) = facts else { return };
    looked
        .at
        .push("keelson/config.toml on the EFI system partition".to_owned());
    let node = facts.disk.esp.trim_start_matches("/dev/").to_owned();
    looked.add(read(&dev.join(node)));
}

fn read(node: &Path) -> Result<Option<Found>, String> {
    let failed = |error: VolumeError| format!("cannot read the EFI system partition: {}", chain(&error));
    let device = open_read_only(node).map_err(|error| failed(error.into()))?;
    let Some(volume) = Volume::open(device).map_err(failed)? else {
        return Err("the EFI system partition has no FAT file system".to_owned());
    };
    let file = |name: &str, limit| volume.file(name, limit).map_err(failed);
    let [first, second] = DOCUMENTS;
    let (name, document) = match (file(first, MAX_DOCUMENT)?, file(second, MAX_DOCUMENT)?) {
        (Some(_), Some(_)) => {
            return Err(format!(
                "{first} and {second} are both on the EFI system partition, neither is used: remove one"
            ));
        }
        (Some(document), None) => (first, document),
        (None, Some(document)) => (second, document),
        (None, None) => return Ok(None),
    };
    let meta_data = file("keelson/meta-data", MAX_EXTRA)?.unwrap_or_default();
    let network = file("keelson/network-config", MAX_EXTRA)?;
    Ok(Some(Found {
        meta_data: MetaData::parse(&meta_data),
        network_config: network.map(|bytes| NetworkConfig {
            format: NetworkFormat::CloudInit,
            bytes,
        }),
        vendor_data: file("keelson/vendor-data", MAX_EXTRA)?,
        ..Found::document(Origin::only(Kind::Esp, name), document)
    }))
}
