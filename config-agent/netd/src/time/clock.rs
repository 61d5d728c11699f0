//! The machine's clock, and the hand that may move it.

use keelson_sys::clock;
use rustix::io::Errno;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since 1970.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The right to change the clock; tests have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    /// Changes it.
    Real,
    /// Only says that it would.
    Dry,
}

impl Hand {
    /// Sets the clock.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_TIME.
    pub fn step(self, to: Duration) -> Result<(), Errno> {
        match self {
            Self::Real => clock::set(to),
            Self::Dry => Ok(()),
        }
    }

    /// Lets the clock gain (lose) so many microseconds, and tells the kernel how right it is.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_TIME.
    pub fn slew(self, microseconds: i64, error_microseconds: i64) -> Result<(), Errno> {
        if self == Self::Dry {
            return Ok(());
        }
        clock::slew(microseconds)?;
        clock::mark_synchronised(error_microseconds)
    }
}
