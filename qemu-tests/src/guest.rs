//! Machines of a case: each case has a lab, a folder with its disks; the lab boots guests from them.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use keelson_image_layout::Slot;
use keelson_os_build::qemu::{Disk, Machine, MachineSpec};
use serde_json::{Value, json};

use crate::disk::DiskFile;
use crate::environment::Environment;

/// How long a boot may take on a busy machine without acceleration.
pub const BOOT_PATIENCE: Duration = Duration::from_secs(240);
/// How long an orderly end may take.
pub const END_PATIENCE: Duration = Duration::from_secs(90);
/// What the system prints when `boot-complete` is reached.
pub const UP: &str = "keelson: boot-complete slot=";
/// A translation artefact of loaded hosts that has nothing to do with the system under test.
const TIMER_PANIC: &str = "IO-APIC + timer doesn't work";
/// How often it may fail in a row.
const TIMER_TESTS: usize = 3;

/// A case's folder. It disappears with a case that passed and stays with one that failed.
#[derive(Debug)]
pub struct Lab {
    environment: Environment,
    directory: PathBuf,
}

impl Lab {
    /// Makes an empty folder for a case.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(environment: &Environment, case: &str) -> Result<Lab> {
        let directory = environment.work.join(case);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        Ok(Lab {
            environment: environment.clone(),
            directory,
        })
    }

    /// Runs a case in a fresh lab; a failure says where the evidence is.
    ///
    /// # Errors
    /// The case's.
    pub fn run(environment: &Environment, case: &str, body: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
        let lab = Lab::new(environment, case)?;
        body(&lab).with_context(|| format!("evidence in {}", lab.directory.display()))?;
        std::fs::remove_dir_all(&lab.directory).context("remove the lab")
    }

    /// The folder.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The settings of this run.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// A fresh copy of the image under test.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn disk(&self, name: &str) -> Result<DiskFile> {
        DiskFile::copy(&self.environment.disk, &self.directory.join(format!("{name}.img")))
    }

    /// A machine with this disk, its own variable store and the given changes, started.
    ///
    /// # Errors
    /// QEMU does not start.
    pub fn start(&self, name: &str, disk: &DiskFile, change: impl FnOnce(&mut MachineSpec)) -> Result<Guest> {
        let directory = self.directory.join(name);
        std::fs::create_dir_all(&directory)?;
        let vars = directory.join("vars.fd");
        if !vars.exists() {
            std::fs::copy(&self.environment.firmware_vars, &vars).context("copy the variable store")?;
        }
        let mut spec = MachineSpec::new(&self.environment.firmware_code, &vars, Disk::system(disk.path()));
        spec.accel = self.environment.accel;
        change(&mut spec);
        let machine = Machine::start(&spec, &directory, None)?;
        Ok(Guest { machine })
    }

    /// Starts a machine and waits until it is up.
    ///
    /// # Errors
    /// It does not come up in time.
    pub fn boot(&self, name: &str, disk: &DiskFile, change: impl FnOnce(&mut MachineSpec)) -> Result<Guest> {
        let guest = self.start(name, disk, change)?;
        guest.wait_up(0)?;
        Ok(guest)
    }
}

/// A running machine of a case.
#[derive(Debug)]
pub struct Guest {
    /// The machine itself.
    pub machine: Machine,
}

impl Guest {
    /// Waits until the system is up, behind a position of the console; gives what it said.
    ///
    /// # Errors
    /// It panics, ends or takes too long.
    pub fn wait_up(&self, from: usize) -> Result<Up> {
        let end = self.wait_past_timer_test(from)?;
        let end = self.machine.wait_for(end, "\n", Duration::from_secs(5))?;
        let text = self.machine.console().text();
        let line = text
            .get(..end)
            .and_then(|text| text.trim_end().lines().last())
            .unwrap_or_default();
        Up::parse(line, end).with_context(|| format!("the line {line:?} is not of the agreed form"))
    }

    /// Where it says that it is up. A kernel that fails its timer test panics and starts anew, which is waited for.
    fn wait_past_timer_test(&self, mut from: usize) -> Result<usize> {
        for _ in 0..TIMER_TESTS {
            let (which, end) = self.machine.wait_for_any(from, &[UP, TIMER_PANIC], BOOT_PATIENCE)?;
            if which == 0 {
                return Ok(end);
            }
            from = end;
        }
        anyhow::bail!("the host is too busy for the guest's timer test")
    }

    /// Waits for a text behind a position of the console.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn wait_for(&self, from: usize, text: &str) -> Result<usize> {
        Ok(self.machine.wait_for(from, text, BOOT_PATIENCE)?)
    }

    /// What the guest uses of its memory (MemTotal − MemFree) in MB of 10⁶ bytes, some time after this moment. A
    /// guest whose balloon driver is not there yet is waited for.
    ///
    /// # Errors
    /// The guest reports nothing.
    pub fn memory_in_use(&mut self, after: Duration) -> Result<f64> {
        let property = |name: &str| json!({ "path": "/machine/peripheral/balloon", "property": name });
        let mut interval = property("guest-stats-polling-interval");
        interval["value"] = json!(1);
        self.machine.query("qom-set", interval)?;
        std::thread::sleep(after);
        let deadline = Instant::now() + END_PATIENCE;
        loop {
            let answer = self.machine.query("qom-get", property("guest-stats"))?;
            match reported_use(&answer) {
                Some(bytes) => return Ok(bytes / 1e6),
                None if Instant::now() > deadline => anyhow::bail!("the guest reports no memory: {answer}"),
                None => std::thread::sleep(Duration::from_millis(500)),
            }
        }
    }

    /// Powers off in order and waits for the end.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn power_off(self) -> Result<ExitStatus> {
        self.machine.power_off(END_PATIENCE).context("power off")
    }

    /// Takes the power away.
    pub fn cut_power(self) {
        self.machine.cut_power();
    }
}

/// Memory in use, in bytes, from the balloon's statistics. What was never reported is all ones.
fn reported_use(answer: &Value) -> Option<f64> {
    let value = |name: &str| {
        answer
            .get("stats")?
            .get(name)?
            .as_u64()
            .filter(|value| *value != u64::MAX)
    };
    Some((value("stat-total-memory")? - value("stat-free-memory")?) as f64)
}

/// What the system says when it is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Up {
    /// The slot it runs from.
    pub slot: Slot,
    /// Its version.
    pub version: String,
    /// Position on the console behind the line.
    pub end: usize,
}

impl Up {
    fn parse(line: &str, end: usize) -> Option<Up> {
        let (_, facts) = line.split_once("keelson: boot-complete ")?;
        let value = |key: &str| {
            facts
                .split_ascii_whitespace()
                .find_map(|fact| fact.strip_prefix(key)?.strip_prefix('='))
        };
        let slot = match value("slot")? {
            "a" => Slot::A,
            "b" => Slot::B,
            _ => return None,
        };
        Some(Up {
            slot,
            version: value("version")?.to_owned(),
            end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_booted_system_names_slot_and_version() {
        let line = "[    3.1] keelson: boot-complete slot=b version=0.1.0 after=3.2s";
        assert_eq!(
            Up::parse(line, 9),
            Some(Up {
                slot: Slot::B,
                version: "0.1.0".into(),
                end: 9
            })
        );
        assert_eq!(Up::parse("keelson: boot-complete slot=c version=1", 0), None);
        assert_eq!(Up::parse("login:", 0), None);
    }
}
