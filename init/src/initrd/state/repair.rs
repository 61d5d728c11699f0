//! Running the file-system checker of the image on the unmounted state, without questions and not for ever.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keelson_image_layout::paths;

use crate::initrd::root::SYSROOT;

/// Longest a repair may take; large disks with much damage take minutes.
const LIMIT: Duration = Duration::from_secs(15 * 60);
const POLL: Duration = Duration::from_millis(50);
/// What the checker says.
const REPORT: &str = "/run/keelson-e2fsck.log";
/// `e2fsck(8)`: 1 = errors corrected, 2 = corrected and the file system must be mounted anew.
const CORRECTED: i32 = 1 | 2;
const LINES_KEPT: usize = 20;

/// How a repair ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing wrong is left.
    Clean,
    /// Something is left; the checker's exit code.
    Left(i32),
}

/// Reads the checker's exit code.
#[must_use]
pub fn judge(code: i32) -> Outcome {
    if code & !CORRECTED == 0 {
        Outcome::Clean
    } else {
        Outcome::Left(code)
    }
}

/// Repairs what can be repaired without a decision (`-p`). `alive` is called while it runs.
///
/// # Errors
/// The checker could not be started, or ran longer than 15 minutes.
pub fn run(device: &Path, alive: &mut dyn FnMut()) -> io::Result<Outcome> {
    let program = Path::new(SYSROOT).join(paths::E2FSCK.trim_start_matches('/'));
    let report = File::create(REPORT)?;
    let mut child = Command::new(program)
        .arg("-p")
        .arg(device)
        .env_clear()
        .stdin(Stdio::null())
        .stderr(report.try_clone()?)
        .stdout(report)
        .spawn()?;
    let ended = wait(&mut child, alive);
    log_report();
    ended
}

fn wait(child: &mut Child, alive: &mut dyn FnMut()) -> io::Result<Outcome> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait()? {
            return status
                .code()
                .map(judge)
                .ok_or_else(|| io::Error::other("the checker was killed by a signal"));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        alive();
        std::thread::sleep(POLL);
    }
}

fn log_report() {
    let report = std::fs::read_to_string(REPORT).unwrap_or_default();
    for line in report.lines().filter(|line| !line.trim().is_empty()).take(LINES_KEPT) {
        log::warn!("e2fsck: {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_bits() {
        let table = [
            (0, Outcome::Clean),
            (1, Outcome::Clean),
            (2, Outcome::Clean),
            (3, Outcome::Clean),
            (4, Outcome::Left(4)),
            (5, Outcome::Left(5)),
            (8, Outcome::Left(8)),
            (12, Outcome::Left(12)),
        ];
        for (code, expected) in table {
            assert_eq!(judge(code), expected, "{code}");
        }
    }

    #[test]
    fn a_child_is_waited_for_and_kept_company() {
        let mut child = Command::new("/bin/true").spawn().unwrap();
        let mut calls = 0;
        assert_eq!(wait(&mut child, &mut || calls += 1).unwrap(), Outcome::Clean);
        let mut child = Command::new("/bin/false").spawn().unwrap();
        assert_eq!(
            wait(&mut child, &mut || {}).unwrap(),
            Outcome::Clean,
            "code 1 means corrected"
        );
    }
}
