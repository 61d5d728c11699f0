//! The phases of a boot, each measured once into register 11 behind what systemd's stub measured of the boot entry, in
//! the way of systemd's `systemd-pcrphase`: the hash of the phase's word. A secret sealed to the value before `ready`
//! can be had by the initramfs and not by what runs later.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::command::{AnswerError, Digest, parse_event_answer, pcr_event};
use super::device;

/// "Kernel boot" in UAPI's registry of registers.
pub const PCR: u32 = 11;
/// What was measured since the kernel started, in the format of systemd (`docs/formats/measured-boot.md`).
pub const LOG: &str = "/run/log/systemd/tpm2-measure.log";
/// A TPM needs milliseconds; a broken one shall not stop the boot.
const PATIENCE: Duration = Duration::from_secs(5);
const VALUES: &str = "/sys/class/tpm/tpm0/pcr-sha256/11";

/// A phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The initramfs has begun.
    EnterInitrd,
    /// The initramfs is done; the verified root takes over.
    LeaveInitrd,
    /// `boot-complete` is reached.
    Ready,
}

impl Phase {
    const ALL: [Phase; 3] = [Phase::EnterInitrd, Phase::LeaveInitrd, Phase::Ready];

    /// What is measured.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Phase::EnterInitrd => "enter-initrd",
            Phase::LeaveInitrd => "leave-initrd",
            Phase::Ready => "ready",
        }
    }
}

/// Why a phase was not measured.
#[derive(Debug, thiserror::Error)]
enum MeasureError {
    #[error("the TPM cannot be asked")]
    Ask(#[from] io::Error),
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

/// Measures a phase, if there is a TPM and it was not measured yet. Never fails: what could not be measured leaves the
/// register at another value, and whoever trusts it notices.
pub fn measure(phase: Phase) {
    let Some(device) = device::find() else { return };
    let log = Path::new(LOG);
    if fs::read_to_string(log).is_ok_and(|text| is_logged(&text, phase)) {
        return;
    }
    match extend(device, phase) {
        Ok(digests) => {
            if let Err(error) = append(log, &record(phase, &digests, &boot_id(), uptime())) {
                log::warn!(error:% = error; "a measured phase is missing in the event log");
            }
            log::info!(phase = phase.word(), sha256 = value().as_str(); "measured, register {PCR}");
        }
        Err(error) => {
            log::warn!(phase = phase.word(), error:% = crate::chain(&error); "phase is not measured");
        }
    }
}

/// `keelson-init measure PHASE`: a process of its own, since PID 1 waits for nobody.
#[must_use]
pub fn run(arguments: &[String]) -> ExitCode {
    crate::kmsg::install();
    let named = |word: &String| Phase::ALL.into_iter().find(|phase| phase.word() == word);
    match arguments.first().and_then(named) {
        Some(phase) => {
            measure(phase);
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    }
}

fn extend(device: &Path, phase: Phase) -> Result<Vec<Digest>, MeasureError> {
    let answer = device::ask(device, &pcr_event(PCR, phase.word().as_bytes()), PATIENCE)?;
    Ok(parse_event_answer(&answer)?)
}

/// The register's value in the SHA-256 bank, as the kernel writes it.
fn value() -> String {
    fs::read_to_string(VALUES).unwrap_or_default().trim().to_lowercase()
}

/// A record separator, then one JSON object (RFC 7464).
fn record(phase: Phase, digests: &[Digest], boot_id: &str, micros: u64) -> String {
    let digest = |digest: &Digest| json!({ "hashAlg": digest.algorithm, "digest": hex(&digest.value) });
    let event = json!({
        "pcr": PCR,
        "digests": digests.iter().map(digest).collect::<Vec<Value>>(),
        "content_type": "systemd",
        "content": { "string": phase.word(), "bootId": boot_id, "timestamp": micros, "eventType": "phase" },
    });
    format!("\u{1e}{event}\n")
}

fn is_logged(log: &str, phase: Phase) -> bool {
    log.split('\u{1e}').any(|record| {
        serde_json::from_str::<Value>(record.trim())
            .is_ok_and(|event| event.pointer("/content/string").and_then(Value::as_str) == Some(phase.word()))
    })
}

fn append(log: &Path, record: &str) -> io::Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    File::options()
        .append(true)
        .create(true)
        .open(log)?
        .write_all(record.as_bytes())
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().replace('-', "")
}

fn uptime() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(now).map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_phase_is_known_again() {
        let digests = [Digest {
            algorithm: "sha256",
            value: vec![0xab; 2],
        }];
        let text = record(Phase::EnterInitrd, &digests, "id", 7);
        assert!(text.starts_with("\u{1e}{\"pcr\":11,\"digests\":[{\"hashAlg\":\"sha256\",\"digest\":\"abab\"}]"));
        assert!(is_logged(&text, Phase::EnterInitrd));
        assert!(!is_logged(&text, Phase::Ready) && !is_logged("", Phase::Ready));
    }

    #[test]
    fn records_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a/log");
        for phase in [Phase::EnterInitrd, Phase::LeaveInitrd] {
            append(&log, &record(phase, &[], "id", 7)).unwrap();
        }
        let text = fs::read_to_string(&log).unwrap();
        assert!(is_logged(&text, Phase::EnterInitrd) && is_logged(&text, Phase::LeaveInitrd));
    }
}
