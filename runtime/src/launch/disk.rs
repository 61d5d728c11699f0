//! Bounds what containers write, by project quotas of the state partition. A container with a limit
//! of its own has a project of its own; all others share one, which always leaves a reserve free, so
//! that the journal, the configuration and the boot's record can be written whatever containers do.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use keelson_sys::project_quota::{set_limit, set_project, usage};

use crate::engine::id::ContainerId;

/// The project of all containers and volumes without a limit of their own.
const SHARED: u32 = 0x4b00_0000;

/// Part of the partition that the shared project leaves free: one tenth, but at least this and at
/// most that.
const LEAST_RESERVE: u64 = 64 << 20;
const MOST_RESERVE: u64 = 2 << 30;

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
    if let Err(error) = bound_shared(&opened) {
        let error = error.to_string();
        log::debug!(error = error; "what containers write is not bounded on this file system");
    }
    Ok(())
}

/// Puts the directory of volumes under the shared limit.
pub fn bound_volumes(directory: &Path) {
    let bounded = File::open(directory).and_then(|opened| bound_shared(&opened));
    if let Err(error) = bounded {
        let error = error.to_string();
        log::info!(error = error; "what containers write is not bounded on this file system");
    }
}

fn bound_shared(directory: &File) -> io::Result<()> {
    set_project(directory, SHARED)?;
    let used = usage(directory, SHARED)?;
    let space = rustix::fs::fstatvfs(directory)?;
    let (total, free) = (
        space.f_blocks.saturating_mul(space.f_frsize),
        space.f_bavail.saturating_mul(space.f_frsize),
    );
    set_limit(directory, SHARED, plan_shared_limit(total, free, used))
}

/// The most the shared project may use, so that the reserve stays free beside what others use now.
fn plan_shared_limit(total: u64, free: u64, used: u64) -> u64 {
    let reserve = (total / 10).clamp(LEAST_RESERVE, MOST_RESERVE);
    // 0 would lift the limit.
    used.saturating_add(free.saturating_sub(reserve)).max(1)
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
            assert_eq!(plan_shared_limit(total, free, used), want, "{total} {free} {used}");
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
