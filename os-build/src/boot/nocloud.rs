//! The volume a machine finds its document on: NoCloud, a FAT file system labelled `CIDATA`.
//!
//! Source: cloud-init documentation, "NoCloud".

use std::fs::File;
use std::path::Path;

use crate::digest::{hex, sha256};
use crate::disk::fat::{self, FatError, Volume};

/// Smallest size that FAT32 with clusters of one sector allows, and a little.
const BYTES: u64 = 36 << 20;

/// Writes the volume to a fresh file.
///
/// # Errors
/// The file cannot be written.
pub fn volume(path: &Path, user_data: &str) -> Result<(), FatError> {
    volume_with(path, user_data, &[])
}

/// Writes the volume with further files, each a name and its content.
///
/// # Errors
/// The file cannot be written.
pub fn volume_with(path: &Path, user_data: &str, more: &[(&str, &str)]) -> Result<(), FatError> {
    let mut file = File::create(path)?;
    file.set_len(BYTES)?;
    let digest = sha256(user_data.as_bytes());
    let meta_data = format!("instance-id: keelson-{}\n", hex(digest.get(..8).unwrap_or_default()));
    let volume = Volume {
        bytes: BYTES,
        cluster: 512,
        label: "CIDATA",
        id: 0x6b65_656c,
        time: 0,
    };
    let mut files = vec![
        ("user-data".to_owned(), user_data.as_bytes()),
        ("meta-data".to_owned(), meta_data.as_bytes()),
    ];
    files.extend(
        more.iter()
            .map(|(name, content)| ((*name).to_owned(), content.as_bytes())),
    );
    fat::write(&mut file, &volume, &files)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn holds_the_document_under_the_agreed_label() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("seed");
        volume(&path, "schema = 1\n").unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let found = fatfs::FileSystem::new(file, fatfs::FsOptions::new()).unwrap();
        assert_eq!(found.volume_label(), "CIDATA");
        assert_eq!(
            found.read_volume_label_from_root_dir().unwrap().as_deref(),
            Some("CIDATA")
        );
        let mut text = String::new();
        found
            .root_dir()
            .open_file("user-data")
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "schema = 1\n");
    }
}
