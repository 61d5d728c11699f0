//! The files and directories this program touches, all below one root so that a test can stand in for the machine.

use std::path::{Path, PathBuf};

use keelson_image_layout::paths;
use keelson_machine_config::FilePath;

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Places {
    /// Generations and the pinned source.
    pub config: PathBuf,
    /// Secret values that survive a reboot.
    pub secrets: PathBuf,
    /// The same two while the state partition cannot be written: they last until power-off.
    pub volatile: PathBuf,
    /// What is in force, for other programs.
    pub run: PathBuf,
    /// `/etc`, in memory.
    pub etc: PathBuf,
    /// The image's own files for `/etc`.
    pub etc_base: PathBuf,
    /// What the initramfs found.
    pub boot_facts: PathBuf,
    /// The machine's id.
    pub machine_id: PathBuf,
    /// The kernel's view of devices.
    pub sys: PathBuf,
    /// Device nodes.
    pub dev: PathBuf,
    /// The kernel's host name.
    pub hostname: PathBuf,
}

impl Places {
    /// The places of a machine whose root is `root`.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        let at = |path: &str| root.join(path.trim_start_matches('/'));
        Self {
            config: at(paths::CONFIG),
            secrets: at(paths::SECRETS),
            volatile: at(paths::RUN).join("config/volatile"),
            run: at(paths::RUN),
            etc: at("/etc"),
            etc_base: at(paths::ETC_BASE),
            boot_facts: at(paths::BOOT_FACTS),
            machine_id: at(paths::MACHINE_ID),
            sys: at("/sys"),
            dev: at("/dev"),
            hostname: at("/proc/sys/kernel/hostname"),
        }
    }

    /// Where a declared file lies: below `/etc`, or in the memory that `/opt` and `/srv` lead to.
    #[must_use]
    pub fn file(&self, path: &FilePath) -> PathBuf {
        let path = Path::new(path.as_str());
        match path.strip_prefix("/etc") {
            Ok(name) => self.etc.join(name),
            Err(_) => self.run.join("files").join(path.strip_prefix("/").unwrap_or(path)),
        }
    }

    /// The same places, with everything durable in memory.
    #[must_use]
    pub fn in_memory(self) -> Self {
        Self {
            config: self.volatile.join("config"),
            secrets: self.volatile.join("secrets"),
            ..self
        }
    }
}
