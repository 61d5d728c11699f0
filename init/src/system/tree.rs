//! The file systems of the running machine that are not on a disk, and what has to be in them before the first service
//! starts. Everything is tried; what fails is said, since a machine with a gap can still be looked at.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use keelson_image_layout::{paths, users};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use super::console::Console;

const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
const INERT: MountFlags = QUIET.union(MountFlags::NOEXEC);

/// One file system.
struct Mount {
    kind: &'static str,
    target: &'static str,
    options: &'static str,
    flags: MountFlags,
    /// Missing support in the kernel, or a missing directory, is fine.
    optional: bool,
}

const fn needed(kind: &'static str, target: &'static str, options: &'static str, flags: MountFlags) -> Mount {
    Mount {
        kind,
        target,
        options,
        flags,
        optional: false,
    }
}

const fn optional(kind: &'static str, target: &'static str, options: &'static str) -> Mount {
    Mount {
        kind,
        target,
        options,
        flags: INERT,
        optional: true,
    }
}

/// In order. `proc`, `sys`, `dev` and `run` come from the initramfs and are mounted only if they are missing.
const MOUNTS: [Mount; 16] = [
    needed("proc", "/proc", "", INERT),
    needed("sysfs", "/sys", "", INERT),
    needed(
        "devtmpfs",
        "/dev",
        "mode=0755",
        MountFlags::NOSUID.union(MountFlags::NOEXEC),
    ),
    needed("tmpfs", "/run", "mode=0755,size=20%,nr_inodes=800k", QUIET),
    needed(
        "devpts",
        "/dev/pts",
        "mode=0620,gid=5,ptmxmode=0666",
        MountFlags::NOSUID.union(MountFlags::NOEXEC),
    ),
    needed("tmpfs", "/dev/shm", "mode=1777,size=25%", QUIET),
    needed("cgroup2", "/sys/fs/cgroup", "nsdelegate,memory_recursiveprot", INERT),
    needed("tmpfs", "/tmp", "mode=1777,size=25%,nr_inodes=400k", QUIET),
    needed("tmpfs", "/var", "mode=0755,size=10%,nr_inodes=100k", QUIET),
    needed("tmpfs", "/etc", "mode=0755,size=16M", QUIET),
    optional("mqueue", "/dev/mqueue", ""),
    optional("hugetlbfs", "/dev/hugepages", ""),
    optional("bpf", "/sys/fs/bpf", "mode=0700"),
    optional("pstore", "/sys/fs/pstore", ""),
    optional("securityfs", "/sys/kernel/security", ""),
    optional("tracefs", "/sys/kernel/tracing", "mode=0700"),
];

/// Directories of the empty file systems: path, mode, owner. A service without root gets its own here.
const DIRECTORIES: [(&str, u32, &str); 7] = [
    ("/var/log", 0o755, "root"),
    ("/var/lib", 0o755, "root"),
    ("/var/cache", 0o755, "root"),
    ("/var/tmp", 0o1777, "root"),
    ("/run/systemd/journal", 0o755, "root"),
    (paths::RUN, 0o755, "root"),
    (paths::RUN_NETD, 0o755, "net"),
];

/// Links other programs expect.
const LINKS: [(&str, &str); 7] = [
    (paths::JOURNAL_SYSLOG, "/dev/log"),
    (paths::NOTIFY, "/run/systemd/notify"),
    ("/run", "/var/run"),
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// Mounts and fills everything.
pub fn set_up(console: Console) {
    for entry in MOUNTS {
        if let Err(error) = mount_one(&entry) {
            match entry.optional {
                true => log::info!(target = entry.target; "not mounted: {error}"),
                false => console.complain(format!("cannot mount {} on {}: {error}", entry.kind, entry.target)),
            }
        }
    }
    if let Err(error) = copy_tree(Path::new(paths::ETC_BASE), Path::new("/etc")) {
        console.complain(format!("cannot fill /etc from {}: {error}", paths::ETC_BASE));
    }
    for (path, mode, owner) in DIRECTORIES {
        if let Err(error) = make_directory(path, mode, owner) {
            console.complain(format!("cannot make {path}: {error}"));
        }
    }
    for (target, link) in LINKS {
        // One that is there already stays.
        if let Err(error) = symlink(target, link)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            log::info!("cannot link {link}: {error}");
        }
    }
    name_machine();
}

fn mount_one(entry: &Mount) -> io::Result<()> {
    let mounted = |target: &str| fs::read_to_string("/proc/self/mountinfo").is_ok_and(|text| is_mounted(&text, target));
    if mounted(entry.target) {
        return Ok(());
    }
    if entry.target.starts_with("/dev/") {
        fs::create_dir_all(entry.target)?;
    }
    let options = CString::new(entry.options)?;
    match mount(entry.kind, entry.target, entry.kind, entry.flags, options.as_c_str()) {
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether something is mounted on exactly this path.
fn is_mounted(mountinfo: &str, target: &str) -> bool {
    mountinfo.lines().any(|line| line.split(' ').nth(4) == Some(target))
}

fn make_directory(path: &str, mode: u32, owner: &str) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt, chown};
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    let id = users::USERS.iter().find(|user| user.name == owner).map(|user| user.id);
    chown(path, id, id)
}

/// Copies directories, files with their modes, and links. The first error ends it.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let mut pending = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = pending.pop() {
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                fs::create_dir_all(&target)?;
                pending.push((source, target));
            } else if kind.is_symlink() {
                let link = fs::read_link(&source)?;
                let _ = fs::remove_file(&target);
                symlink(link, &target)?;
            } else {
                fs::copy(&source, &target)?;
            }
        }
    }
    Ok(())
}

/// The machine's id where programs look for it, and a name until the configuration gives one.
fn name_machine() {
    if let Ok(id) = fs::read_to_string(paths::MACHINE_ID)
        && let Err(error) = fs::write("/etc/machine-id", id)
    {
        log::warn!("no /etc/machine-id: {error}");
    }
    let name = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name = if name.trim().is_empty() { "keelson" } else { name.trim() };
    if let Err(error) = rustix::system::sethostname(name.as_bytes()) {
        log::warn!("the machine has no name: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_their_exact_path() {
        let text = "22 1 0:21 / /proc rw - proc proc rw\n23 22 0:5 / /proc/sys rw - proc proc rw\n";
        assert!(is_mounted(text, "/proc"));
        assert!(!is_mounted(text, "/pro"));
        assert!(!is_mounted(text, "/"));
    }

    #[test]
    fn a_tree_is_copied_with_links_and_over_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("ssl/certs")).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::write(from.join("passwd"), "root").unwrap();
        symlink("/usr/share/ca", from.join("ssl/certs/ca")).unwrap();
        symlink("old", to.join("passwd-link")).unwrap();
        symlink("new", from.join("passwd-link")).unwrap();
        copy_tree(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("passwd")).unwrap(), "root");
        assert_eq!(
            fs::read_link(to.join("ssl/certs/ca")).unwrap(),
            Path::new("/usr/share/ca")
        );
        assert_eq!(fs::read_link(to.join("passwd-link")).unwrap(), Path::new("new"));
    }
}
