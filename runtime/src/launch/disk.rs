//! Bounds what containers write, by project quotas of the state partition. A container with a limit
//! of its own has a project of its own; all others share one, which always leaves a reserve free, so
//! that the journal, the configuration and the boot's record can be written whatever containers do.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use keelson_sys::project_quota::{set_limit, set_project, usage};

use crate::engine::id::ContainerId;
use crate::space::Space;

/// The project of all containers and volumes without a limit of their own.
const SHARED: u32 = 0x4b00_0000;

/// A limit that was asked for and cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("the limit of disk cannot be kept for {}", path.display())]
pub struct DiskError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The project of a container with a limit of its own: from its id, so that nothing has to be kept.
fn own_project(id: &ContainerId) -> u32 {
    let digits = id.as_str().get(..7).unwrap_or("0");
    0x5000_0000 | u32::from_str_radix(digits, 16).unwrap_or_default()
}

/// Puts a container's directory under its limit (0: the shared one).
///
/// # Errors
/// A limit was asked for and the file system cannot keep it. Without one the container runs
/// unbounded there, as on a file system without quotas it must.
pub fn bound(directory: &Path, id: &ContainerId, limit: u64) -> Result<(), DiskError> {
    let failed = |source| DiskError {
        path: directory.to_owned(),
        source,
    };
    let opened = File::open(directory).map_err(failed)?;
    if limit > 0 {
        let project = own_project(id);
        set_project(&opened, project).map_err(failed)?;
        return set_limit(&opened, project, limit).map_err(failed);
    }
    // The limit itself was set when the engine started.
    if let Err(error) = set_project(&opened, SHARED) {
        let error = error.to_string();
        log::debug!(error = error; "what containers write is not bounded on this file system");
    }
    Ok(())
}

/// Sets the shared limit and puts the directory of volumes under it; once, when the engine starts. `root`
/// is a directory on the same partition that belongs to no project: see [`Space::measure`].
pub fn bound_shared(root: &Path, volumes: &Path) {
    if let Err(error) = set_shared_limit(root, volumes) {
        let error = error.to_string();
        log::info!(error = error; "what containers write is not bounded on this file system");
    }
}

fn set_shared_limit(root: &Path, volumes: &Path) -> io::Result<()> {
    let volumes = File::open(volumes)?;
    set_project(&volumes, SHARED)?;
    let limit = plan_shared_limit(Space::measure(root)?, usage(&volumes, SHARED)?);
    set_limit(&volumes, SHARED, limit)
}

/// The most the shared project may use, so that the reserve stays free beside what others use now.
fn plan_shared_limit(partition: Space, used: u64) -> u64 {
    let spare = partition.free.saturating_sub(partition.reserve());
    // 0 would lift the limit.
    used.saturating_add(spare).max(1)
}

/// Lifts the limit of a container that is being removed.
pub fn release(directory: &Path, id: &ContainerId, limit: u64) {
    if limit == 0 {
        return;
    }
    if let Ok(opened) = File::open(directory) {
        // A file system that cannot lift it never kept it.
        let _ = set_limit(&opened, own_project(id), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::LEAST_RESERVE;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_shared_limit_leaves_a_reserve() {
        let table = [
            // total, free, used by containers, limit
            (10 * GIB, 8 * GIB, 0, 7 * GIB),
            (10 * GIB, 6 * GIB, 2 * GIB, 7 * GIB),
            (100 * GIB, 50 * GIB, 0, 48 * GIB),
            (GIB / 4, GIB / 8, 0, GIB / 8 - LEAST_RESERVE),
            (10 * GIB, 0, 3 * GIB, 3 * GIB),
            (10 * GIB, 0, 0, 1),
        ];
        for (total, free, used, want) in table {
            let limit = plan_shared_limit(Space { total, free }, used);
            assert_eq!(limit, want, "{total} {free} {used}");
        }
    }

    /// Whatever containers write between two starts, the partition's free bytes fall by as much.
    #[test]
    fn the_shared_limit_does_not_shrink_from_start_to_start() {
        let (total, others) = (10 * GIB, 2 * GIB);
        let mut used = 0;
        for _ in 0..20 {
            let free = total - others - used;
            assert_eq!(plan_shared_limit(Space { total, free }, used), 7 * GIB, "{used}");
            used += GIB / 3;
        }
    }

    /// A small ext4 with project quotas, unmounted when dropped.
    struct QuotaDisk(tempfile::TempDir);

    impl QuotaDisk {
        fn mount() -> Option<Self> {
            let directory = tempfile::tempdir().unwrap();
            let (image, target) = (directory.path().join("image"), directory.path().join("disk"));
            std::fs::create_dir(&target).unwrap();
            File::create(&image).unwrap().set_len(GIB / 2).unwrap();
            let run = |program: &str, arguments: &[&str], paths: &[&Path]| {
                let mut command = std::process::Command::new(program);
                command
                    .args(arguments)
                    .args(paths)
                    .output()
                    .is_ok_and(|ran| ran.status.success())
            };
            let features = ["-q", "-O", "quota,project", "-E", "quotatype=prjquota"];
            let made =
                run("mkfs.ext4", &features, &[&image]) && run("mount", &["-o", "loop,prjquota"], &[&image, &target]);
            made.then(|| Self(directory))
        }

        fn root(&self) -> PathBuf {
            self.0.path().join("disk")
        }
    }

    impl Drop for QuotaDisk {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg(self.root()).status();
        }
    }

    #[test]
    fn privileged_starts_leave_the_shared_limit_as_it_is() {
        let Some(disk) = QuotaDisk::mount() else {
            eprintln!("skipped: no ext4 with project quotas can be mounted here");
            return;
        };
        let (root, volumes) = (disk.root(), disk.root().join("volumes"));
        std::fs::create_dir(&volumes).unwrap();
        bound_shared(&root, &volumes);
        // The file system tells the limit as the size of a directory of the project.
        let first = Space::measure(&volumes).unwrap().total;
        assert!(first < Space::measure(&root).unwrap().total, "the limit holds");
        for start in 0..10_u32 {
            let id = ContainerId::try_from(format!("{start:064x}")).unwrap();
            let container = root.join(id.as_str());
            std::fs::create_dir(&container).unwrap();
            bound(&container, &id, 0).unwrap();
            bound_shared(&root, &volumes);
            let now = Space::measure(&container).unwrap().total;
            assert!(now + (1 << 20) > first, "{now} after {first}");
        }
    }

    #[test]
    fn projects_of_containers_differ_from_the_shared_one() {
        let id = ContainerId::try_from("f".repeat(64)).unwrap();
        assert_eq!(own_project(&id), 0x5fff_ffff);
    }

    #[test]
    fn a_limit_that_cannot_be_kept_is_an_error_only_when_asked_for() {
        let id = ContainerId::try_from("f".repeat(64)).unwrap();
        let directory = Path::new("/proc/self");
        assert!(bound(directory, &id, 0).is_ok());
        assert!(bound(directory, &id, 1).is_err());
    }
}
