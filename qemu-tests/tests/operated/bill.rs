//! The bill of materials of the image under test, held against the image itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use keelson_erofs::{Reader, Window};
use keelson_image_layout::Slot;
use keelson_os_build::digest::{hex, sha256};
use keelson_os_build::sbom;
use keelson_os_build::sbom::spdx::Document;
use keelson_qemu_tests::Environment;

/// Walks the image on its own way: each file is listed with its digest, and some listed package contains it.
pub fn every_byte_has_an_owner(environment: &Environment) -> Result<()> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("cargo names the package's folder")?;
    let source = Path::new(&package).parent().context("the workspace")?;
    let bill = sbom::describe(&environment.disk, source)?;
    hangs_together(&bill)?;
    let owned = owned_files(&bill);
    let part = Slot::A.root();
    let window = Window::new(
        File::open(&environment.disk)?,
        part.start(),
        part.size().unwrap_or_default(),
    );
    let root = Reader::open(window)?;
    let mut seen = 0;
    for (path, inode) in root.walk(usize::MAX)?.into_iter().filter(|(_, inode)| !inode.is_dir()) {
        let path = String::from_utf8_lossy(path.as_bytes()).into_owned();
        let name = format!("./root/{}", path.trim_start_matches('/'));
        let digest = hex(&sha256(&root.contents(&inode, 1 << 30)?));
        ensure!(
            owned.get(name.as_str()) == Some(&digest.as_str()),
            "{name} is not owned with its digest"
        );
        seen += 1;
    }
    ensure!(seen > 100, "only {seen} files in the root");
    for name in [
        "./boot-entry/.linux",
        "./boot-entry/.initrd",
        "./esp/EFI/BOOT/BOOTX64.EFI",
    ] {
        ensure!(owned.contains_key(name), "{name} is not owned");
    }
    let crates = bill.packages.iter().filter(|package| package.id.contains("-Crate-"));
    let unlicensed: Vec<&str> = crates
        .filter(|package| package.license_declared == sbom::spdx::UNKNOWN)
        .map(|package| package.name.as_str())
        .collect();
    ensure!(unlicensed.is_empty(), "crates without a licence: {unlicensed:?}");
    Ok(())
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
