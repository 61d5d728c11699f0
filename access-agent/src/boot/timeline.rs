//! Times from firmware, loader, initramfs and PID 1, put on one line that starts with the firmware. Pure.

use keelson_image_layout::{BootFacts, Slot};
use keelson_manager_api::{UnitState, UnitStatus};
use serde::Serialize;

use crate::machine::loader::LoaderTimes;

/// The unit that stands for a boot that worked.
const COMPLETE: &str = "boot-complete";

/// Who is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Until the boot loader began.
    Firmware,
    /// Boot loader, with its stub in the kernel's file.
    Loader,
    /// The kernel, until its first program.
    Kernel,
    /// A step of the initramfs.
    Initramfs,
    /// PID 1, before the first unit.
    System,
    /// A unit, from the start of its process until it is ready.
    Unit,
}

/// Something that took time. Microseconds on the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Unit, step, or phase.
    pub name: String,
    /// Whose.
    pub phase: Phase,
    /// Beginning.
    pub start_us: u64,
    /// End; absent while it goes on, and for a unit that did not come up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_us: Option<u64>,
    /// Where a unit stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<UnitState>,
}

/// A boot. Fields are only added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// Version of this document, 1.
    pub format: u32,
    /// The boot's id.
    pub boot_id: String,
    /// The release.
    pub version: String,
    /// The slot it was started from.
    pub slot: Slot,
    /// What happened at 0: `firmware` or, where the loader left no times, `kernel`.
    pub zero: &'static str,
    /// When the kernel started.
    pub kernel_us: u64,
    /// When everything the boot requires was up; absent if it is not.
    pub complete_us: Option<u64>,
    /// In the order of their beginnings.
    pub spans: Vec<Span>,
}

impl Timeline {
    /// The latest moment on it, at least 1.
    #[must_use]
    pub fn end(&self) -> u64 {
        let ends = self.spans.iter().map(|span| span.end_us.unwrap_or(span.start_us));
        ends.chain(self.complete_us).max().unwrap_or(0).max(1)
    }

    /// How long a phase lasted as a whole; `None` if nothing of it is known.
    #[must_use]
    pub fn lasted(&self, phase: Phase) -> Option<u64> {
        let spans = || self.spans.iter().filter(|span| span.phase == phase);
        let start = spans().map(|span| span.start_us).min()?;
        let end = spans().filter_map(|span| span.end_us).max()?;
        Some(end.saturating_sub(start))
    }
}

/// Puts everything on one line.
#[must_use]
pub fn plan_timeline(facts: &BootFacts, loader: Option<LoaderTimes>, units: &[UnitStatus]) -> Timeline {
    let kernel = loader.map_or(0, |times| times.exec);
    let mut spans = before_kernel(loader);
    spans.extend(in_initramfs(&facts.milestones, kernel));
    let switched = facts
        .milestones
        .last()
        .map_or(kernel, |(_, at)| kernel.saturating_add(*at));
    let of_units = of_units(units, kernel, switched);
    spans.extend(
        of_units
            .iter()
            .map(|span| span.start_us)
            .min()
            .map(|first| phase("system", Phase::System, switched, first)),
    );
    spans.extend(of_units);
    spans.sort_by_key(|span| span.start_us);
    let complete = units.iter().find(|unit| unit.name == COMPLETE);
    Timeline {
        format: 1,
        boot_id: facts.boot_id.clone(),
        version: facts.release.version.clone(),
        slot: facts.slot,
        zero: if loader.is_some() { "firmware" } else { "kernel" },
        kernel_us: kernel,
        complete_us: complete.and_then(|unit| unit.up_us).map(|up| kernel.saturating_add(up)),
        spans,
    }
}

fn phase(name: &str, phase: Phase, start: u64, end: u64) -> Span {
    Span {
        name: name.to_owned(),
        phase,
        start_us: start,
        end_us: Some(end.max(start)),
        state: None,
    }
}

fn before_kernel(loader: Option<LoaderTimes>) -> Vec<Span> {
    let Some(LoaderTimes { init, exec }) = loader else {
        return Vec::new();
    };
    vec![
        phase("firmware", Phase::Firmware, 0, init),
        phase("loader", Phase::Loader, init, exec),
    ]
}

/// Each milestone is the end of its step; the first one is the kernel's.
fn in_initramfs(milestones: &[(String, u64)], kernel: u64) -> Vec<Span> {
    let mut start = kernel;
    let mut spans = Vec::new();
    for (number, (name, at)) in milestones.iter().enumerate() {
        let end = kernel.saturating_add(*at).max(start);
        spans.push(match number {
            0 => phase("kernel", Phase::Kernel, start, end),
            _ => phase(name, Phase::Initramfs, start, end),
        });
        start = end;
    }
    spans
}

/// Units that began after `switched`; a unit without a process of its own is a moment and no span.
fn of_units(units: &[UnitStatus], kernel: u64, switched: u64) -> Vec<Span> {
    let span = |unit: &UnitStatus| {
        let start = kernel.saturating_add(unit.started_us?).max(switched);
        Some(Span {
            name: unit.name.clone(),
            phase: Phase::Unit,
            start_us: start,
            end_us: unit.up_us.map(|up| kernel.saturating_add(up).max(start)),
            state: Some(unit.state),
        })
    };
    units.iter().filter_map(span).collect()
}
