//! The EFI system partition, mounted only while something in it changes, and seen by nobody else: the mount has no
//! place in the file tree and ends with the value.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use keelson_image_layout::{Slot, SlotRecord};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstatvfs, fsync, open, openat, renameat, statat, unlinkat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};
use thiserror::Error;

use crate::entries::{Plan, plan_entry};
use crate::room::Room;

/// Where boot entries are.
pub(crate) const ENTRIES: &str = "EFI/Linux";

/// What went wrong on the EFI system partition.
#[derive(Debug, Error)]
pub enum EspError {
    /// It could not be mounted.
    #[error("cannot mount the EFI system partition {path}")]
    Mount {
        /// The device node.
        path: PathBuf,
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
    /// The directory of boot entries could not be read.
    #[error("cannot read {ENTRIES} on the EFI system partition")]
    Read {
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
    /// A file could not be written, read, removed or flushed.
    #[error("cannot {what} {ENTRIES}/{name} on the EFI system partition")]
    File {
        /// What was being done.
        what: &'static str,
        /// The file.
        name: String,
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
    /// An entry could not be renamed or flushed.
    #[error("cannot rename the boot entry {from} to {to}")]
    Rename {
        /// Name as found.
        from: String,
        /// Name it should have.
        to: String,
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
}

/// The directory of boot entries, held open.
#[derive(Debug)]
pub struct Esp {
    entries: OwnedFd,
    /// Keeps the mount; declared last so that it ends last.
    _mount: OwnedFd,
}

impl Esp {
    /// A directory as it is, anything else by mounting it.
    ///
    /// # Errors
    /// As [`Esp::mount`].
    pub fn open(place: &Path) -> Result<Esp, EspError> {
        if place.is_dir() {
            Esp::at(place)
        } else {
            Esp::mount(place)
        }
    }

    /// Mounts the partition for writing.
    ///
    /// # Errors
    /// [`EspError::Mount`] when it is no FAT file system or cannot be read, [`EspError::Read`] without `EFI/Linux`.
    pub fn mount(device: &Path) -> Result<Esp, EspError> {
        let mounted = mount_detached(device).map_err(|source| EspError::Mount {
            path: device.to_owned(),
            source,
        })?;
        Esp::within(mounted)
    }

    /// The same over a plain directory, for tests.
    ///
    /// # Errors
    /// [`EspError::Read`] without `EFI/Linux`.
    pub fn at(directory: &Path) -> Result<Esp, EspError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = open(directory, flags, Mode::empty());
        Esp::within(opened.map_err(|errno| EspError::Read { source: errno.into() })?)
    }

    fn within(mount: OwnedFd) -> Result<Esp, EspError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let entries = openat(&mount, ENTRIES, flags, Mode::empty());
        Ok(Esp {
            entries: entries.map_err(|errno| EspError::Read { source: errno.into() })?,
            _mount: mount,
        })
    }

    /// Names of the files in `EFI/Linux`, as the file system gives them.
    ///
    /// # Errors
    /// [`EspError::Read`].
    pub fn names(&self) -> Result<Vec<String>, EspError> {
        let read_error = |errno: rustix::io::Errno| EspError::Read { source: errno.into() };
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.entries).map_err(read_error)? {
            let entry = entry.map_err(read_error)?;
            match entry.file_name().to_string_lossy().into_owned() {
                name if name == "." || name == ".." => {}
                name => names.push(name),
            }
        }
        names.sort();
        Ok(names)
    }

    /// Leads the name of the slot's entry to what its record says, and says what was done.
    ///
    /// # Errors
    /// [`EspError::Read`], [`EspError::Rename`].
    pub fn align(&self, slot: Slot, record: &SlotRecord) -> Result<Plan, EspError> {
        let plan = plan_entry(&self.names()?, slot, record);
        if let Plan::Rename { from, to } = &plan {
            self.rename(from, to)?;
        }
        Ok(plan)
    }

    /// FAT has no journal: the file is flushed before its name changes, so that the new name never shows content that
    /// is not on the medium, and file and directory after it.
    ///
    /// # Errors
    /// [`EspError::Rename`].
    pub fn rename(&self, from: &str, to: &str) -> Result<(), EspError> {
        let renamed = || {
            let file = openat(&self.entries, from, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            fsync(&file)?;
            renameat(&self.entries, from, &self.entries, to)?;
            fsync(&file)?;
            fsync(&self.entries)
        };
        renamed().map_err(|errno: rustix::io::Errno| EspError::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
            source: errno.into(),
        })
    }

    /// Removes a file and flushes the directory.
    ///
    /// # Errors
    /// [`EspError::File`].
    pub fn remove(&self, name: &str) -> Result<(), EspError> {
        let removed = unlinkat(&self.entries, name, AtFlags::empty()).and_then(|()| fsync(&self.entries));
        removed.map_err(|errno| failed("remove", name, errno.into()))
    }

    /// A file under this name, for writing; one that was there keeps its content.
    ///
    /// # Errors
    /// [`EspError::File`].
    pub fn create(&self, name: &str) -> Result<File, EspError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let opened = openat(&self.entries, name, flags, Mode::from_raw_mode(0o600));
        opened
            .map(File::from)
            .map_err(|errno| failed("write", name, errno.into()))
    }

    /// A file, for reading.
    ///
    /// # Errors
    /// [`EspError::File`].
    pub fn read(&self, name: &str) -> Result<File, EspError> {
        let opened = openat(&self.entries, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        opened
            .map(File::from)
            .map_err(|errno| failed("read", name, errno.into()))
    }

    /// Flushes the directory: a file that was created in it stays.
    ///
    /// # Errors
    /// [`EspError::Read`].
    pub fn flush(&self) -> Result<(), EspError> {
        fsync(&self.entries).map_err(|errno| EspError::Read { source: errno.into() })
    }

    /// Room and names, as [`crate::room::decide_room`] wants them.
    ///
    /// # Errors
    /// [`EspError::Read`].
    pub fn room(&self) -> Result<Room, EspError> {
        let read_error = |errno: rustix::io::Errno| EspError::Read { source: errno.into() };
        let whole = fstatvfs(&self.entries).map_err(read_error)?;
        let mut files = Vec::new();
        for name in self.names()? {
            let status = statat(&self.entries, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(read_error)?;
            files.push((name, status.st_size.unsigned_abs()));
        }
        Ok(Room {
            free: whole.f_bavail.saturating_mul(whole.f_frsize),
            cluster: whole.f_frsize.max(1),
            files,
        })
    }
}

fn failed(what: &'static str, name: &str, source: io::Error) -> EspError {
    EspError::File {
        what,
        name: name.to_owned(),
        source,
    }
}

fn mount_detached(device: &Path) -> io::Result<OwnedFd> {
    let context = fsopen("vfat", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", device)?;
    fsconfig_set_string(&context, "umask", "0077")?;
    fsconfig_set_string(&context, "errors", "remount-ro")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use keelson_image_layout::State;

    use super::*;

    fn directory(names: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let entries = directory.path().join(ENTRIES);
        fs::create_dir_all(&entries).unwrap();
        for name in names {
            fs::write(entries.join(name), name).unwrap();
        }
        directory
    }

    #[test]
    fn marking_good_renames_once_and_keeps_the_other_slot() {
        let directory = directory(&["ka+2-1.efi", "kb+3-0.efi"]);
        let esp = Esp::at(directory.path()).unwrap();
        let good = SlotRecord {
            state: State::Good,
            ..SlotRecord::EMPTY
        };
        let renamed = esp.align(Slot::A, &good).unwrap();
        assert!(matches!(renamed, Plan::Rename { .. }));
        assert_eq!(esp.names().unwrap(), ["ka.efi", "kb+3-0.efi"]);
        assert_eq!(
            fs::read(directory.path().join("EFI/Linux/ka.efi")).unwrap(),
            b"ka+2-1.efi"
        );
        assert_eq!(esp.align(Slot::A, &good).unwrap(), Plan::Keep);
    }

    #[test]
    fn a_partition_without_entries_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Esp::at(directory.path()), Err(EspError::Read { .. })));
    }
}
