//! What the bus offers: the manager, an object for each unit, and the releases. Who may call what is decided before a call comes here
//! (`policy.rs`).

pub mod manager;
pub mod unit;
pub mod update;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use keelson_image_layout::BootFacts;
use keelson_image_layout::boot_history::History;
use keelson_manager_api::{Notice, PowerKind, UnitStatus};
use tokio::sync::mpsc;
use zbus::Connection;
use zbus::connection::Builder;
use zbus::connection::socket::Channel;
use zbus::object_server::SignalEmitter;

use crate::SERVICE;
use crate::link::Link;
use crate::router::Router;
use manager::{Manager, ManagerSignals as _};
use unit::Unit;
use update::{Standing, Update};

/// What the objects know and use.
#[derive(Debug, Clone)]
pub struct World {
    /// The way to PID 1.
    pub link: Link,
    /// All units, as PID 1 told last.
    pub units: Units,
    /// How this boot came about.
    pub boot: Arc<BootRecord>,
    /// Who the callers are.
    pub router: Arc<Mutex<Router>>,
}

/// How this boot came about, for the properties.
#[derive(Debug, Default)]
pub struct BootRecord {
    /// Of the release and its slot; `None` elsewhere than on a machine.
    pub facts: Option<BootFacts>,
    /// Why the machine started anew, each time.
    pub history: History,
}

/// Units by name.
#[derive(Debug, Clone, Default)]
pub struct Units(Arc<Mutex<BTreeMap<String, UnitStatus>>>);

impl Units {
    /// These.
    #[must_use]
    pub fn of(all: Vec<UnitStatus>) -> Self {
        let by_name = all.into_iter().map(|unit| (unit.name.clone(), unit));
        Units(Arc::new(Mutex::new(by_name.collect())))
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<UnitStatus> {
        self.lock().get(name).cloned()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<UnitStatus> {
        self.lock().values().cloned().collect()
    }

    fn put(&self, unit: UnitStatus) -> Option<UnitStatus> {
        self.lock().insert(unit.name.clone(), unit)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, UnitStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Who called, for the boot history and the journal.
    #[must_use]
    pub fn caller(&self, header: &zbus::message::Header<'_>) -> String {
        let sender = header.sender().map(|name| name.as_str()).unwrap_or_default();
        let router = self.router.lock().unwrap_or_else(PoisonError::into_inner);
        router
            .place_of(sender)
            .map_or_else(|| sender.to_owned(), ToString::to_string)
    }
}

/// Puts all objects at their places; `channel` leads to the broker.
///
/// # Errors
/// The bus library refuses.
pub async fn serve(world: &World, channel: Channel, guid: &str) -> zbus::Result<Connection> {
    let mut builder = Builder::authenticated_socket(channel, guid)
        .p2p()
        .unique_name(SERVICE)
        .serve_at(manager::PATH, Manager::new(world.clone()))
        .serve_at(update::PATH, Update::new(world.clone()));
    for status in world.units.all() {
        builder = builder.serve_at(unit::path(&status.name), Unit::new(&status.name, world.clone()));
    }
    builder.build().await
}

/// Turns what PID 1 tells into signals, until it tells nothing more.
///
/// # Errors
/// The bus library refuses.
pub async fn tell(world: &World, connection: &Connection, mut notices: mpsc::Receiver<Notice>) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(connection, manager::PATH)?;
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::UnitChanged { unit } => {
                let before = world.units.put(unit.clone());
                unit::changed(connection, &unit).await?;
                let standing = Standing::of(Some(&unit));
                if unit.name == update::JUDGE && standing != Standing::of(before.as_ref()) {
                    update::changed(connection, &standing).await?;
                }
                if before.map(|unit| unit.state) != Some(unit.state) {
                    let (name, state) = (unit.name.as_str(), unit::word(unit.state));
                    let path = unit::path(name).try_into()?;
                    emitter.unit_state_changed(name, path, &state).await?;
                }
            }
            Notice::BootComplete => emitter.boot_completed().await?,
            Notice::ShuttingDown { kind } => {
                emitter.shutting_down(power_word(kind)).await?;
            }
            Notice::Unknown => {}
        }
    }
    Ok(())
}

fn power_word(kind: PowerKind) -> &'static str {
    match kind {
        PowerKind::Reboot => "reboot",
        PowerKind::PowerOff => "power-off",
    }
}
