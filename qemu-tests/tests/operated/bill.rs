//! The bill of materials of the image under test, held against the image itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use keelson_erofs::{Reader, Window};
use keelson_image_layout::{Part, Slot, paths};
use keelson_os_build::digest::{hex, sha256};
use keelson_os_build::disk::region::{ReadOnly, Region};
use keelson_os_build::disk::{esp, template};
use keelson_os_build::sbom::owner::is_of_one_machine;
use keelson_os_build::sbom::spdx::Document;
use keelson_os_build::{initramfs, sbom, uki};
use keelson_qemu_tests::Environment;

/// Goes through the image on its own way, part by part: what lies there is listed with its digest, some listed package
/// contains it, and the lengths of what is listed add up to the whole.
pub fn every_byte_has_an_owner(environment: &Environment) -> Result<()> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("cargo names the package's folder")?;
    let source = Path::new(&package).parent().context("the workspace")?;
    let bill = sbom::describe(&environment.disk, source)?;
    hangs_together(&bill)?;
    let owned = Owned::of(&bill);
    let disk = File::open(&environment.disk)?;
    let template = roots(&disk, &owned)?;
    boot_entries(&disk, &owned)?;
    parts(&disk, &owned)?;
    state_is_its_template(&disk, &template)?;
    let image = bill.packages.first().context("a package")?;
    ensure!(
        image.comment.as_deref() == Some("slot B holds the same files with the same bytes"),
        "{:?}",
        image.comment
    );
    let crates = bill.packages.iter().filter(|package| package.id.contains("-Crate-"));
    let unlicensed: Vec<&str> = crates
        .filter(|package| package.license_declared == sbom::spdx::UNKNOWN)
        .map(|package| package.name.as_str())
        .collect();
    ensure!(unlicensed.is_empty(), "crates without a licence: {unlicensed:?}");
    Ok(())
}

/// The files of both roots, which are the same; gives the template of the state partition.
fn roots(disk: &File, owned: &Owned<'_>) -> Result<Vec<u8>> {
    let mut template = None;
    for slot in Slot::ALL {
        let part = slot.root();
        let window = Window::new(disk.try_clone()?, part.start(), part.size().unwrap_or_default());
        let root = Reader::open(window)?;
        let mut seen = 0;
        for (path, inode) in root.walk(usize::MAX)?.into_iter().filter(|(_, inode)| !inode.is_dir()) {
            let path = String::from_utf8_lossy(path.as_bytes()).into_owned();
            let content = root.contents(&inode, 1 << 30)?;
            owned.holds(&format!("root/{}", path.trim_start_matches('/')), &content)?;
            seen += 1;
            if path.trim_start_matches('/') == paths::STATE_TEMPLATE.trim_start_matches('/') {
                template = Some(content);
            }
        }
        ensure!(seen > 100, "only {seen} files in the root of slot {slot}");
    }
    template.context("no template of the state partition")
}

/// Files of the EFI system partition; of each boot entry its sections, and each file of its initramfs.
fn boot_entries(disk: &File, owned: &Owned<'_>) -> Result<()> {
    let region = Region::new(disk, Part::Esp.start(), Part::Esp.size().unwrap_or_default());
    let files = esp::read(ReadOnly(region))?.files;
    let of_release = files.iter().filter(|file| !is_of_one_machine(&file.path));
    for file in of_release {
        owned.holds(&format!("esp/{}", file.path), &file.bytes)?;
    }
    let entries: Vec<_> = files
        .iter()
        .filter(|file| file.path.starts_with(esp::ENTRIES))
        .collect();
    ensure!(entries.len() == 2, "{} boot entries", entries.len());
    for entry in entries {
        let mut sum = owned.holds("boot-entry/between-sections", &uki::between_sections(&entry.bytes))?;
        for (name, content) in uki::sections(&entry.bytes) {
            sum += owned.holds(&format!("boot-entry/{name}"), content)?;
        }
        ensure!(
            sum == entry.bytes.len(),
            "{sum} of {} bytes of {}",
            entry.bytes.len(),
            entry.path
        );
        let packed = uki::section(&entry.bytes, ".initrd").context("an initramfs")?;
        initramfs_files(packed, owned)?;
    }
    Ok(())
}

/// Unpacks every archive as the kernel does: heads of 110 bytes, names and contents filled up to four bytes.
fn initramfs_files(packed: &[u8], owned: &Owned<'_>) -> Result<()> {
    let archives = initramfs::archives(packed).context("archives")?;
    ensure!(archives.len() == 2, "{} archives", archives.len());
    for (number, archive) in (1..).zip(&archives) {
        let mut reader = archive.as_slice();
        let mut take = |len: usize| -> Result<Vec<u8>> {
            let (taken, rest) = reader.split_at_checked(len).context("an archive ends too early")?;
            reader = rest;
            Ok(taken.to_vec())
        };
        let (mut contents, mut between) = (0, Vec::new());
        loop {
            let head = String::from_utf8(take(110)?)?;
            let field = |at: usize| usize::from_str_radix(head.get(6 + at * 8..14 + at * 8).unwrap_or("x"), 16);
            let (len, name_len) = (field(6)?, field(11)?);
            let name = take((110 + name_len).next_multiple_of(4) - 110)?;
            let path = String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned();
            let content = take(len)?;
            let filling = take(len.next_multiple_of(4) - len)?;
            between.extend([head.as_bytes(), &name, &filling].concat());
            // A folder has mode 040755, the console is a device.
            if field(1)? & 0o170_000 == 0o100_000 {
                contents += owned.holds(&format!("initramfs/{path}"), &content)?;
            }
            if path == "TRAILER!!!" {
                break;
            }
        }
        let sum = contents + owned.holds(&format!("initramfs/archive-{number}"), &between)?;
        ensure!(
            sum == archive.len(),
            "{sum} of {} bytes of archive {number}",
            archive.len()
        );
    }
    Ok(())
}

/// Every block of the disk that is not zero lies in a listed part or in the state partition.
fn parts(disk: &File, owned: &Owned<'_>) -> Result<()> {
    let len = disk.metadata()?.len();
    let state_end = len - 33 * 512;
    let spans = Part::ALL.into_iter().filter_map(|part| {
        let end = part.start() + part.size()?;
        Some((part.label(), part.start(), end))
    });
    let tables = [
        ("partition-table", 0, Part::Esp.start()),
        ("partition-table-copy", state_end, len),
    ];
    let mut at = 0;
    let mut all: Vec<(&str, u64, u64)> = spans.chain(tables).collect();
    all.push(("state", Part::State.start(), state_end));
    all.sort_by_key(|(_, start, _)| *start);
    for (name, start, end) in all {
        ensure!(
            start == at,
            "{name} begins at {start}, and what is before it ends at {at}"
        );
        at = end;
        if name == "state" {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(end - start)?];
        disk.read_exact_at(&mut bytes, start)?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        owned.holds(&format!("disk/{name}"), bytes.get(..used).unwrap_or_default())?;
    }
    ensure!(at == len, "nothing is said of bytes {at} to {len}");
    Ok(())
}

/// The state partition of a new disk holds what the template in the root makes, and nothing else.
fn state_is_its_template(disk: &File, packed: &[u8]) -> Result<()> {
    let (pieces, _) = template::unpack(packed, 1 << 40)?;
    let end = disk.metadata()?.len() - 33 * 512;
    let mut expected: BTreeMap<u64, &[u8]> = pieces
        .iter()
        .map(|piece| (piece.offset, piece.bytes.as_slice()))
        .collect();
    let mut block = [0; 4096];
    for start in (Part::State.start()..end - end % 4096).step_by(block.len()) {
        disk.read_exact_at(&mut block, start)?;
        let planned = expected.remove(&(start - Part::State.start()));
        let same = planned.map_or(block.iter().all(|byte| *byte == 0), |planned| planned == block);
        ensure!(same, "the block at {start} is not the template's");
    }
    ensure!(
        expected.is_empty(),
        "{} blocks of the template are missing",
        expected.len()
    );
    Ok(())
}

/// Name and SHA-256 of the files that some package contains.
struct Owned<'b>(BTreeMap<&'b str, &'b str>);

impl<'b> Owned<'b> {
    fn of(bill: &'b Document) -> Self {
        Owned(owned_files(bill))
    }

    /// That this is listed with an owner; its length.
    fn holds(&self, name: &str, content: &[u8]) -> Result<usize> {
        let listed = self.0.get(format!("./{name}").as_str());
        let digest = hex(&sha256(content));
        ensure!(listed == Some(&digest.as_str()), "{name} is not owned with its digest");
        Ok(content.len())
    }
}

/// Name and SHA-256 of the files that some package contains.
fn owned_files(bill: &Document) -> BTreeMap<&str, &str> {
    let contained: BTreeSet<&str> = bill
        .relationships
        .iter()
        .filter(|relation| relation.relationship_type == "CONTAINS")
        .map(|relation| relation.related_spdx_element.as_str())
        .collect();
    let files = bill.files.iter().filter(|file| contained.contains(file.id.as_str()));
    files
        .filter_map(|file| {
            let sum = file.checksums.iter().find(|sum| sum.algorithm == "SHA256")?;
            Some((file.file_name.as_str(), sum.checksum_value.as_str()))
        })
        .collect()
}

/// Identifiers are unique, and every relation leads from one to another.
fn hangs_together(bill: &Document) -> Result<()> {
    let mut ids = BTreeSet::from([bill.id]);
    let packages = bill.packages.iter().map(|package| package.id.as_str());
    for id in packages.chain(bill.files.iter().map(|file| file.id.as_str())) {
        ensure!(ids.insert(id), "{id} is there twice");
    }
    for relation in &bill.relationships {
        for end in [&relation.spdx_element_id, &relation.related_spdx_element] {
            ensure!(ids.contains(end.as_str()), "{end} is related and not listed");
        }
    }
    Ok(())
}
