//! The machine's supervisor as an object: its units, its end, and how this boot came about.

use keelson_image_layout::boot_history::Boot;
use keelson_manager_api::{Request, Words};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{ObjectPath, OwnedObjectPath, interface};

use super::{World, unit};
use crate::link::Error;

/// The interface, and the name on the bus.
pub const NAME: &str = "org.keelson.Manager1";
/// Where the object is.
pub const PATH: &str = "/org/keelson/Manager1";
/// Most letters of a reason.
const MOST_WORDS: usize = 256;

/// Name, description, kind, state, main process, path of its object.
type Row = (String, String, String, String, u32, OwnedObjectPath);

/// The supervisor.
#[derive(Debug)]
pub struct Manager {
    world: World,
}

impl Manager {
    /// Of this machine.
    #[must_use]
    pub fn new(world: World) -> Self {
        Manager { world }
    }

    fn words(&self, header: &Header<'_>, why: String) -> Words {
        let person = self.world.caller(header);
        log::info!("{person} asks for the end of the machine: {why}");
        Words {
            person: Some(person),
            why: Some(why.chars().take(MOST_WORDS).collect::<String>()).filter(|why| !why.is_empty()),
        }
    }

    fn last_ended(&self) -> Option<&Boot> {
        self.world.boot.history.last_ended()
    }
}

fn object(name: &str) -> zbus::fdo::Result<OwnedObjectPath> {
    let path = ObjectPath::try_from(unit::path(name));
    path.map(Into::into)
        .map_err(|error| zbus::fdo::Error::Failed(error.to_string()))
}

/// The machine's supervisor, PID 1.
#[interface(name = "org.keelson.Manager1")]
impl Manager {
    /// Every unit: name, description, kind, state, main process (0 without one), object.
    #[zbus(out_args("units"))]
    fn list_units(&self) -> zbus::fdo::Result<Vec<Row>> {
        let row = |unit: keelson_manager_api::UnitStatus| {
            let pid = unit.main_pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
            let (kind, state) = (unit::word(unit.kind), unit::word(unit.state));
            let path = object(&unit.name)?;
            Ok((unit.name, unit.description, kind, state, pid, path))
        };
        self.world.units.all().into_iter().map(row).collect()
    }

    /// The object of a unit.
    #[zbus(out_args("unit"))]
    fn get_unit(&self, name: &str) -> Result<OwnedObjectPath, Error> {
        let unknown = || Error::NoSuchUnit(format!("there is no unit {name:?}; ListUnits names those there are"));
        self.world.units.get(name).ok_or_else(unknown)?;
        object(name).map_err(|error| Error::Failed(error.to_string()))
    }

    /// Starts a unit and what it needs; answers when it is up.
    async fn start_unit(&self, name: String) -> Result<(), Error> {
        self.world.link.order(Request::Start { unit: name }).await
    }

    /// Stops a unit and what requires it; answers when it is down.
    async fn stop_unit(&self, name: String) -> Result<(), Error> {
        self.world.link.order(Request::Stop { unit: name }).await
    }

    /// Stops and starts one unit, leaving what requires it alone; answers when it is up again.
    async fn restart_unit(&self, name: String) -> Result<(), Error> {
        self.world.link.order(Request::Restart { unit: name }).await
    }

    /// Restarts the machine in order. The reason is kept in the boot history; it may be empty.
    async fn reboot(&self, reason: String, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let words = self.words(&header, reason);
        self.world.link.order(Request::Reboot { words }).await
    }

    /// Switches the machine off in order. The reason is kept in the boot history; it may be empty.
    async fn power_off(&self, reason: String, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let words = self.words(&header, reason);
        self.world.link.order(Request::PowerOff { words }).await
    }

    /// Version of the running release.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        let facts = self.world.boot.facts.as_ref();
        facts.map(|facts| facts.release.version.clone()).unwrap_or_default()
    }

    /// The slot it runs from: a or b.
    #[zbus(property(emits_changed_signal = "const"))]
    fn slot(&self) -> String {
        let facts = self.world.boot.facts.as_ref();
        facts.map(|facts| facts.slot.letter().to_string()).unwrap_or_default()
    }

    /// The kernel's id of this boot.
    #[zbus(property(emits_changed_signal = "const"), name = "BootID")]
    fn boot_id(&self) -> String {
        let facts = self.world.boot.facts.as_ref();
        facts.map(|facts| facts.boot_id.clone()).unwrap_or_default()
    }

    /// Whether the slot had not proven itself when this boot began.
    #[zbus(property(emits_changed_signal = "const"))]
    fn trial(&self) -> bool {
        self.world.boot.facts.as_ref().is_some_and(|facts| facts.trial)
    }

    /// Whether everything the boot requires is up.
    #[zbus(property(emits_changed_signal = "false"))]
    fn boot_complete(&self) -> bool {
        let target = self.world.units.get("boot-complete");
        target.is_some_and(|unit| unit.state == keelson_manager_api::UnitState::Running)
    }

    /// Why the boot before this one ended, in a word: asked-for, update, failed-health, panic, watchdog, corruption,
    /// power-loss; empty if none is remembered.
    #[zbus(property(emits_changed_signal = "const"))]
    fn last_boot_cause(&self) -> String {
        let end = self.last_ended().and_then(|boot| boot.end.as_ref());
        end.map(|end| unit::word(end.cause)).unwrap_or_default()
    }

    /// The same in words, with who asked and why.
    #[zbus(property(emits_changed_signal = "const"))]
    fn last_boot_words(&self) -> String {
        let end = self.last_ended().and_then(|boot| boot.end.as_ref());
        end.map(|end| end.words.clone()).unwrap_or_default()
    }

    /// Version of the release that ran before this boot.
    #[zbus(property(emits_changed_signal = "const"))]
    fn last_boot_version(&self) -> String {
        self.last_ended().map(|boot| boot.version.clone()).unwrap_or_default()
    }

    /// A unit came to another state.
    #[zbus(signal)]
    async fn unit_state_changed(
        emitter: &SignalEmitter<'_>,
        name: &str,
        unit: ObjectPath<'_>,
        state: &str,
    ) -> zbus::Result<()>;

    /// Everything the boot requires is up.
    #[zbus(signal)]
    async fn boot_completed(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    /// The machine is going down: reboot or power-off. Sent before the first unit is stopped.
    #[zbus(signal)]
    async fn shutting_down(emitter: &SignalEmitter<'_>, kind: &str) -> zbus::Result<()>;
}
