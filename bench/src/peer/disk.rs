//! A peer's tree as a disk: the same boot loader and kind of boot entry that Keelson has, and one ext4 root.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{EFI, LINUX_ROOT_X64, Type};
use keelson_os_build::cache::Cache;
use keelson_os_build::disk::{esp, region::Region};
use keelson_os_build::image;
use keelson_os_build::uki;
use uuid::Uuid;

use super::recipe::Peer;
use super::tree::succeed;

const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
const ESP_START: u64 = MIB;
const ESP_BYTES: u64 = 512 * MIB;
const ROOT_START: u64 = ESP_START + ESP_BYTES;
const DISK_BYTES: u64 = 4096 * MIB;
const ROOT_BYTES: u64 = DISK_BYTES - ROOT_START - MIB;
const COMMAND_LINE: &str = "root=PARTLABEL=root rw console=ttyS0 quiet loglevel=4 panic=5";

/// Writes the disk of a peer from its tree.
pub fn write(cache: &Cache, path: &Path, tree: &Path, peer: Peer) -> Result<()> {
    let disk = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .with_context(|| path.display().to_string())?;
    disk.set_len(DISK_BYTES)?;
    table(&disk)?;
    let loader = image::boot_loader(cache)?;
    let kernel = newest(&tree.join("boot"), "vmlinuz-")?;
    let release = kernel
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .replace("vmlinuz-", "");
    let entry = uki::assemble(&uki::Parts {
        stub: &std::fs::read(loader.join("linuxx64.efi.stub"))?,
        kernel: &std::fs::read(&kernel)?,
        initrd: &std::fs::read(tree.join(format!("boot/initrd.img-{release}")))?,
        os_release: &format!("ID={name}\nNAME={name}\nVERSION_ID=13\n", name = peer.name()),
        command_line: COMMAND_LINE,
        uname: &release,
    })?;
    let content = esp::Content {
        loader: &std::fs::read(loader.join("systemd-bootx64.efi"))?,
        entries: vec![("peer.efi".to_owned(), entry.as_slice())],
        volume_id: 1,
        time: 1_700_000_000,
    };
    esp::write(&mut Region::new(&disk, ESP_START, ESP_BYTES), ESP_BYTES, &content)?;
    root(path, tree)
}

fn table(disk: &File) -> Result<()> {
    let mut device = disk;
    let sectors = u32::try_from(DISK_BYTES / SECTOR - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(&mut device)?;
    let mut table = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(device, None)?;
    table.update_partitions(BTreeMap::from([
        (1, partition(EFI, "esp", ESP_START, ESP_BYTES)),
        (2, partition(LINUX_ROOT_X64, "root", ROOT_START, ROOT_BYTES)),
    ]))?;
    table.write_inplace()?;
    Ok(())
}

fn partition(kind: Type, name: &str, start: u64, bytes: u64) -> Partition {
    Partition {
        part_type_guid: kind,
        part_guid: Uuid::new_v4(),
        first_lba: start / SECTOR,
        last_lba: (start + bytes) / SECTOR - 1,
        flags: 0,
        name: name.to_owned(),
    }
}

fn root(disk: &Path, tree: &Path) -> Result<()> {
    succeed(
        Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-L", "root", "-E"])
            .arg(format!("offset={ROOT_START},lazy_itable_init=0,lazy_journal_init=0"))
            .arg("-d")
            .arg(tree)
            .arg(disk)
            .arg(format!("{}k", ROOT_BYTES / 1024)),
    )
}

fn newest(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        })
        .collect();
    found.sort();
    found
        .pop()
        .with_context(|| format!("{} holds no {prefix}…", folder.display()))
}
