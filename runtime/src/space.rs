//! Room on the state partition and the part of it that containers and images leave free, so that the
//! journal, the configuration and the boot's record can always be written. Never changes anything.

use std::io;
use std::path::Path;

/// The reserve is one tenth of the partition, but at least this and at most that.
pub(crate) const LEAST_RESERVE: u64 = 64 << 20;
const MOST_RESERVE: u64 = 2 << 30;

/// Bytes of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// All there are.
    pub total: u64,
    /// Those that can be written yet.
    pub free: u64,
}

impl Space {
    /// The partition that `directory` lies on. The directory must belong to no project: for one that does,
    /// ext4 tells the limit and the use of its project in place of the partition's.
    ///
    /// # Errors
    /// Those of statvfs(3).
    pub fn measure(directory: &Path) -> io::Result<Self> {
        let space = rustix::fs::statvfs(directory)?;
        Ok(Self {
            total: space.f_blocks.saturating_mul(space.f_frsize),
            free: space.f_bavail.saturating_mul(space.f_frsize),
        })
    }

    /// Bytes that stay free.
    pub fn reserve(self) -> u64 {
        (self.total / 10).clamp(LEAST_RESERVE, MOST_RESERVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_tenth_within_bounds() {
        let table = [
            (0, 64 << 20),
            (256 << 20, 64 << 20),
            (10 << 30, 1 << 30),
            (100 << 30, 2 << 30),
        ];
        for (total, want) in table {
            assert_eq!(Space { total, free: 0 }.reserve(), want, "{total}");
        }
    }

    #[test]
    fn a_directory_has_room() {
        let space = Space::measure(&std::env::temp_dir()).unwrap();
        assert!(space.total >= space.free && space.total > 0);
    }
}
