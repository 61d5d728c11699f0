//! Everything `status` knows, as programs read it.

use std::collections::BTreeMap;

use keelson_engine_client::declared::Standing;
use keelson_image_layout::boot_history::Boot;
use keelson_image_layout::{Reason, Slot, SlotFacts, State, StateMount};
use keelson_manager_api::{UnitState, UnitStatus};
use serde::Serialize;
use serde_json::Value as Json;

use super::problems::{Problem, decide_problems};
use crate::machine::Machine;
use crate::machine::chain::Chain;
use crate::machine::engine::Container;
use crate::machine::figures::Room;

/// The unit that stands for a boot that worked, and the one that commits its slot.
const COMPLETE: &str = "boot-complete";
const COMMIT: &str = "mark-good";
/// Tries of a slot that was just committed.
const FRESH_TRIES: u8 = keelson_image_layout::boot_entry::FRESH_TRIES;

/// Whether this boot came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Everything the boot requires is up.
    Complete,
    /// It is on its way.
    Starting,
    /// It will not come up by itself.
    Failed,
}

/// The machine. Fields are only added.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of this document, 1.
    pub format: u32,
    /// Whether nothing is wrong.
    pub well: bool,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Its name.
    pub hostname: Option<String>,
    /// The running release.
    pub version: String,
    /// The running kernel.
    pub kernel: String,
    /// This boot's id.
    pub boot_id: String,
    /// The slot it was started from.
    pub slot: Slot,
    /// Whether the slot still has to be committed.
    pub trial: bool,
    /// Both slots, A first; absent if their record cannot be read.
    pub slots: Option<[SlotFacts; 2]>,
    /// Whether the boot came up.
    pub health: Health,
    /// Seconds since the kernel started.
    pub uptime: u64,
    /// The boot before, and why it ended.
    pub before: Option<Boot>,
    /// Every unit.
    pub services: Vec<UnitStatus>,
    /// Every container; absent if the engine does not answer.
    pub containers: Option<Vec<Container>>,
    /// Where every declared container stands, by name.
    pub declared: BTreeMap<String, Standing>,
    /// What the network service knows (`/run/keelson/netd/status.json`).
    pub network: Json,
    /// How applying the configuration went (`/run/keelson/config/status.json`).
    pub configuration: Json,
    /// Memory, bytes.
    pub memory: Option<Room>,
    /// How the state is mounted.
    pub state: StateMount,
    /// Room on the state partition, bytes.
    pub disk: Option<Room>,
    /// What guards the boot chain.
    pub chain: Chain,
}

impl Report {
    /// Asks everybody.
    ///
    /// # Errors
    /// This is not a Keelson machine, or PID 1 does not answer. Whoever else does not answer is a problem in the report.
    pub fn gather(machine: &Machine) -> anyhow::Result<Report> {
        let facts = machine.facts()?;
        let services = machine.units()?;
        let committed = state_of(&services, COMMIT) == Some(UnitState::Done);
        let slots = facts.slots.map(|slots| with_commit(slots, facts.slot, committed));
        let mut report = Report {
            format: 1,
            well: false,
            problems: Vec::new(),
            hostname: machine.text("/proc/sys/kernel/hostname"),
            version: facts.release.version,
            kernel: facts.release.kernel,
            boot_id: facts.boot_id,
            slot: facts.slot,
            trial: facts.trial && !committed,
            slots,
            health: health(&services),
            uptime: machine.uptime().as_secs(),
            before: machine.history().last_ended().cloned(),
            services,
            containers: machine.containers().ok(),
            declared: machine.declared().containers,
            network: machine.network(),
            configuration: machine.config_status(),
            memory: machine.memory(),
            state: facts.state,
            disk: machine.disk(),
            chain: machine.chain(),
        };
        report.problems = decide_problems(&report);
        report.well = report.problems.is_empty();
        Ok(report)
    }
}

pub(super) fn state_of(services: &[UnitStatus], name: &str) -> Option<UnitState> {
    services.iter().find(|unit| unit.name == name).map(|unit| unit.state)
}

fn health(services: &[UnitStatus]) -> Health {
    match state_of(services, COMPLETE) {
        Some(UnitState::Running | UnitState::Done) => Health::Complete,
        Some(UnitState::Waiting | UnitState::Starting | UnitState::BackOff) => Health::Starting,
        _ => Health::Failed,
    }
}

/// The record was read before the boot was committed.
fn with_commit(mut slots: [SlotFacts; 2], running: Slot, committed: bool) -> [SlotFacts; 2] {
    for (slot, facts) in Slot::ALL.into_iter().zip(&mut slots) {
        if committed && slot == running && facts.state != State::Good {
            facts.state = State::Good;
            facts.tries = FRESH_TRIES;
            facts.reason = Reason::None;
        }
    }
    slots
}
