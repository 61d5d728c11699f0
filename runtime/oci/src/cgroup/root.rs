//! Where the cgroup v2 tree is mounted and how a process's place in it is named.

use crate::error::{Error, Result, Step};
use std::fs;
use std::path::{Path, PathBuf};

/// The mount point of the cgroup v2 tree.
pub fn find() -> Result<PathBuf> {
    let path = "/proc/self/mountinfo";
    let mounts = fs::read_to_string(path).step("read", path)?;
    parse_mount_point(&mounts)
        .ok_or_else(|| Error::spec("linux.resources", "no cgroup version 2 tree is mounted on this machine"))
}

/// The first cgroup2 mount of the whole tree in mountinfo's text (proc_pid_mountinfo(5)).
fn parse_mount_point(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut fields = front.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (back.starts_with("cgroup2 ") && root == "/").then(|| PathBuf::from(point.replace("\\040", " ")))
    })
}

/// The cgroup v2 path of a process, without its leading slash, from /proc/PID/cgroup's text.
pub fn parse_own_path(text: &str) -> Option<&Path> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(path.strip_suffix(" (deleted)").unwrap_or(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_found_among_mounts() {
        let text = "25 30 0:23 / /proc rw - proc proc rw\n\
                    40 30 0:30 /x /a/cg rw - cgroup2 cgroup2 rw\n\
                    41 30 0:30 / /sys/fs/cgroup/uni\\040fied rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(parse_mount_point(text).unwrap(), Path::new("/sys/fs/cgroup/uni fied"));
        assert!(parse_mount_point("").is_none());
    }

    #[test]
    fn a_process_place() {
        assert_eq!(parse_own_path("5:cpu:/x\n0::/a/b\n").unwrap(), Path::new("a/b"));
        assert_eq!(parse_own_path("0::/a (deleted)\n").unwrap(), Path::new("a"));
        assert!(parse_own_path("5:cpu:/x\n").is_none());
    }
}
