//! The process's terminal: a pseudo terminal of the container's own devpts.

use crate::error::{Result, Step};
use crate::init::file_system::{attach, copy_tree_at};
use crate::init::inside::Inside;
use oci_spec::runtime::Process;
use rustix::fs::{FileType, Gid, OFlags, Uid, fchown, fstat, makedev};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Both ends.
#[derive(Debug)]
pub struct Console {
    /// For whoever shows it.
    pub master: OwnedFd,
    /// For the process.
    pub terminal: OwnedFd,
}

/// Opens one below `inside`, sized as the process asks. The terminal is had from the master itself, never by its name.
pub fn open(inside: Inside<'_>, process: &Process) -> Result<Console> {
    let path = Path::new("/dev/pts/ptmx");
    let master = inside.open(path, OFlags::RDWR | OFlags::NOCTTY).step("open", path)?;
    check(master.as_fd()).step("use", path)?;
    unlockpt(&master).step("unlock the terminal of", path)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = ioctl_tiocgptpeer(&master, flags).step("open the terminal of", path)?;
    let user = process.user();
    fchown(&terminal, Some(Uid::from_raw(user.uid())), None::<Gid>).step("give away the terminal of", path)?;
    if let Some(size) = process.console_size() {
        let fit = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
        let size = Winsize {
            ws_row: fit(size.height()),
            ws_col: fit(size.width()),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).step("size the terminal of", path)?;
    }
    Ok(Console { master, terminal })
}

/// A container could have put anything in the place of the real one.
fn check(master: BorrowedFd<'_>) -> Result<(), Errno> {
    let stat = fstat(master)?;
    let is_ptmx = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == makedev(5, 2);
    if is_ptmx { Ok(()) } else { Err(Errno::NOTTY) }
}

/// Shows the terminal as /dev/console.
pub fn bind(inside: Inside<'_>, terminal: BorrowedFd<'_>) -> Result<()> {
    let path = Path::new("/dev/console");
    let target = inside.make_file(path).step("make", path)?;
    let tree = copy_tree_at(terminal, false).step("mount", path)?;
    attach(tree.as_fd(), target.as_fd()).step("mount", path)
}
