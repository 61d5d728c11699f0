//! The program: everything wired together, within the world it is given.

use crate::config::{self, Effective};
use crate::network::manager;
use crate::network::state::Summary;
use crate::resolver::core::Core;
use crate::resolver::serve::Server;
use crate::resolver::{control, serve};
use crate::status;
use crate::time::clock::{self, Hand};
use crate::time::keeper::{self, Keeper, save_now_and_then};
use crate::time::{floor, saved};
use anyhow::Context;
use keelson_image_layout::paths;
use rustix::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

/// Name under which PID 1 passes the record socket.
const RECORD_SOCKET: &str = "resolver";

/// Where things are. Tests have a world of their own.
#[derive(Debug)]
pub struct World {
    /// Status file.
    pub status: PathBuf,
    /// File with the last time this machine was seen alive.
    pub clock: PathBuf,
    /// Facts of this boot.
    pub boot_facts: PathBuf,
    /// Configuration in force.
    pub machine_config: PathBuf,
    /// Socket through which records are pushed.
    pub records: OwnedFd,
    /// Port of the resolver.
    pub dns_port: u16,
    /// Whether the clock may be changed.
    pub hand: Hand,
}

impl World {
    /// The machine this program is made for.
    ///
    /// # Errors
    /// The record socket is neither passed nor can it be made.
    pub fn machine() -> anyhow::Result<Self> {
        let passed = keelson_daemon::passed_fds::take();
        let passed = passed
            .into_iter()
            .find(|(name, _)| name == RECORD_SOCKET)
            .map(|(_, fd)| fd);
        let records = match passed {
            Some(fd) => fd,
            None => control::open(paths::RESOLVER_SOCKET.as_ref())
                .with_context(|| format!("cannot make {}", paths::RESOLVER_SOCKET))?,
        };
        Ok(Self {
            status: PathBuf::from(paths::RUN).join("netd/status.json"),
            clock: paths::CLOCK.into(),
            boot_facts: paths::BOOT_FACTS.into(),
            machine_config: paths::MACHINE_CONFIG.into(),
            records,
            dns_port: serve::PORT,
            hand: Hand::Real,
        })
    }
}

/// Runs until asked to stop. Must be polled within a `LocalSet`.
///
/// # Errors
/// What makes the program useless: no loopback port for names, no netlink.
pub async fn run(world: World, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let release = lift_clock(&world);
    let _saved = SaveAtEnd(world.clock.clone());
    let (summary, networks) = watch::channel(Summary::default());
    let (time_status, time) = watch::channel(keeper::Status::default());
    let core = Core::new(networks.clone());
    let server = Server::start(Rc::clone(&core), world.dns_port).context("cannot listen for name queries")?;
    let configured = Box::new(Effective(world.machine_config.clone()));
    let keeper = Keeper::new(
        Rc::clone(&core),
        networks.clone(),
        time_status,
        (release, world.hand),
        configured,
    );
    keelson_daemon::notify::ready();
    tokio::select! {
        outcome = manager::run(config::host_name(), Effective(world.machine_config.clone()), summary) => outcome.context("the network cannot be managed"),
        outcome = control::run(Rc::clone(&core), world.records) => outcome.context("records cannot be taken"),
        () = server.run() => Ok(()),
        () = core.keep_house() => Ok(()),
        () = keeper.run() => Ok(()),
        () = status::keep(&world.status, networks.clone(), time, Rc::clone(&core)) => Ok(()),
        () = save_now_and_then(world.clock.clone()) => Ok(()),
        () = stop => Ok(()),
    }
}

/// Saves the time however the program ends, short of being killed.
struct SaveAtEnd(PathBuf);

impl Drop for SaveAtEnd {
    fn drop(&mut self) {
        if let Err(error) = saved::save(&self.0) {
            log::warn!(error:%; "time not saved");
        }
    }
}

/// Brings the clock to its floor, first of all: certificates and logs depend on it. Returns the time of
/// the release, before which no server is believed. (A saved time only lifts: were it wrong, it could
/// never be put right.)
fn lift_clock(world: &World) -> Duration {
    let release = config::release_time(&world.boot_facts);
    let floor = floor::floor(release, saved::load(&world.clock));
    let now = clock::now();
    if let Some(to) = floor::decide_step(now, floor) {
        log::warn!(from = now.as_secs(), to = to.as_secs(); "the clock was behind; set to the latest time known");
        if let Err(error) = world.hand.step(to) {
            log::error!(error:%; "the clock cannot be set");
        }
    }
    release.unwrap_or_default()
}
