//! One unit as an object: its state as properties that say when they change.

use std::collections::HashMap;

use keelson_manager_api::{Request, UnitStatus};
use zbus::object_server::SignalEmitter;
use zbus::{Connection, Variant, interface};

use super::World;
use crate::link::Error;

/// The interface.
pub const NAME: &str = "org.keelson.Unit1";

/// Where the object of a unit is: every byte but letters and digits stands as `_` and two hexadecimal digits.
#[must_use]
pub fn path(name: &str) -> String {
    let mut path = format!("{}/unit/", super::manager::PATH);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

/// A word as the control protocol has it.
pub fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// One unit.
#[derive(Debug)]
pub struct Unit {
    name: String,
    world: World,
}

impl Unit {
    /// The unit of this name.
    #[must_use]
    pub fn new(name: &str, world: World) -> Self {
        Unit {
            name: name.to_owned(),
            world,
        }
    }

    fn status(&self) -> zbus::fdo::Result<UnitStatus> {
        let gone = || zbus::fdo::Error::UnknownObject(format!("there is no unit {}", self.name));
        self.world.units.get(&self.name).ok_or_else(gone)
    }
}

/// Says that the properties of a unit have changed.
pub(super) async fn changed(connection: &Connection, unit: &UnitStatus) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, path(&unit.name))?;
    let properties: HashMap<&str, Variant<'_>> = HashMap::from([
        ("State", Variant::from(word(unit.state))),
        ("StateSince", Variant::from(unit.since_ms)),
        ("MainPID", Variant::from(main_pid(unit))),
        ("Restarts", Variant::from(unit.restarts)),
        ("StatusText", Variant::from(unit.status.clone().unwrap_or_default())),
        ("Failure", Variant::from(unit.failure.clone().unwrap_or_default())),
    ]);
    let interface = NAME.try_into()?;
    zbus::fdo::Properties::properties_changed(&emitter, interface, properties, (&[]).into()).await
}

fn main_pid(unit: &UnitStatus) -> u32 {
    unit.main_pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0)
}

/// A unit of the machine's supervisor.
#[interface(name = "org.keelson.Unit1")]
impl Unit {
    /// Starts it and what it needs; answers when it is up.
    async fn start(&self) -> Result<(), Error> {
        let unit = self.name.clone();
        self.world.link.order(Request::Start { unit }).await
    }

    /// Stops it and what requires it; answers when it is down.
    async fn stop(&self) -> Result<(), Error> {
        let unit = self.name.clone();
        self.world.link.order(Request::Stop { unit }).await
    }

    /// Stops and starts it, leaving what requires it alone; answers when it is up again.
    async fn restart(&self) -> Result<(), Error> {
        let unit = self.name.clone();
        self.world.link.order(Request::Restart { unit }).await
    }

    /// Its name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.clone()
    }

    /// What it is for.
    #[zbus(property(emits_changed_signal = "const"))]
    fn description(&self) -> zbus::fdo::Result<String> {
        Ok(self.status()?.description)
    }

    /// service, oneshot or target.
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> zbus::fdo::Result<String> {
        Ok(word(self.status()?.kind))
    }

    /// stopped, waiting, starting, running, done, stopping, back-off or failed.
    #[zbus(property)]
    fn state(&self) -> zbus::fdo::Result<String> {
        Ok(word(self.status()?.state))
    }

    /// When it came to this state, milliseconds since the kernel started.
    #[zbus(property)]
    fn state_since(&self) -> zbus::fdo::Result<u64> {
        Ok(self.status()?.since_ms)
    }

    /// Its main process; 0 without one.
    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> zbus::fdo::Result<u32> {
        Ok(main_pid(&self.status()?))
    }

    /// Automatic restarts since it was last started on request.
    #[zbus(property)]
    fn restarts(&self) -> zbus::fdo::Result<u32> {
        Ok(self.status()?.restarts)
    }

    /// What it last said of itself.
    #[zbus(property)]
    fn status_text(&self) -> zbus::fdo::Result<String> {
        Ok(self.status()?.status.unwrap_or_default())
    }

    /// What went wrong last, while it matters; else empty.
    #[zbus(property)]
    fn failure(&self) -> zbus::fdo::Result<String> {
        Ok(self.status()?.failure.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keelson_manager_api::UnitState;

    #[test]
    fn names_become_paths_and_states_words() {
        assert_eq!(path("netd"), "/org/keelson/Manager1/unit/netd");
        assert_eq!(path("boot-complete"), "/org/keelson/Manager1/unit/boot_2dcomplete");
        assert_eq!(word(UnitState::BackOff), "back-off");
    }
}
