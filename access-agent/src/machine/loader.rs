//! When firmware and boot loader were done, as the loader reports it in EFI variables.
//!
//! Source: the Boot Loader Interface of systemd, `LoaderTimeInitUSec` and `LoaderTimeExecUSec`.

use keelson_image_layout::efi_variable::{LOADER, text};

use super::Machine;

/// A longer firmware or loader is an error of its clock.
const MOST: u64 = 3_600_000_000;

/// Microseconds since the firmware started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderTimes {
    /// The loader began.
    pub init: u64,
    /// The loader started the kernel.
    pub exec: u64,
}

impl Machine {
    /// The loader's times, if it left any that can be true.
    #[must_use]
    pub fn loader_times(&self) -> Option<LoaderTimes> {
        let value = |name: &str| {
            let path = self.path(&format!("/sys/firmware/efi/efivars/{name}-{LOADER}"));
            text(&std::fs::read(path).ok()?)?.trim().parse().ok()
        };
        plausible(value("LoaderTimeInitUSec")?, value("LoaderTimeExecUSec")?)
    }
}

fn plausible(init: u64, exec: u64) -> Option<LoaderTimes> {
    (init <= exec && exec <= MOST).then_some(LoaderTimes { init, exec })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_cannot_be_true_are_none() {
        assert!(plausible(1, 2).is_some());
        assert_eq!(plausible(3, 2), None);
        assert_eq!(plausible(1, MOST + 1), None);
    }

    #[test]
    fn times_are_read_from_the_variables() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::below(root.path());
        assert_eq!(machine.loader_times(), None);
        let folder = root.path().join("sys/firmware/efi/efivars");
        std::fs::create_dir_all(&folder).unwrap();
        for (name, value) in [("LoaderTimeInitUSec", "1041000"), ("LoaderTimeExecUSec", "1500000")] {
            let units = value.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
            let bytes: Vec<u8> = [6, 0, 0, 0].into_iter().chain(units).collect();
            std::fs::write(folder.join(format!("{name}-{LOADER}")), bytes).unwrap();
        }
        let expected = LoaderTimes {
            init: 1_041_000,
            exec: 1_500_000,
        };
        assert_eq!(machine.loader_times(), Some(expected));
    }
}
