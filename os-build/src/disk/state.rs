//! The state partition: ext4 with every feature later releases rely on, made by the host's `mke2fs` from settings of
//! our own. An installed machine keeps it for years, so the list of features is written out and never left to the host.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use keelson_image_layout::Part;
use keelson_installer::table::{identity, size_on};
use keelson_installer::template::pack;
use thiserror::Error;
use uuid::Uuid;

/// Features, in full: nothing is inherited from the host's `mke2fs.conf`.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,orphan_file,filetype,extent,64bit,flex_bg,\
    metadata_csum,metadata_csum_seed,sparse_super,large_file,huge_file,dir_nlink,extra_isize,\
    verity,quota,project,encrypt";

const CONFIGURATION: &str = "[defaults]\nblocksize = 4096\ninode_size = 256\ninode_ratio = 16384\n";

/// Why the file system could not be made.
#[derive(Debug, Error)]
pub enum StateError {
    /// `mke2fs` is not installed.
    #[error("cannot run mke2fs (package e2fsprogs)")]
    Start(#[source] io::Error),
    /// Its configuration could not be written.
    #[error("cannot write the configuration of mke2fs")]
    Configuration(#[source] io::Error),
    /// What it made could not be packed.
    #[error("cannot pack the state file system")]
    Pack(#[source] io::Error),
    /// It failed.
    #[error("mke2fs failed: {message}")]
    Failed {
        /// What it said.
        message: String,
    },
}

/// The file system of a release on a disk of `disk_bytes` bytes, packed as installations need it too.
///
/// # Errors
/// See [`StateError`].
pub fn template(disk_bytes: u64, release: &str, time: u64) -> Result<Vec<u8>, StateError> {
    let len = size_on(Part::State, disk_bytes);
    let file = tempfile::NamedTempFile::new().map_err(StateError::Pack)?;
    file.as_file().set_len(len).map_err(StateError::Pack)?;
    make(file.path(), 0, len, identity(release, "state file system"), time)?;
    pack(file.as_file(), len).map_err(StateError::Pack)
}

/// Makes the file system in bytes `start..start + len` of `disk`.
///
/// # Errors
/// See [`StateError`].
pub fn make(disk: &Path, start: u64, len: u64, id: Uuid, time: u64) -> Result<(), StateError> {
    let mut configuration = tempfile::NamedTempFile::new().map_err(StateError::Configuration)?;
    configuration
        .write_all(CONFIGURATION.as_bytes())
        .map_err(StateError::Configuration)?;
    let extended = format!(
        "offset={start},hash_seed={id},quotatype=usrquota:grpquota:prjquota,lazy_itable_init=0,\
         lazy_journal_init=0,nodiscard,root_owner=0:0"
    );
    let output = Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "2", "-L", "state"])
        .args(["-O", FEATURES, "-U", &id.to_string(), "-E", &extended])
        .arg(disk)
        .arg(format!("{}k", len / 1024))
        .env("MKE2FS_CONFIG", configuration.path())
        .env("E2FSPROGS_FAKE_TIME", time.to_string())
        .env("SOURCE_DATE_EPOCH", time.to_string())
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        .output()
        .map_err(StateError::Start)?;
    if output.status.success() {
        return Ok(());
    }
    Err(StateError::Failed {
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> tempfile::NamedTempFile {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(300 << 20).unwrap();
        make(disk.path(), 1 << 20, 256 << 20, Uuid::from_u128(7), 1_700_000_000).unwrap();
        disk
    }

    #[test]
    fn has_every_feature_the_format_names_and_is_sound() {
        let disk = made();
        let whole = std::fs::read(disk.path()).unwrap();
        let alone = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(alone.path(), &whole[1 << 20..257 << 20]).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program)
                .args(arguments)
                .arg(alone.path())
                .output()
                .unwrap();
            (
                output.status.success(),
                String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        };
        let (_, header) = run("/usr/sbin/dumpe2fs", &["-h"]);
        for feature in [
            "verity",
            "quota",
            "project",
            "encrypt",
            "metadata_csum_seed",
            "resize_inode",
            "has_journal",
        ] {
            assert!(header.contains(feature), "{feature} in {header}");
        }
        let (sound, report) = run("/usr/sbin/e2fsck", &["-fn"]);
        assert!(sound, "{report}");
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        assert!(std::fs::read(made().path()).unwrap() == std::fs::read(made().path()).unwrap());
    }
}
