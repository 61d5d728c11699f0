//! A disk file seen from outside: copied with its holes, damaged on purpose, read back.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use keelson_erofs::{Reader, Window};
use keelson_image_layout::slot_state::{COPY_BYTES, COPY_OFFSETS, Current};
use keelson_image_layout::verity::BLOCK;
use keelson_image_layout::{EntryName, Part, Slot, SlotState};
use keelson_os_build::disk::esp::{self, Contents, Held};
use keelson_os_build::disk::region::Region;
use keelson_os_build::uki;
use rustix::fs::SeekFrom;

/// A raw disk image that belongs to one machine.
#[derive(Debug, Clone)]
pub struct DiskFile(PathBuf);

impl DiskFile {
    /// Copies an image, holes included.
    ///
    /// # Errors
    /// Reading or writing fails.
    pub fn copy(from: &Path, to: &Path) -> Result<DiskFile> {
        copy_sparse(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
        Ok(DiskFile(to.to_owned()))
    }

    /// A disk that is there already.
    #[must_use]
    pub fn at(path: PathBuf) -> DiskFile {
        DiskFile(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the disk larger, as a machine with a bigger drive would have it.
    ///
    /// # Errors
    /// The file cannot be changed.
    pub fn enlarge(&self, bytes: u64) -> Result<()> {
        Ok(File::options().write(true).open(&self.0)?.set_len(bytes)?)
    }

    /// Bytes of the disk.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn size(&self) -> Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    /// Reads `length` bytes at an offset of the disk.
    ///
    /// # Errors
    /// The disk is shorter, or cannot be read.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        File::open(&self.0)?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Overwrites bytes at an offset of the disk.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        Ok(File::options().write(true).open(&self.0)?.write_all_at(bytes, offset)?)
    }

    /// Flips one bit.
    ///
    /// # Errors
    /// The disk is shorter, or cannot be written.
    pub fn flip_bit(&self, offset: u64) -> Result<()> {
        let byte = self.read(offset, 1)?;
        self.write(offset, &byte.iter().map(|byte| byte ^ 1).collect::<Vec<_>>())
    }

    /// Content of a file of a slot's root, the first whose path ends so.
    ///
    /// # Errors
    /// The root cannot be read, or has no such file.
    pub fn root_file(&self, slot: Slot, path: &str) -> Result<Vec<u8>> {
        let (start, size) = (slot.root().start(), slot.root().size().unwrap_or_default());
        let root = Reader::open(Window::new(File::open(&self.0)?, start, size)).context("read the root")?;
        let (_, inode) = root
            .walk(usize::MAX)?
            .into_iter()
            .find(|(found, _)| found.as_bytes().ends_with(path.as_bytes()))
            .with_context(|| format!("the root has no {path}"))?;
        Ok(root.contents(&inode, 1 << 30)?)
    }

    /// Flips a bit in the middle of a file of a slot's root, named by its path without the leading slash.
    ///
    /// # Errors
    /// The file is not there, or holds no whole block.
    pub fn damage_file(&self, slot: Slot, path: &str) -> Result<()> {
        let (start, size) = (slot.root().start(), slot.root().size().unwrap_or_default());
        let content = self.root_file(slot, path)?;
        let block = content
            .chunks_exact(BLOCK)
            .nth(content.len() / BLOCK / 2)
            .context("the file is too short")?;
        let data = self.read(start, usize::try_from(size)?)?;
        let index = data
            .chunks_exact(BLOCK)
            .position(|found| found == block)
            .context("the block is not found")?;
        self.flip_bit(start + (index * BLOCK) as u64 + BLOCK as u64 / 2)
    }

    /// Changes the files of the ESP, which is written anew.
    ///
    /// # Errors
    /// The ESP cannot be read or written, or the change fails.
    pub fn change_esp<T>(&self, change: impl FnOnce(&mut Contents) -> Result<T>) -> Result<T> {
        let disk = File::options().read(true).write(true).open(&self.0)?;
        let place = (Part::Esp.start(), Part::Esp.size().unwrap_or_default());
        esp::change(&disk, place, change)
    }

    /// Changes the boot entries of a slot.
    ///
    /// # Errors
    /// There is none, or the change fails.
    pub fn change_entry(&self, slot: Slot, change: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<()> {
        self.change_esp(|contents| {
            let of_slot = |file: &&mut Held| {
                let name = file.path.strip_prefix("EFI/Linux/");
                name.and_then(|name| EntryName::parse(name).ok())
                    .is_some_and(|name| name.slot == slot)
            };
            let entry = contents
                .files
                .iter_mut()
                .find(of_slot)
                .context("the slot has no entry")?;
            entry.bytes = change(&entry.bytes)?;
            Ok(())
        })
    }

    /// Puts the kernel's log onto the console, where milestones of a boot are looked for.
    ///
    /// # Errors
    /// As [`DiskFile::change_entry`].
    pub fn show_kernel_log(&self) -> Result<()> {
        Slot::ALL.into_iter().try_for_each(|slot| {
            self.change_entry(slot, |entry| {
                let line = uki::section(entry, ".cmdline").context("the entry has no command line")?;
                let line = String::from_utf8_lossy(line).replace("loglevel=4", "loglevel=7");
                uki::with_command_line(entry, &line).context("the command line does not fit")
            })
        })
    }

    /// The slot-state record in force.
    ///
    /// # Errors
    /// Neither copy is valid.
    pub fn slot_state(&self) -> Result<Current> {
        let [first, second] = COPY_OFFSETS.map(|offset| {
            self.read(Part::SlotState.start() + offset, COPY_BYTES)
                .unwrap_or_default()
        });
        SlotState::newest(&first, &second).context("no copy of the slot-state record is valid")
    }

    /// Names in `EFI/Linux`, as they stand.
    ///
    /// # Errors
    /// The ESP is damaged.
    pub fn entry_files(&self) -> Result<Vec<String>> {
        let file = File::open(&self.0)?;
        let esp = fatfs::FileSystem::new(esp_region(&file), fatfs::FsOptions::new()).context("open the ESP")?;
        let directory = esp.root_dir().open_dir("EFI/Linux").context("open EFI/Linux")?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let name = entry.context("read EFI/Linux")?.file_name();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Writes a file of the folder `keelson` on the ESP.
    ///
    /// # Errors
    /// The ESP is damaged or full.
    pub fn write_esp_file(&self, name: &str, content: &[u8]) -> Result<()> {
        let file = File::options().read(true).write(true).open(&self.0)?;
        let esp = fatfs::FileSystem::new(esp_region(&file), fatfs::FsOptions::new()).context("open the ESP")?;
        let folder = esp.root_dir().create_dir("keelson").context("make the folder")?;
        io::Write::write_all(&mut folder.create_file(name)?, content).context("write the file")?;
        Ok(())
    }

    /// The entry of a slot.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn entry(&self, slot: Slot) -> Result<EntryName> {
        let names = self.entry_files()?;
        let mut entries = names
            .iter()
            .filter_map(|name| EntryName::parse(name).ok())
            .filter(|entry| entry.slot == slot);
        match (entries.next(), entries.next()) {
            (Some(entry), None) => Ok(entry),
            _ => anyhow::bail!("slot {slot} has not one entry in {names:?}"),
        }
    }

    /// What `e2fsck -fn` says of the state partition: whether it is clean, and its words.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn check_state(&self) -> Result<(bool, String)> {
        let target = format!("{}?offset={}", self.0.display(), Part::State.start());
        let output = Command::new("/usr/sbin/e2fsck")
            .args(["-f", "-n", &target])
            .output()
            .context("run e2fsck")?;
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success() && !words.contains("recovering journal"), words))
    }

    /// Bytes of a file on the state partition.
    ///
    /// # Errors
    /// The program cannot be run, or the file is empty or missing.
    pub fn state_dump(&self, path: &str) -> Result<Vec<u8>> {
        let target = format!("{}?offset={}", self.0.display(), Part::State.start());
        let output = Command::new("/usr/sbin/debugfs")
            .args(["-R", &format!("cat {path}"), &target])
            .output()
            .context("run debugfs")?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(!output.stdout.is_empty(), "{path} is empty or missing: {said}");
        Ok(output.stdout)
    }

    /// Changes the state partition of a machine that is off, by a request of debugfs(8).
    ///
    /// # Errors
    /// The program cannot be run, or says something against it.
    pub fn change_state(&self, request: &str) -> Result<()> {
        let target = format!("{}?offset={}", self.0.display(), Part::State.start());
        let output = Command::new("/usr/sbin/debugfs")
            .args(["-w", "-R", request, &target])
            .output()
            .context("run debugfs")?;
        let said = String::from_utf8_lossy(&output.stderr);
        // Its first line is its version.
        anyhow::ensure!(
            output.status.success() && said.lines().count() <= 1,
            "{request}: {said}"
        );
        Ok(())
    }

    /// Text of a file on the state partition.
    ///
    /// # Errors
    /// As [`DiskFile::state_dump`], or the file is not text.
    pub fn state_file(&self, path: &str) -> Result<String> {
        String::from_utf8(self.state_dump(path)?).with_context(|| format!("{path} is not text"))
    }
}

/// The EFI system partition of a disk.
fn esp_region(disk: &File) -> Region<'_> {
    Region::new(disk, Part::Esp.start(), Part::Esp.size().unwrap_or_default())
}

/// Copies the data of a file and leaves its holes holes.
fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    let target = File::create(to)?;
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while let Some((start, end)) = next_data(&source, at, length)? {
        let mut position = start;
        while position < end {
            let wanted = usize::try_from(end - position)
                .unwrap_or(buffer.len())
                .min(buffer.len());
            let chunk = buffer.get_mut(..wanted).unwrap_or_default();
            source.read_exact_at(chunk, position)?;
            target.write_all_at(chunk, position)?;
            position += wanted as u64;
        }
        at = end;
    }
    Ok(())
}

/// The next range that holds data, behind `at`.
fn next_data(file: &File, at: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= length {
        return Ok(None);
    }
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => Ok(Some((start, rustix::fs::seek(file, SeekFrom::Hole(start))?))),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_copy_keeps_data_and_holes() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let file = File::create(&from).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        file.write_all_at(b"middle", 33 << 20).unwrap();
        let copy = DiskFile::copy(&from, &to).unwrap();
        assert_eq!(copy.read(33 << 20, 6).unwrap(), b"middle");
        assert_eq!(std::fs::read(&from).unwrap(), std::fs::read(&to).unwrap());
        assert!(to.metadata().unwrap().blocks() < 8192, "holes were filled");
    }

    #[test]
    fn flipping_a_bit_twice_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        std::fs::write(&path, [7; 16]).unwrap();
        let disk = DiskFile(path);
        disk.flip_bit(3).unwrap();
        assert_eq!(disk.read(2, 3).unwrap(), [7, 6, 7]);
        disk.flip_bit(3).unwrap();
        assert_eq!(disk.read(0, 16).unwrap(), [7; 16]);
    }
}
