//! The last steps: nothing runs any more but this. Blocking is allowed here, and bounded by the watchdog.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::io;

use keelson_manager_api::PowerKind;
use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::system::{RebootCommand, reboot};

use super::console::Console;

/// Kernel file systems: they hold nothing that could be lost, and the last lines still need them.
const KEPT: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

/// Unmounts everything, writes what is unwritten, and goes down. Returns only if the kernel refuses.
///
/// # Errors
/// What the kernel says.
pub fn go_down(kind: PowerKind, console: Console) -> io::Result<Infallible> {
    rustix::fs::sync();
    let left = unmount_all();
    for target in &left {
        console.complain(format!("{target} could not be unmounted; it is read-only now"));
    }
    rustix::fs::sync();
    let (command, line) = match kind {
        PowerKind::Reboot => (RebootCommand::Restart, "reboot"),
        PowerKind::PowerOff => (RebootCommand::PowerOff, "power off"),
    };
    console.say(format!("everything is stopped and written: {line}"));
    reboot(command)?;
    Err(io::Error::other("the kernel came back"))
}

/// Unmounts the newest first, again and again as long as it helps; what is left becomes read-only. Gives what was left
/// and was on a disk.
fn unmount_all() -> Vec<String> {
    loop {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let targets = plan_unmounts(&mounts);
        let done = targets.iter().filter(|target| try_unmount(target)).count();
        if done == 0 {
            return targets.into_iter().filter(|target| make_read_only(target)).collect();
        }
    }
}

fn try_unmount(target: &str) -> bool {
    unmount(target, UnmountFlags::NOFOLLOW).is_ok()
}

fn make_read_only(target: &str) -> bool {
    let nothing = CString::default();
    mount_remount(target, MountFlags::RDONLY, nothing.as_c_str()).is_ok()
}

/// Mount points to unmount, the newest first; the root and the kernel's file systems stay.
fn plan_unmounts(mountinfo: &str) -> Vec<String> {
    let points = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape);
    let kept = |target: &String| {
        target == "/"
            || KEPT
                .iter()
                .any(|kept| target == kept || target.starts_with(&format!("{kept}/")))
    };
    let mut targets: Vec<String> = points.filter(|target| !kept(target)).collect();
    targets.reverse();
    targets
}

/// `\040` and the like, as the kernel writes blanks in paths.
fn unescape(path: &str) -> String {
    let mut parts = path.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                text.push(char::from(code));
                text.push_str(part.get(3..).unwrap_or_default());
            }
            None => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_mount_goes_first_and_the_kernels_stay() {
        let text = "1 0 8:1 / / ro - erofs /dev/dm-0 ro\n2 1 0:2 / /proc rw - proc proc rw\n\
                    3 1 8:7 / /state rw - ext4 /dev/vda7 rw\n4 3 0:9 / /state/a\\040b rw - overlay o rw\n\
                    5 1 0:3 / /run rw - tmpfs t rw\n6 5 0:4 / /run/x rw - tmpfs t rw\n7 1 0:5 / /runner rw - tmpfs t rw\n";
        assert_eq!(plan_unmounts(text), ["/runner", "/state/a b", "/state"]);
        assert_eq!(unescape("a\\\\b\\1"), "a\\\\b\\1");
    }
}
