//! The hardware watchdog: armed by opening it, fed by writing, handed from one program image to the next.
//!
//! The descriptor is kept open over the `execve` from initramfs to system, since closing it would let the kernel warn
//! and a second open would be refused. Source: kernel `Documentation/watchdog/watchdog-api.rst`.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::ioctl::{Getter, Updater, ioctl, opcode};

/// Environment variable that carries the descriptor's number to the next program image.
pub const VARIABLE: &str = "KEELSON_WATCHDOG_FD";

/// `WDIOF_CARDRESET`: the last reset came from the watchdog.
const CARD_RESET: i32 = 0x20;

/// An armed watchdog. Dropping it leaves it armed: whoever cannot feed it any more shall be reset.
#[derive(Debug)]
pub struct Watchdog(File);

impl Watchdog {
    /// Opens and thereby arms the device.
    ///
    /// # Errors
    /// `EBUSY` when another descriptor is open.
    pub fn open(path: &Path) -> io::Result<Watchdog> {
        File::options().write(true).open(path).map(Watchdog)
    }

    /// Takes over what the program image before this one left in [`VARIABLE`]; `None` if there is nothing. A second
    /// call gives nothing.
    #[allow(unsafe_code, reason = "owns a descriptor number left by the previous program image")]
    #[must_use]
    pub fn inherited() -> Option<Watchdog> {
        use std::sync::atomic::{AtomicBool, Ordering};
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let number: i32 = std::env::var(VARIABLE).ok()?.parse().ok()?;
        if number < 3 || TAKEN.swap(true, Ordering::SeqCst) {
            return None;
        }
        // SAFETY: the number was left for this program image alone, `TAKEN` lets this run once, and a number that is
        // not open makes the next call fail before the owner is used.
        let file = unsafe { File::from_raw_fd(number) };
        if fcntl_setfd(&file, FdFlags::CLOEXEC).is_err() {
            std::mem::forget(file);
            return None;
        }
        Some(Watchdog(file))
    }

    /// Puts off the reset by one timeout.
    ///
    /// # Errors
    /// What the device answers.
    pub fn feed(&mut self) -> io::Result<()> {
        self.0.write_all(b"\0")
    }

    /// Asks for a timeout; returns the one the device chose, in whole seconds.
    ///
    /// # Errors
    /// `EOPNOTSUPP` when the timeout is fixed.
    #[allow(unsafe_code, reason = "rustix has no watchdog calls")]
    pub fn set_timeout(&mut self, timeout: Duration) -> io::Result<Duration> {
        const SET: u32 = opcode::read_write::<i32>(b'W', 6);
        let mut seconds = i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
        // SAFETY: WDIOC_SETTIMEOUT reads and writes one int.
        unsafe { ioctl(&self.0, Updater::<SET, i32>::new(&mut seconds)) }?;
        Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// Whether the last reset of this machine came from this watchdog; unknown counts as no.
    #[allow(unsafe_code, reason = "rustix has no watchdog calls")]
    #[must_use]
    pub fn caused_last_reset(&self) -> bool {
        const BOOT_STATUS: u32 = opcode::read::<i32>(b'W', 2);
        // SAFETY: WDIOC_GETBOOTSTATUS writes one int.
        let status = unsafe { ioctl(&self.0, Getter::<BOOT_STATUS, i32>::new()) };
        status.is_ok_and(|flags| flags & CARD_RESET != 0)
    }

    /// Keeps the descriptor open over the next `execve`; the returned text goes into [`VARIABLE`].
    ///
    /// # Errors
    /// What `fcntl` answers.
    pub fn hand_over(self) -> io::Result<String> {
        let flags = fcntl_getfd(&self.0)?;
        fcntl_setfd(&self.0, flags.difference(FdFlags::CLOEXEC))?;
        let number = self.0.as_raw_fd();
        std::mem::forget(self.0);
        Ok(number.to_string())
    }

    /// Disarms the device (the "magic close"), for a shutdown that was completed.
    ///
    /// # Errors
    /// What the device answers; some cannot be stopped at all.
    pub fn disarm(mut self) -> io::Result<()> {
        self.0.write_all(b"V")
    }
}
