//! Figures of the kernel: memory, the state's disk, time up.

use std::time::Duration;

use keelson_image_layout::paths;
use serde::Serialize;

use super::Machine;

/// Bytes there are, and bytes that can still be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Room {
    /// All of them.
    pub total: u64,
    /// Without taking them from somebody.
    pub available: u64,
}

impl Room {
    /// Whether less than this many hundredths are left.
    #[must_use]
    pub fn is_below(&self, percent: u64) -> bool {
        self.total > 0 && self.available.saturating_mul(100) < self.total.saturating_mul(percent)
    }
}

impl Machine {
    /// Memory of the machine.
    #[must_use]
    pub fn memory(&self) -> Option<Room> {
        parse_meminfo(&self.text("/proc/meminfo")?)
    }

    /// What is left on the state's file system for who is not root.
    #[must_use]
    pub fn disk(&self) -> Option<Room> {
        let disk = rustix::fs::statvfs(self.path(paths::STATE)).ok()?;
        Some(Room {
            total: disk.f_blocks.saturating_mul(disk.f_frsize),
            available: disk.f_bavail.saturating_mul(disk.f_frsize),
        })
    }

    /// How long the kernel has been up.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        let text = self.text("/proc/uptime").unwrap_or_default();
        let seconds = text.split(' ').next().and_then(|seconds| seconds.parse().ok());
        Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default()
    }
}

fn parse_meminfo(text: &str) -> Option<Room> {
    let bytes = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(Room {
        total: bytes("MemTotal")?,
        available: bytes("MemAvailable")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_words() {
        let text = "MemTotal:        2018420 kB\nMemFree:          1 kB\nMemAvailable:    1009210 kB\n";
        let room = parse_meminfo(text).unwrap();
        assert_eq!((room.total, room.available), (2_018_420 << 10, 1_009_210 << 10));
        assert_eq!(parse_meminfo("MemTotal: 5\n"), None);
        assert!(!room.is_below(50) && room.is_below(51));
    }
}
