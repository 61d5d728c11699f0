//! What is read from a machine: files, PID 1, the engine, the kernel. Reading only; what it means is decided elsewhere.

pub mod chain;
pub mod engine;
pub mod figures;
pub mod loader;
pub mod manager;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use keelson_image_layout::boot_history::History;
use keelson_image_layout::{BootFacts, paths};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// Environment variable with a directory that stands for `/`: a mounted disk, or a test.
const ROOT: &str = "KEELSON_ROOT";

/// The machine that is asked.
#[derive(Debug, Clone)]
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The machine this program runs on.
    #[must_use]
    pub fn here() -> Self {
        let root = std::env::var_os(ROOT).map_or_else(|| "/".into(), PathBuf::from);
        Machine { root }
    }

    /// A machine whose files are below `root`.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Machine { root: root.to_owned() }
    }

    /// Where one of its files is.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text, without the line end; `None` if it cannot be read.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path(path)).ok()?;
        Some(text.trim_end().to_owned())
    }

    /// A file as JSON.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub fn json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let path = self.path(path);
        let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("understand {}", path.display()))
    }

    /// What the initramfs found out about this boot.
    ///
    /// # Errors
    /// There is nothing of the kind: it is no Keelson machine.
    pub fn facts(&self) -> anyhow::Result<BootFacts> {
        self.json(paths::BOOT_FACTS).context("is this a Keelson machine?")
    }

    /// How applying the configuration went; `Null` before it did.
    #[must_use]
    pub fn config_status(&self) -> Json {
        self.json(paths::CONFIG_STATUS).unwrap_or(Json::Null)
    }

    /// What the network service knows; `Null` before it does.
    #[must_use]
    pub fn network(&self) -> Json {
        self.json(paths::NETD_STATUS).unwrap_or(Json::Null)
    }

    /// The boot history; empty if there is none.
    #[must_use]
    pub fn history(&self) -> History {
        let bytes = std::fs::read(self.path(paths::BOOT_HISTORY)).unwrap_or_default();
        History::parse(&bytes).unwrap_or_default()
    }
}
