//! Carrying out a request on this machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use keelson_image_layout::{BootFacts, paths};
use keelson_installer::protocol::{CONFIG_MOST, Reply, Request};
use keelson_installer::survey::{Disk, disks};
use keelson_installer::{Progress, Source, Wish, decide, install};
use keelson_sys::partition_table;
use rustix::fs::OFlags;
use uuid::Uuid;

const SYS: &str = "/sys";
const DEV: &str = "/dev";
const MOUNTS: &str = "/proc/self/mountinfo";
/// The longest wait for drivers of disks.
const DETECTING: Duration = Duration::from_secs(40);
/// Time between two looks for them.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Time between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// Whoever is told what happens; an error means that nobody listens any more.
pub type Tell<'a> = &'a mut dyn FnMut(Reply) -> io::Result<()>;

/// The facts of this boot.
///
/// # Errors
/// They cannot be read.
pub fn facts() -> Result<BootFacts> {
    let text = std::fs::read(paths::BOOT_FACTS).with_context(|| format!("read {}", paths::BOOT_FACTS))?;
    serde_json::from_slice(&text).with_context(|| format!("understand {}", paths::BOOT_FACTS))
}

/// The disks of this machine as they are now.
#[must_use]
pub fn survey(facts: &BootFacts) -> Vec<Disk> {
    await_storage(Path::new(paths::STORAGE_WANTED), Path::new(paths::STORAGE_DETECTED));
    let mounts = std::fs::read_to_string(MOUNTS).unwrap_or_default();
    disks(
        Path::new(SYS),
        Path::new(DEV),
        &mounts,
        Some(Path::new(&facts.disk.device)),
    )
}

/// Drivers of disks may be held back while nobody asks for them. A disk that is still missing after this is one that shows
/// late, and is there when the operator asks again.
fn await_storage(wanted: &Path, detected: &Path) {
    if let Err(error) = std::fs::write(wanted, "") {
        log::warn!(error:%; "drivers of disks cannot be asked for");
    }
    let until = Instant::now() + DETECTING;
    while !detected.exists() && Instant::now() < until {
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Carries out a request; every outcome is told.
///
/// # Errors
/// Nobody listens any more.
pub fn carry_out(request: &Request, tell: Tell<'_>) -> io::Result<()> {
    let mut begun = false;
    let outcome = match request {
        Request::Disks => facts().map(|facts| Reply::Disks { disks: survey(&facts) }),
        Request::Install { disk, erase, config } => {
            put_onto(disk, erase.as_deref(), config.as_deref(), &mut begun, tell)
        }
    };
    tell(outcome.unwrap_or_else(|error| {
        log::error!(begun; "installation: {error:#}");
        Reply::Refused {
            message: format!("{error:#}"),
            begun,
        }
    }))
}

fn put_onto(wish: &Wish, erase: Option<&str>, config: Option<&str>, begun: &mut bool, tell: Tell<'_>) -> Result<Reply> {
    anyhow::ensure!(
        config.is_none_or(|text| text.len() <= CONFIG_MOST),
        "the document has more than {CONFIG_MOST} bytes"
    );
    let facts = facts()?;
    let all = survey(&facts);
    let disk = decide::decide(&all, wish, erase)?;
    // The kernel refuses a second user, and any mount, for as long as this is open.
    let device = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlags::EXCL.bits() as i32)
        .open(&disk.device)
        .with_context(|| format!("open {} for nobody else", disk.device.display()))?;
    let source = Source::running(&facts, Path::new(SYS), Path::new(DEV))?;
    tell(Reply::Erasing { disk: disk.clone() })?;
    log::warn!(disk = disk.name.as_str(), serial = disk.serial.as_str(); "disk is erased and written");
    *begun = true;
    let mut last = Instant::now();
    let mut report = |progress: &Progress| {
        if last.elapsed() < REPORT_EVERY {
            return Ok(());
        }
        last = Instant::now();
        tell(Reply::Progress {
            progress: progress.clone(),
        })
    };
    install(&device, disk.bytes, &source, config, &|_| Uuid::new_v4(), &mut report)?;
    if let Err(error) = partition_table::read_again(&device) {
        log::warn!(disk = disk.name.as_str(), error:% = error; "the kernel does not read the new table");
    }
    log::info!(disk = disk.name.as_str(), version = source.version.as_str(); "release is on the disk");
    Ok(Reply::Done {
        disk: disk.name.clone(),
        version: source.version,
    })
}
