//! The parts of a release as they lie on a disk image.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use keelson_erofs::{Reader, Window};
use keelson_image_layout::verity::{BLOCK, VerityParams};
use keelson_image_layout::{Part, Slot};
use keelson_payload::PartName;

use crate::disk::esp;
use crate::disk::region::{ReadOnly, Region};
use crate::release::Naming;
use crate::sbom::content::{os_release, root_hash};
use crate::uki;
use crate::verity::hash_tree;

/// A release in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What it is called.
    pub naming: Naming,
    /// How its root is mapped.
    pub verity: VerityParams,
    /// The root file system.
    pub root: Vec<u8>,
    /// The boot entry.
    pub boot: Vec<u8>,
    /// systemd-boot.
    pub loader: Vec<u8>,
}

impl Content {
    /// Reads the release of slot A of a raw disk image, and checks that root, boot entry and slot-state record belong
    /// together.
    ///
    /// # Errors
    /// The file is no disk of ours, or its parts are of two releases.
    pub fn read(path: &Path) -> Result<Content> {
        let disk = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Content::of(&disk).with_context(|| format!("no release on {} (only raw images are read)", path.display()))
    }

    fn of(disk: &File) -> Result<Content> {
        let (root, time) = read_root(disk)?;
        let (boot, loader) = read_esp(disk)?;
        let system = uki::section(&boot, ".osrel").context("the boot entry does not say its version")?;
        let (version, flavour) = os_release(system)?;
        let flavour = flavour.parse().map_err(anyhow::Error::msg)?;
        let naming = Naming::new(&version, time, flavour)?;
        let verity = hash_tree(&mut root.as_slice(), naming.salt())?.params;
        let recorded = root_hash(disk, Slot::A)?;
        ensure!(
            recorded == verity.root_hash,
            "the root's hash is {}, the slot-state record has {recorded}",
            verity.root_hash
        );
        Ok(Content {
            naming,
            verity,
            root,
            boot,
            loader,
        })
    }

    /// The bytes of a part.
    #[must_use]
    pub fn part(&self, name: PartName) -> &[u8] {
        match name {
            PartName::Root => &self.root,
            PartName::Boot => &self.boot,
            PartName::Loader => &self.loader,
        }
    }
}

/// The root without what lies behind it in its partition, and the time of the release.
fn read_root(disk: &File) -> Result<(Vec<u8>, u64)> {
    let part = Slot::A.root();
    let room = part.size().unwrap_or_default();
    let reader = Reader::open(Window::new(disk.try_clone()?, part.start(), room)).context("root file system")?;
    let time = u64::try_from(reader.root()?.mtime.seconds).context("time of the root")?;
    let length = u64::from(reader.superblock().blocks) * BLOCK as u64;
    ensure!(length <= room, "the root is larger than its partition");
    let mut root = vec![0; usize::try_from(length)?];
    disk.read_exact_at(&mut root, part.start())
        .context("root file system")?;
    Ok((root, time))
}

/// Boot entry of slot A, and boot loader.
fn read_esp(disk: &File) -> Result<(Vec<u8>, Vec<u8>)> {
    let room = Part::Esp.size().unwrap_or_default();
    let files = esp::read(ReadOnly(Region::new(disk, Part::Esp.start(), room)))?.files;
    let stem = format!("{}/{}", esp::ENTRIES, Slot::A.entry_stem());
    let find = |what: &str, is_it: &dyn Fn(&str) -> bool| {
        let found = files.iter().find(|file| is_it(&file.path));
        let found = found.with_context(|| format!("the EFI system partition has no {what}"))?;
        Ok::<_, anyhow::Error>(found.bytes.clone())
    };
    let entry = find("boot entry of slot A", &|path| path.starts_with(&stem))?;
    Ok((entry, find("boot loader", &|path| path == esp::LOADER)?))
}

#[cfg(test)]
mod tests {
    use keelson_erofs::Tree;

    use super::*;
    use crate::disk::{assemble, state};
    use crate::flavour::Flavour;
    use crate::uki::tests::pe;

    const BYTES: u64 = 3 << 30;

    /// A disk whose boot entry says it is of version `entry`.
    fn disk(folder: &Path, naming: &Naming, entry: &str) -> std::path::PathBuf {
        let root = folder.join("root");
        let options = keelson_erofs::Options {
            build_time: naming.time,
            ..keelson_erofs::Options::default()
        };
        let tree = Tree::default();
        keelson_erofs::write_image(&tree, &mut File::create(&root).unwrap(), &options).unwrap();
        let tree = hash_tree(&mut File::open(&root).unwrap(), naming.salt()).unwrap();
        let parts = uki::Parts {
            stub: &pe(b"stub"),
            kernel: &pe(&[7; 9000]),
            initrd: b"initrd",
            os_release: &Naming::new(entry, naming.time, naming.flavour).unwrap().os_release(),
            command_line: "quiet",
            uname: "6.12",
        };
        let release = assemble::Release {
            id: &naming.id(),
            version: &naming.version,
            time: naming.time,
            root: &root,
            tree: &tree,
            entry: &uki::assemble(&parts).unwrap(),
            loader: b"loader",
            state: &state::template(BYTES, &naming.id(), naming.time).unwrap(),
        };
        let path = folder.join("disk");
        assemble::write(&path, BYTES, &release).unwrap();
        path
    }

    #[test]
    fn a_release_is_read_off_its_disk_and_must_be_one() {
        let place = tempfile::tempdir().unwrap();
        let naming = Naming::new("1.2.3", 0, Flavour::Cloud).unwrap();
        let content = Content::read(&disk(place.path(), &naming, "1.2.3")).unwrap();
        assert_eq!(content.naming, naming);
        assert_eq!(content.root, std::fs::read(place.path().join("root")).unwrap());
        assert_eq!(content.loader, b"loader");
        assert_eq!(uki::section(&content.boot, ".initrd"), Some(&b"initrd"[..]));
        let mixed = Content::read(&disk(place.path(), &naming, "1.2.4")).unwrap_err();
        assert!(format!("{mixed:#}").contains("the slot-state record has"), "{mixed:#}");
    }
}
