//! A config drive as OpenStack attaches it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use keelson_os_build::disk::fat;

const META_DATA: &str = r#"{"uuid": "83679162-1378-4288-a2d4-70e13ec132aa", "hostname": "drive.novalocal"}"#;

/// Writes a drive with a document and, if there is one, `network_data.json`.
///
/// # Errors
/// It cannot be written.
pub fn config_drive(folder: &Path, name: &str, document: &str, network: Option<&str>) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.config-2"));
    let bytes = 36 << 20;
    let mut image = std::fs::File::create(&path)?;
    image.set_len(bytes)?;
    let volume = fat::Volume {
        bytes,
        cluster: 512,
        label: "CONFIG-2",
        id: 0x6f73_6364,
        time: 0,
    };
    let files = [
        ("meta_data.json", Some(META_DATA)),
        ("user_data", Some(document)),
        ("vendor_data.json", Some("{}")),
        ("network_data.json", network),
    ];
    let files: Vec<(String, &[u8])> = files
        .into_iter()
        .filter_map(|(name, text)| Some((format!("openstack/latest/{name}"), text?.as_bytes())))
        .collect();
    fat::write(&mut image, &volume, &files).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
