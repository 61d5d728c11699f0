//! Files of the machine, trusted authorities, and the machine's end after its first boot.

use serde::{Deserialize, Serialize};

use super::EnvValue;
use crate::value::{CaBundle, FilePath, Mode, Span};

/// `[[file]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where it stands.
    pub path: FilePath,
    /// What it holds, as text or as `encoding` says.
    pub content: EnvValue,
    /// How `content` is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// Who may read and write it.
    #[serde(default = "default_mode")]
    pub mode: Mode,
    /// `USER[:GROUP]`, by number or by a name the machine has.
    #[serde(default = "default_owner")]
    pub owner: String,
}

/// How a file's content is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As it is.
    #[default]
    Text,
    /// In base64.
    Base64,
}

/// `[trust]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// Authorities that the machine trusts beside the usual ones.
    #[serde(default)]
    pub ca: Option<CaBundle>,
}

/// `[power]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Power {
    /// What happens once, after the first boot with this document.
    pub after_boot: AfterBoot,
    /// How long the machine waits before it.
    #[serde(default)]
    pub delay: Span,
    /// What the journal and the console say with it.
    #[serde(default)]
    pub message: Option<String>,
}

/// An end of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterBoot {
    /// It is switched off.
    PowerOff,
    /// It starts again.
    Reboot,
}

/// `[install]`. Says nothing to an installed machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// Serial number, name or device node of a disk, or `smallest`.
    pub disk: String,
    /// Whether what is on that disk may be lost; else the medium asks as usual.
    #[serde(default)]
    pub erase: bool,
}

fn default_mode() -> Mode {
    Mode(0o644)
}

fn default_owner() -> String {
    "root:root".to_owned()
}
