//! The commands of the locked boot chain: keys, enrolment, signatures.

use std::fmt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use keelson_os_build::cache::Cache;
use keelson_os_build::progress::Progress;
use keelson_os_build::secure_boot::{Key, Keys, disk, keys, ovmf};
use keelson_os_build::{firmware, inspect, measure};

use crate::update::{self, KeyCommand};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct KeysArguments {
    #[command(subcommand)]
    command: Option<KeyCommand>,
    /// Folder to make; it must be empty or missing
    #[arg(required = true)]
    folder: Option<PathBuf>,
    /// Whose keys they are, for the certificates' names
    #[arg(long, default_value = "Keelson owner")]
    owner: String,
    /// Certificate of somebody else whose signatures the firmware shall accept too (PEM or DER)
    #[arg(long = "trust", value_name = "FILE")]
    trusted: Vec<PathBuf>,
}

#[derive(Args)]
pub struct EnrolArguments {
    /// Folder with the keys
    #[arg(long)]
    keys: PathBuf,
    /// Empty variable store [default: that of the firmware in the cache]
    #[arg(long)]
    variables: Option<PathBuf>,
    /// Where the variable store goes
    #[arg(long)]
    out: PathBuf,
}

#[derive(Args)]
pub struct SignArguments {
    /// Disk image, or an executable of firmware (boot entry, boot loader)
    image: PathBuf,
    /// Folder with the keys
    #[arg(long)]
    keys: PathBuf,
    /// Name of the signing key in it: another than the first one once every firmware accepts it
    #[arg(long, default_value = "db", value_name = "NAME")]
    key: String,
    /// Where the signed one goes
    #[arg(long)]
    out: PathBuf,
    /// Let the disk bring the keys to firmware in setup mode
    #[arg(long, value_name = "WHEN")]
    enrol: Option<When>,
}

#[derive(Args)]
pub struct MeasureArguments {
    /// Disk image, or a single boot entry
    image: PathBuf,
    /// How far the boot has come, for instance enter-initrd:leave-initrd; may be repeated [default: every phase]
    #[arg(long = "phase", value_name = "PATH")]
    phases: Vec<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// When the boot loader offers the keys to the firmware.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum When {
    /// By itself in virtual machines, elsewhere from its menu
    IfSafe,
    /// From its menu
    Manual,
    /// By itself everywhere; a machine whose devices need other keys may not start any more
    Force,
}

/// What was done and what is left to do.
pub fn keys(arguments: KeysArguments) -> Result<String> {
    if let Some(command) = arguments.command {
        return update::keys(command);
    }
    let folder = arguments.folder.unwrap_or_default();
    let trusted = arguments.trusted.iter().map(|path| keys::read_certificate(path));
    let trusted = trusted.collect::<Result<Vec<_>, _>>()?;
    let step = Progress::to_stderr().step("keys");
    Keys::generate(&arguments.owner)?.store(&folder, &trusted, now())?;
    step.done(&format!(
        "PK, KEK and db in {}; keep them secret and safe",
        folder.display()
    ));
    update::create(&folder)
}

pub fn enrol(arguments: &EnrolArguments) -> Result<()> {
    let empty = match &arguments.variables {
        Some(path) => path.clone(),
        None => firmware::firmware(&Cache::of_user()?)?.variables,
    };
    let empty = std::fs::read(&empty).with_context(|| format!("cannot read {}", empty.display()))?;
    let store = ovmf::enrolled(&empty, &arguments.keys, now())?;
    std::fs::write(&arguments.out, store).with_context(|| format!("cannot write {}", arguments.out.display()))
}

pub fn sign(arguments: &SignArguments) -> Result<()> {
    let key = Key::load(&arguments.keys, &arguments.key)?;
    let enrol = arguments.enrol.map(|when| {
        let when = match when {
            When::IfSafe => disk::Enrol::IfSafe,
            When::Manual => disk::Enrol::Manual,
            When::Force => disk::Enrol::Force,
        };
        (when, arguments.keys.as_path())
    });
    let step = Progress::to_stderr().step("sign");
    let signed = disk::sign(&arguments.image, &key, &arguments.out, enrol)?;
    step.done(&format!("{} in {}", signed.files.join(", "), arguments.out.display()));
    Ok(())
}

/// Text or JSON of the predicted values.
pub fn measure(arguments: &MeasureArguments) -> Result<String> {
    let phases = match arguments.phases.as_slice() {
        [] => measure::paths(),
        given => given.to_vec(),
    };
    let mut report = Vec::new();
    for entry in inspect::entries(&arguments.image)? {
        for phase in &phases {
            let values = measure::predict(&entry.bytes, phase).with_context(|| entry.name.clone())?;
            report.push(Prediction {
                entry: entry.name.clone(),
                phase: phase.clone(),
                values,
            });
        }
    }
    if arguments.json {
        return Ok(serde_json::to_string_pretty(&report)? + "\n");
    }
    Ok(report.iter().map(Prediction::to_string).collect())
}

/// Register 11 at one moment.
#[derive(serde::Serialize)]
struct Prediction {
    entry: String,
    phase: String,
    #[serde(flatten)]
    values: measure::Values,
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = if self.phase.is_empty() {
            "before the initramfs"
        } else {
            &self.phase
        };
        writeln!(f, "{} {phase}", self.entry)?;
        writeln!(
            f,
            "  11:sha256={}\n  11:sha384={}",
            self.values.sha256, self.values.sha384
        )
    }
}

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
