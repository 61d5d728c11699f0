//! What lies in a slot of a disk, with the owner of each piece: files of the root, sections of the boot entry, files of
//! the initramfs in it; and the files of the EFI system partition.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use keelson_erofs::{Reader, Window};
use keelson_image_layout::slot_state::{COPY_BYTES, COPY_OFFSETS};
use keelson_image_layout::{Part, RootHash, Slot, SlotState, State};

use super::owner::{self, Owner};
use crate::disk::esp;
use crate::disk::region::{ReadOnly, Region};
use crate::{cpio, deb, initramfs, uki};

/// Largest file of a root.
const FILE_MOST: u64 = 256 << 20;

/// Something with an owner.
#[derive(Debug, Clone)]
pub struct Item {
    /// `root/usr/bin/keelson`, `boot-entry/.linux`, `initramfs/init`, `esp/EFI/BOOT/BOOTX64.EFI`.
    pub name: String,
    /// Whose it is, if any rule says so.
    pub owner: Option<Owner>,
    /// The bytes; of a link its target.
    pub bytes: Vec<u8>,
}

impl Item {
    /// What tells whether two slots hold the same.
    pub(super) fn key(&self) -> (&str, &[u8]) {
        (&self.name, &self.bytes)
    }
}

/// Everything of one slot.
#[derive(Debug, Clone)]
pub struct Content {
    /// All pieces.
    pub items: Vec<Item>,
    /// Debian packages as the image lists them.
    pub packages: Vec<deb::Package>,
    /// Version of the release.
    pub version: String,
    /// Flavour of the release.
    pub variant: String,
    /// Seconds since 1970 of the release.
    pub time: u64,
    /// Top of the root's hash tree.
    pub root_hash: RootHash,
}

impl Content {
    /// Reads a slot of a disk.
    ///
    /// # Errors
    /// The disk is damaged or no disk of ours.
    pub fn read(disk: &File, slot: Slot) -> Result<Content> {
        let (mut items, time) = root_items(disk, slot)?;
        let find = |name: &str| {
            let found = items.iter().find(|item| item.name == format!("root/{name}"));
            found
                .map(|item| item.bytes.clone())
                .with_context(|| format!("the root has no {name}"))
        };
        let packages = serde_json::from_slice(&find("usr/share/keelson/packages.json")?).context("list of packages")?;
        let (version, variant) = os_release(&find("usr/lib/os-release")?)?;
        items.extend(boot_items(disk, slot)?);
        Ok(Content {
            items,
            packages,
            version,
            variant,
            time,
            root_hash: root_hash(disk, slot)?,
        })
    }
}

/// Version and flavour as os-release has them.
pub(crate) fn os_release(text: &[u8]) -> Result<(String, String)> {
    let text = String::from_utf8_lossy(text);
    let says = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value
            .map(str::to_owned)
            .with_context(|| format!("os-release has no {key}"))
    };
    Ok((says("IMAGE_VERSION")?, says("VARIANT_ID")?))
}

/// Files and links of a slot's root, and the release's time.
fn root_items(disk: &File, slot: Slot) -> Result<(Vec<Item>, u64)> {
    let part = slot.root();
    let window = Window::new(disk.try_clone()?, part.start(), part.size().unwrap_or_default());
    let root = Reader::open(window).context("root file system")?;
    let mut items = Vec::new();
    for (path, inode) in root.walk(usize::MAX)? {
        if inode.is_dir() {
            continue;
        }
        let path = String::from_utf8_lossy(path.as_bytes())
            .trim_start_matches('/')
            .to_owned();
        items.push(Item {
            owner: owner::of_root(&path),
            name: format!("root/{path}"),
            bytes: root.contents(&inode, FILE_MOST)?,
        });
    }
    let time = u64::try_from(root.root()?.mtime.seconds).context("time of the root")?;
    Ok((items, time))
}

/// The files of the EFI system partition.
fn esp_files(disk: &File) -> Result<Vec<esp::Held>> {
    let len = Part::Esp.size().unwrap_or_default();
    Ok(esp::read(ReadOnly(Region::new(disk, Part::Esp.start(), len)))?.files)
}

/// Files of the EFI system partition that are no machine's own.
pub(super) fn esp_items(disk: &File) -> Result<Vec<Item>> {
    let files = esp_files(disk)?.into_iter();
    let of_release = files.filter(|file| !owner::is_of_one_machine(&file.path));
    let items = of_release.map(|file| Item {
        owner: owner::of_esp(&file.path),
        name: format!("esp/{}", file.path),
        bytes: file.bytes,
    });
    Ok(items.collect())
}

/// The sections of a slot's boot entry, what is between them, and what its initramfs holds.
fn boot_items(disk: &File, slot: Slot) -> Result<Vec<Item>> {
    let stem = format!("{}/{}", esp::ENTRIES, slot.entry_stem());
    let files = esp_files(disk)?;
    let entry = files.iter().find(|file| file.path.starts_with(&stem));
    let entry = entry.with_context(|| format!("no boot entry of slot {slot}"))?;
    let sections = uki::sections(&entry.bytes).into_iter().map(|(name, bytes)| Item {
        owner: owner::of_section(&name),
        name: format!("boot-entry/{name}"),
        bytes: bytes.to_vec(),
    });
    let mut items: Vec<Item> = sections.collect();
    ensure!(!items.is_empty(), "{} has no sections", entry.path);
    items.push(of_release(
        "boot-entry/between-sections".to_owned(),
        uki::between_sections(&entry.bytes),
    ));
    let packed = uki::section(&entry.bytes, ".initrd").with_context(|| format!("{} has no initramfs", entry.path))?;
    items.extend(initramfs_items(packed)?);
    Ok(items)
}

/// The files of every archive of an initramfs, and the archives' own bytes.
fn initramfs_items(packed: &[u8]) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let archives = initramfs::archives(packed).context("the initramfs is no row of archives")?;
    for (number, archive) in archives.iter().enumerate() {
        let (files, between) = cpio::read(archive).context("an archive of the initramfs is damaged")?;
        items.extend(files.iter().map(|file| Item {
            name: format!("initramfs/{}", file.path),
            owner: owner::of_initramfs(file.path),
            bytes: file.content.to_vec(),
        }));
        items.push(of_release(format!("initramfs/archive-{}", number + 1), between));
    }
    Ok(items)
}

fn of_release(name: String, bytes: Vec<u8>) -> Item {
    Item {
        name,
        owner: Some(Owner::Release),
        bytes,
    }
}

/// Whether a slot has a release.
pub(super) fn is_filled(disk: &File, slot: Slot) -> Result<bool> {
    let state = record(disk)?.slot(slot).state;
    Ok(!matches!(state, State::Empty | State::Writing))
}

/// The root hash that the slot-state record has for a slot.
pub(crate) fn root_hash(disk: &File, slot: Slot) -> Result<RootHash> {
    Ok(RootHash(record(disk)?.slot(slot).root_hash))
}

fn record(disk: &File) -> Result<SlotState> {
    let mut copies = [[0; COPY_BYTES]; 2];
    for (copy, offset) in copies.iter_mut().zip(COPY_OFFSETS) {
        disk.read_exact_at(copy, Part::SlotState.start() + offset)?;
    }
    let [first, second] = &copies;
    Ok(SlotState::newest(first, second).context("no slot-state record")?.state)
}

/// Version of the compiler, whose standard library is in every program.
///
/// # Errors
/// It cannot be run.
pub fn rust_version() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace()
        .nth(1)
        .map(str::to_owned)
        .context("rustc does not say its version")
}

/// Version of the C library that every program is linked with.
///
/// # Errors
/// The package database cannot be asked.
pub fn glibc_version() -> Result<String> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f=${Version}", "libc6-dev"])
        .output()
        .context("run dpkg-query")?;
    ensure!(output.status.success(), "libc6-dev is not installed");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
