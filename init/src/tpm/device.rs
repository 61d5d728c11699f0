//! One command to a TPM, with a deadline: whoever asks may be PID 1.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::{Errno, FdFlags, fcntl_setfd};

/// Through the kernel's resource manager, or past it on kernels without.
const DEVICES: [&str; 2] = ["/dev/tpmrm0", "/dev/tpm0"];
/// No answer is longer.
const ANSWER_BYTES: usize = 4096;

/// The device of this machine's TPM, if it has one.
#[must_use]
pub fn find() -> Option<&'static Path> {
    DEVICES.iter().map(Path::new).find(|device| device.exists())
}

/// Sends a command and waits for its answer, at most until `patience` is over.
///
/// # Errors
/// What the kernel says; `TimedOut` if the TPM does not answer.
pub fn ask(device: &Path, command: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file = File::options()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(device)?;
    file.write_all(command)?;
    if !is_answered(&file, Instant::now() + patience)? {
        // Closing would wait for the command to end, so the descriptor stays open, over the next program image too.
        let _ = fcntl_setfd(&file, FdFlags::empty());
        std::mem::forget(file);
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut answer = vec![0; ANSWER_BYTES];
    let length = file.read(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

fn is_answered(file: &File, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = left.try_into().map_err(io::Error::other)?;
        let mut polled = [PollFd::new(file, PollFlags::IN)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
