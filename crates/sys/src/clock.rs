//! The wall clock: read it, set it, slew it.

use std::time::Duration;

use nix::libc;
use rustix::io::Errno;

/// Sets the wall clock to this time since 1970.
///
/// # Errors
/// EPERM without CAP_SYS_TIME.
pub fn set(since_1970: Duration) -> Result<(), Errno> {
    let seconds = i64::try_from(since_1970.as_secs()).map_err(|_| Errno::INVAL)?;
    let time = rustix::time::Timespec {
        tv_sec: seconds,
        tv_nsec: since_1970.subsec_nanos().into(),
    };
    rustix::time::clock_settime(rustix::time::ClockId::Realtime, time)
}

/// Makes the clock gain (or lose, when negative) this many microseconds, slowly: half a millisecond a second. An
/// earlier change under way is replaced.
///
/// # Errors
/// EPERM without CAP_SYS_TIME.
pub fn slew(microseconds: i64) -> Result<(), Errno> {
    adjust(|request| {
        request.modes = libc::ADJ_OFFSET_SINGLESHOT;
        request.offset = microseconds;
    })
}

/// Tells the kernel that the clock is right to within `error_microseconds`, so that it is written to the hardware
/// clock every eleven minutes.
///
/// # Errors
/// EPERM without CAP_SYS_TIME.
pub fn mark_synchronised(error_microseconds: i64) -> Result<(), Errno> {
    adjust(|request| {
        request.modes = libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR;
        request.status = 0;
        request.maxerror = error_microseconds;
        request.esterror = error_microseconds;
    })
}

#[allow(unsafe_code, reason = "adjtimex")]
fn adjust(fill: impl FnOnce(&mut libc::timex)) -> Result<(), Errno> {
    // SAFETY: the structure consists of integers, for which zero is a value.
    let mut request: libc::timex = unsafe { std::mem::zeroed() };
    fill(&mut request);
    // SAFETY: the structure is live for the call and of the type the call expects.
    let outcome = unsafe { libc::adjtimex(&raw mut request) };
    if outcome < 0 {
        Err(Errno::from_raw_os_error(nix::errno::Errno::last_raw()))
    } else {
        Ok(())
    }
}
