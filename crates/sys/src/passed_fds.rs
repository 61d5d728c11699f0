//! Descriptors handed over by PID 1: the `LISTEN_FDS` protocol of `sd_listen_fds(3)`.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Number of the first descriptor that is handed over.
pub const FIRST: RawFd = 3;
/// More than any unit of ours declares; a larger count is a mistake in the environment.
const MOST: usize = 64;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The names of the descriptors handed to process `pid`, by the three variables of the protocol. Empty when they are
/// meant for another process or malformed.
#[must_use]
pub fn parse_names(pid: u32, listen_pid: &str, listen_fds: &str, listen_fdnames: &str) -> Vec<String> {
    let (Ok(for_pid), Ok(count)) = (listen_pid.parse::<u32>(), listen_fds.parse::<usize>()) else {
        return Vec::new();
    };
    if for_pid != pid || count > MOST {
        return Vec::new();
    }
    let mut names = listen_fdnames.split(':').map(str::to_owned);
    (0..count).map(|_| names.next().unwrap_or_default()).collect()
}

/// Takes over the descriptors PID 1 passed to this process, with their names. A second call gives nothing.
pub fn take() -> Vec<(String, OwnedFd)> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Vec::new();
    }
    let variable = |name| std::env::var(name).unwrap_or_default();
    let names = parse_names(
        std::process::id(),
        &variable("LISTEN_PID"),
        &variable("LISTEN_FDS"),
        &variable("LISTEN_FDNAMES"),
    );
    names
        .into_iter()
        .zip(FIRST..)
        .filter_map(|(name, fd)| Some((name, own(fd)?)))
        .collect()
}

#[allow(
    unsafe_code,
    reason = "turns descriptor numbers named by PID 1 into owned descriptors, once"
)]
fn own(fd: RawFd) -> Option<OwnedFd> {
    nix::fcntl::fcntl(
        borrow(fd)?,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC),
    )
    .ok()?;
    // SAFETY: `LISTEN_PID` named this process, so by the protocol this number was opened for it and nothing else here
    // owns it; `TAKEN` lets this run once, and the call above showed that the descriptor is open.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[allow(unsafe_code, reason = "checks a descriptor number before it is owned")]
fn borrow(fd: RawFd) -> Option<std::os::fd::BorrowedFd<'static>> {
    if fd < FIRST {
        return None;
    }
    // SAFETY: the number is not -1, and the borrow is only used for one fcntl call, which answers EBADF for a number
    // that is not open.
    Some(unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) })
}

#[cfg(test)]
mod tests {
    use super::parse_names;

    #[test]
    fn names_belong_to_the_process_they_were_made_for() {
        let table: [(&str, &str, &str, &[&str]); 6] = [
            ("7", "2", "native:stdout", &["native", "stdout"]),
            ("7", "2", "native", &["native", ""]),
            ("8", "2", "native:stdout", &[]),
            ("", "", "", &[]),
            ("7", "x", "native", &[]),
            ("7", "100000", "native", &[]),
        ];
        for (pid, count, names, expected) in table {
            assert_eq!(parse_names(7, pid, count, names), expected);
        }
    }
}
