//! The machine's two releases as an object: which runs, whether it is kept, what the other slot holds, and the way back.

use std::collections::HashMap;

use keelson_image_layout::SlotFacts;
use keelson_manager_api::{Request, UnitState, UnitStatus};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, Variant, interface};

use super::{World, unit};
use crate::link::Error;

/// The interface, and the name on the bus.
pub const NAME: &str = "org.keelson.Update1";
/// Where the object is.
pub const PATH: &str = "/org/keelson/Update1";
/// The unit that judges a release.
pub(super) const JUDGE: &str = "mark-good";
/// The unit that leaves one.
const LEAVER: &str = "rollback";

/// Whether the running release is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// `committed`, `assessing` or `failed`.
    pub state: &'static str,
    /// What it has to prove still, or did not; empty once it is committed.
    pub why: String,
}

impl Standing {
    /// By the unit that judges it.
    pub(super) fn of(judge: Option<&UnitStatus>) -> Self {
        let state = match judge.map(|unit| unit.state) {
            Some(UnitState::Done) => "committed",
            Some(UnitState::Failed) => "failed",
            _ => "assessing",
        };
        let said = judge.and_then(|unit| unit.failure.clone().or_else(|| unit.status.clone()));
        let why = said.filter(|_| state != "committed").unwrap_or_default();
        Standing { state, why }
    }
}

/// Both releases.
#[derive(Debug)]
pub struct Update {
    world: World,
}

impl Update {
    /// Of this machine.
    #[must_use]
    pub fn new(world: World) -> Self {
        Update { world }
    }

    fn standing(&self) -> Standing {
        Standing::of(self.world.units.get(JUDGE).as_ref())
    }

    /// The other slot, as it was when this boot began.
    fn other(&self) -> Option<&SlotFacts> {
        let facts = self.world.boot.facts.as_ref()?;
        facts.slots.as_ref()?.get(facts.slot.other().index())
    }
}

/// Says that the running release stands differently than before.
pub(super) async fn changed(connection: &Connection, standing: &Standing) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, PATH)?;
    let properties = HashMap::from([
        ("State", Variant::from(standing.state)),
        ("Why", Variant::from(standing.why.as_str())),
    ]);
    let interface = NAME.try_into()?;
    zbus::fdo::Properties::properties_changed(&emitter, interface, properties, (&[]).into()).await?;
    emitter.came_to(standing.state, &standing.why).await
}

/// The machine's two releases.
#[interface(name = "org.keelson.Update1")]
impl Update {
    /// Gives the running release up and reboots into the other slot, settings included. Answers when the slot is left;
    /// the reboot follows.
    async fn rollback(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        log::info!("{} asks to go back to the other slot", self.world.caller(&header));
        let unit = LEAVER.to_owned();
        self.world.link.order(Request::Start { unit }).await
    }

    /// Whether the running release is kept: committed, assessing or failed.
    #[zbus(property)]
    fn state(&self) -> String {
        self.standing().state.to_owned()
    }

    /// What the running release has to prove still, or did not prove; else empty.
    #[zbus(property)]
    fn why(&self) -> String {
        self.standing().why
    }

    /// Version of the running release.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        let facts = self.world.boot.facts.as_ref();
        facts.map(|facts| facts.release.version.clone()).unwrap_or_default()
    }

    /// Version of the release in the other slot; empty without one.
    #[zbus(property(emits_changed_signal = "const"))]
    fn other_version(&self) -> String {
        self.other().map(|slot| slot.version.clone()).unwrap_or_default()
    }

    /// What the other slot was good for when this boot began: empty, writing, trial, good or bad.
    #[zbus(property(emits_changed_signal = "const"))]
    fn other_state(&self) -> String {
        self.other().map(|slot| unit::word(slot.state)).unwrap_or_default()
    }

    /// What the other slot lost its last try for; `none` if for nothing.
    #[zbus(property(emits_changed_signal = "const"))]
    fn other_reason(&self) -> String {
        self.other().map(|slot| unit::word(slot.reason)).unwrap_or_default()
    }

    /// The running release stands differently than before; and why.
    #[zbus(signal, name = "StateChanged")]
    async fn came_to(emitter: &SignalEmitter<'_>, state: &str, why: &str) -> zbus::Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use keelson_manager_api::Kind;

    #[test]
    fn the_judge_says_whether_a_release_is_kept() {
        let judge = |state, failure: Option<&str>| UnitStatus {
            name: JUDGE.to_owned(),
            description: String::new(),
            kind: Kind::Oneshot,
            state,
            since_ms: 0,
            started_us: None,
            up_us: None,
            main_pid: None,
            restarts: 0,
            status: Some("the unit web starts anew".to_owned()),
            failure: failure.map(str::to_owned),
        };
        let table = [
            (None, "assessing", ""),
            (
                Some(judge(UnitState::Starting, None)),
                "assessing",
                "the unit web starts anew",
            ),
            (Some(judge(UnitState::Failed, Some("no room"))), "failed", "no room"),
            (Some(judge(UnitState::Done, None)), "committed", ""),
        ];
        for (unit, state, why) in table {
            let why = why.to_owned();
            assert_eq!(Standing::of(unit.as_ref()), Standing { state, why });
        }
    }
}
