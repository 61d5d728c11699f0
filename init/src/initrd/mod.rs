//! The initramfs stage: from the kernel's first program to the real root.
//!
//! ```text
//! mounts → modules → system disk → slot and its record → root, proven, then fatal → state → switch
//! ```
//!
//! Decisions are pure and lie beside their step or in `keelson_image_layout`; this file is the story. Whatever fails
//! says what, where and what happens next, and ends in a reboot: nobody is at the console.

pub mod boot_option;
pub mod disk;
pub mod drivers;
pub mod efi;
pub mod facts;
pub mod fuzz;
pub mod gpt;
pub mod history;
pub mod medium;
pub mod milestones;
pub mod mounts;
pub mod root;
pub mod search;
pub mod slot;
pub mod state;
pub mod switch;
pub mod trace;
pub mod uevent;
pub mod watchdog;
pub mod words;

use std::convert::Infallible;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use keelson_image_layout::slot_state::boot::Attempt;
use keelson_image_layout::{Part, Reason, Release, StateMount, paths};
use keelson_sys::dm::DmError;
use rustix::system::{RebootCommand, reboot};

use self::drivers::Drivers;
use self::milestones::Milestones;
use self::root::{Root, RootError};
use self::search::System;
use self::slot::Verdict;
use self::trace::{Dump, Failure};
use self::watchdog::Guard;
use crate::kmsg;
use crate::tpm::{self, Phase};

/// How long a message stands on the console before the machine reboots.
const READING_TIME: Duration = Duration::from_secs(3);

/// Whether this process is the first one of an initramfs of ours: a file system in memory with a release in it. (The
/// real root describes its release too, but is no memory.)
#[must_use]
pub fn is_initramfs() -> bool {
    const RAMFS: u64 = 0x8584_58f6;
    const TMPFS: u64 = 0x0102_1994;
    let in_memory = rustix::fs::statfs("/").is_ok_and(|root| matches!(root.f_type as u64, RAMFS | TMPFS));
    std::process::id() == 1 && in_memory && Path::new(paths::RELEASE).exists()
}

/// Boots. Returns only if not even a reboot is possible.
#[must_use]
pub fn run() -> ExitCode {
    let Err(error) = boot();
    kmsg::say_failure(format_args!("cannot boot: {}", crate::chain(&*error)));
    kmsg::say_failure("next: reboot, and the slot the boot loader then prefers");
    std::thread::sleep(READING_TIME);
    switch::unmount_state();
    rustix::fs::sync();
    let _ = reboot(RebootCommand::Restart);
    ExitCode::FAILURE
}

/// The story.
fn boot() -> Result<Infallible> {
    let mut times = Milestones::default();
    mounts::mount_all().context("mount the kernel's file systems")?;
    kmsg::install();
    log::info!("initramfs stage");
    times.reached("initramfs");
    tpm::measure(Phase::EnterInitrd);
    words::report();

    let release = read_release()?;
    let mut drivers = Drivers::load();
    drivers.for_watchdog();
    let mut guard = Guard::arm();
    times.reached("modules");

    let loader = read_loader();
    let system = search::find(&mut drivers, &loader, &release, &mut guard)?;
    times.reached("disk");

    let (dumps, failure) = look_back(&guard);
    let before = slot::facts(&system.nodes);
    let trial = !system.disk.is_medium() && choose_slot(&system, &loader, &release, failure.as_ref())?;
    guard.feed();

    open_root(&system, &release)?;
    guard.feed();
    times.reached("root");
    kmsg::say(format_args!(
        "{} from slot {}, root verified",
        release.version, system.slot
    ));

    let opened = state::open(&system.nodes, &system.disk, &mut || guard.feed());
    tell_state(&opened.mount, &system);
    if let Some(failure) = &failure {
        facts::keep_failure(failure, system.slot, &release);
    }
    if !system.disk.is_medium() {
        trace::remove_dumps(Path::new(mounts::PSTORE), dumps);
    }
    times.reached("state");

    let facts = facts::gather(facts::Told {
        release,
        trial,
        system: &system,
        opened,
        failure: failure.as_ref(),
    });
    history::keep(&facts, before, failure.as_ref());
    facts::write(facts, times).context("write the boot's facts")?;
    drivers::answer_kernel_no_more();
    tpm::measure(Phase::LeaveInitrd);
    guard.feed();
    Err(switch::switch(guard.hand_over())).context("start the system")
}

fn read_release() -> Result<Release> {
    let text = std::fs::read(paths::RELEASE).context("read the release description")?;
    serde_json::from_slice(&text).context("understand the release description")
}

fn read_loader() -> efi::Loader {
    if let Err(error) = mounts::mount_kernel("efivarfs", mounts::EFI_VARIABLES) {
        log::info!(error:% = error; "no EFI variables");
    }
    let loader = efi::Loader::read(Path::new(mounts::EFI_VARIABLES));
    let secure_boot = efi::secure_boot(Path::new(mounts::EFI_VARIABLES));
    log::info!(state:? = secure_boot; "secure boot");
    log::info!(entry:? = loader.entry, counted:? = loader.counted, partition:? = loader.partition; "boot loader");
    loader
}

/// What an earlier boot left behind.
fn look_back(guard: &Guard) -> (Vec<Dump>, Option<Failure>) {
    if let Err(error) = mounts::mount_kernel("pstore", mounts::PSTORE) {
        log::info!(error:% = error; "no traces can be read");
    }
    let dumps = trace::read_dumps(Path::new(mounts::PSTORE));
    let failure = trace::judge(&dumps, guard.fired());
    if let Some(failure) = &failure {
        kmsg::say_failure(format_args!(
            "an earlier boot ended badly: {}",
            facts::word(failure.trace.reason)
        ));
    }
    (dumps, failure)
}

/// Counts this boot; whether the slot is on trial.
fn choose_slot(system: &System, loader: &efi::Loader, release: &Release, failure: Option<&Failure>) -> Result<bool> {
    let attempt = Attempt {
        slot: system.slot,
        root_hash: release.verity.root_hash,
        version: &release.version,
        choice: loader.choice(),
    };
    match slot::begin(&system.nodes, &attempt, failure) {
        Verdict::Go { trial } => Ok(trial),
        Verdict::Reboot { reason } => {
            bail!(
                "slot {} is refused ({}), the other slot is next",
                system.slot,
                facts::word(reason)
            )
        }
    }
}

/// Opens the root, or records against the slot that it cannot be opened.
fn open_root(system: &System, release: &Release) -> Result<()> {
    let opened = Root::open(
        &release.verity,
        system.nodes.part(system.slot.root()),
        system.nodes.part(system.slot.verity()),
    );
    let proven = opened.and_then(|root| root.prove().map(|()| root));
    let failed = match proven {
        Ok(root) => return root.make_damage_fatal().context("make damage of the root fatal"),
        Err(error) => error,
    };
    if !system.disk.is_medium() {
        slot::root_failed(&system.nodes, system.slot, reason_of(&failed));
    }
    Err(anyhow!(failed).context(format!("slot {} of {}", system.slot, system.disk.name)))
}

fn reason_of(error: &RootError) -> Reason {
    match error {
        RootError::Damaged { .. } => Reason::Corruption,
        RootError::Map {
            source: DmError::Open { .. },
        }
        | RootError::Node { .. }
        | RootError::Map { .. } => Reason::Other,
    }
}

fn tell_state(mount: &StateMount, system: &System) {
    let partition = system.nodes.part(Part::State).display();
    let (how, next) = match mount {
        StateMount::ReadWrite => return,
        StateMount::Medium => {
            kmsg::say(format_args!(
                "installation medium {}: no disk is written unless asked for",
                system.disk.name
            ));
            return;
        }
        StateMount::ReadOnly { .. } => ("can only be read", "changes last until the reboot".to_owned()),
        StateMount::Memory { .. } => ("is only in memory", format!("{partition} is left as it was found")),
    };
    let reason = mount.degraded().unwrap_or_default();
    kmsg::say_failure(format_args!("degraded: the state on {partition} {how}: {reason}"));
    kmsg::say_failure(format_args!("next: go on; {next}"));
}

/// Time until which something may still appear.
fn deadline(wait: Duration) -> Instant {
    Instant::now() + wait
}
