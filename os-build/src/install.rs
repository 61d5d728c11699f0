//! An image onto a disk of this host, with identities of its own: the same work as on a machine, from an image.

use std::fs::File;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use keelson_erofs::{Reader, Window};
use keelson_image_layout::verity::VerityParams;
use keelson_image_layout::{Part, RootHash, Slot, paths};
use keelson_installer::source::{split, tree_of};
use keelson_installer::survey::{Disk, disks, named};
use keelson_installer::{Refusal, Source, Wish, decide, install};
use keelson_machine_config::render::{Style, human};
use rustix::fs::OFlags;
use uuid::Uuid;

use crate::disk::esp;
use crate::disk::region::{ReadOnly, Region};
use crate::progress::Progress;
use crate::release::Naming;
use crate::sbom::content::{os_release, root_hash};

/// What to install where.
#[derive(Debug, Clone)]
pub struct Request {
    /// Block device, or a file that stands for one.
    pub device: PathBuf,
    /// Raw disk image.
    pub image: PathBuf,
    /// The disk's word; asked for on a terminal if missing.
    pub erase: Option<String>,
    /// Provisioning document for the machine.
    pub config: Option<PathBuf>,
}

/// Puts the release of slot A of the image onto the device.
///
/// # Errors
/// The image is none, the disk is refused, or it cannot be written.
pub fn run(request: &Request, progress: Progress) -> Result<()> {
    let all = survey(&request.device)?;
    let wish = Wish::Named(request.device.display().to_string());
    let word = match &request.erase {
        Some(word) => Some(word.clone()),
        None => ask(&all, &wish)?,
    };
    let disk = decide::decide(&all, &wish, word.as_deref())?;
    let config = request.config.as_deref().map(document).transpose()?;
    let source = source_of(&request.image).with_context(|| request.image.display().to_string())?;
    let device = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlags::EXCL.bits() as i32)
        .open(&disk.device)
        .with_context(|| format!("open {} for nobody else", disk.device.display()))?;
    let step = progress.step("install");
    install(
        &device,
        disk.bytes,
        &source,
        config.as_deref(),
        &|_| Uuid::new_v4(),
        &mut |at| {
            step.at(&at.to_string());
            Ok(())
        },
    )?;
    step.done(&format!("{} is on {}", source.version, disk.device.display()));
    Ok(())
}

/// The document, if the new machine will accept it.
fn document(path: &Path) -> Result<String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
    let verdict = keelson_machine_config::validate(&name, text.as_bytes());
    ensure!(
        verdict.accepted.is_some(),
        "the machine would refuse its document:\n{}",
        human(&verdict.report, Style::Plain)
    );
    Ok(text)
}

/// The disks of this host. A file given as the device is one more, with its name for a word; so is a device that stands
/// for a file (`losetup`, `qemu-nbd`).
fn survey(device: &Path) -> Result<Vec<Disk>> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut all = disks(Path::new("/sys"), Path::new("/dev"), &mounts, None);
    let meta = std::fs::metadata(device).with_context(|| device.display().to_string())?;
    let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if meta.file_type().is_block_device() && all.iter().all(|disk| disk.name != name) {
        all.extend(named(Path::new("/sys"), Path::new("/dev"), &mounts, &name));
    }
    if meta.is_file() {
        all.push(Disk {
            name,
            device: device.to_owned(),
            model: "file".to_owned(),
            bytes: meta.len(),
            sector: keelson_image_layout::partitions::SECTOR,
            ..Disk::default()
        });
    }
    Ok(all)
}

/// Shows the disk and takes the word from a person.
fn ask(all: &[Disk], wish: &Wish) -> Result<Option<String>> {
    let disk = decide::choose(all, wish)?;
    decide::check(disk)?;
    if !std::io::stdin().is_terminal() {
        bail!(Refusal::Word {
            name: disk.name.clone(),
            word: disk.word().to_owned(),
        });
    }
    let mut out = std::io::stderr();
    write!(
        out,
        "{}\n\nEverything on it is lost. To go on, type {}: ",
        disk.describe(),
        disk.word()
    )?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(Some(line.trim().to_owned()))
}

/// The release of slot A of an image.
fn source_of(image: &Path) -> Result<Source> {
    let slot = Slot::A;
    let root = File::open(image)?;
    let start = slot.root().start();
    let reader = Reader::open(Window::new(
        root.try_clone()?,
        start,
        slot.root().size().unwrap_or_default(),
    ))
    .context("root file system")?;
    let (version, flavour) = os_release(&read(&reader, "/usr/lib/os-release")?)?;
    let naming = Naming::new(&version, 0, flavour.parse().map_err(anyhow::Error::msg)?)?;
    let params = VerityParams {
        root_hash: root_hash(&root, slot)?,
        salt: RootHash(naming.salt()),
        data_blocks: u64::from(reader.superblock().blocks),
    };
    let esp_len = Part::Esp.size().unwrap_or_default();
    let volume = esp::read(ReadOnly(Region::new(&root, Part::Esp.start(), esp_len)))?;
    let (entry, others) = split(volume.files, slot)?;
    let source = Source {
        version,
        tree: tree_of(&root, start, &params)?,
        root_start: start,
        entry,
        esp: others,
        time: volume.time,
        state: read(&reader, paths::STATE_TEMPLATE)?,
        root,
    };
    Ok(source.checked(&params)?)
}

fn read<S: keelson_erofs::Source>(root: &Reader<S>, path: &str) -> Result<Vec<u8>> {
    const MOST: u64 = 1 << 20;
    let found = root.walk(usize::MAX)?;
    let inode = found
        .iter()
        .find(|(at, _)| at.as_bytes() == path.trim_start_matches('/').as_bytes());
    let (_, inode) = inode.with_context(|| format!("the root has no {path}"))?;
    ensure!(inode.size <= MOST, "{path} has {} bytes", inode.size);
    Ok(root.contents(inode, MOST)?)
}
