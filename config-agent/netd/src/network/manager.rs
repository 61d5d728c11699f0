//! The task that owns the machine's links: hears the kernel and the configuration, runs a DHCP client per
//! link that asks for one, and publishes a [`Summary`] whenever something changed.

use super::choose::decide_ours;
use super::clients::Clients;
use super::plan::previous_address;
use super::router::parse_option;
use super::state::{Networks, Summary};
use crate::config::Effective;
use crate::dhcp::lease::Lease;
use crate::dhcp::task::Report;
use keelson_daemon::{Follower, Readable};
use keelson_machine_config::Network;
use keelson_netlink::route::protocol;
use keelson_netlink::{Error, Event, EventSocket, Link, RouteSocket};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What the kernel refused is tried again after this.
const RETRY: Duration = Duration::from_secs(5);
/// Devices are given so long to appear before their absence is worth a warning.
const PATIENCE: Duration = Duration::from_secs(10);

/// Owner of the machine's links.
#[derive(Debug)]
pub struct Manager {
    pub(super) socket: RouteSocket,
    pub(super) networks: Networks,
    pub(super) clients: Clients,
    pub(super) config: Option<Network>,
    /// Drivers of devices by index, asked for once.
    pub(super) drivers: BTreeMap<u32, Option<String>>,
    /// What steps that make links could not do, by the described link.
    pub(super) failed: BTreeMap<String, String>,
    /// Something was refused: try again at this time.
    pub(super) retry: Option<Instant>,
    /// When absences are warned about.
    warn_at: Option<Instant>,
    summary: watch::Sender<Summary>,
}

/// Runs until the program ends or netlink fails. `hostname` is told to DHCP servers.
///
/// # Errors
/// A netlink socket that cannot be opened or read any more.
pub async fn run(
    hostname: Option<String>,
    configuration: Effective,
    summary: watch::Sender<Summary>,
) -> Result<(), Error> {
    // Events first: nothing that happens during the first look is missed.
    let events = EventSocket::open()?;
    let readable = Readable::watch(&events).map_err(|error| event_error(&error))?;
    let follower = Follower::watch(&configuration.0)
        .inspect_err(|error| log::info!(error:%; "changes of the configuration are not noticed"))
        .ok();
    let (clients, mut incoming) = Clients::new(hostname);
    let mut manager = Manager {
        socket: RouteSocket::open()?,
        networks: Networks::default(),
        clients,
        config: configuration.network(),
        drivers: BTreeMap::new(),
        failed: BTreeMap::new(),
        retry: None,
        warn_at: Some(Instant::now() + PATIENCE),
        summary,
    };
    manager.begin()?;
    loop {
        manager.publish();
        let due = manager.due(Instant::now());
        tokio::select! {
            heard = next_events(&readable, &events) => manager.hear(heard?)?,
            Some((link, report)) = incoming.recv() => manager.report(link, report)?,
            () = keelson_daemon::changed(follower.as_ref()) => manager.configure(configuration.network())?,
            () = sleep_until(due) => manager.on_time(Instant::now())?,
        }
    }
}

/// The next events, at least one.
async fn next_events(readable: &Readable, socket: &EventSocket) -> Result<Vec<Event>, Error> {
    let heard = readable.read(|_| match socket.read() {
        Ok(events) if events.is_empty() => Err(Errno::AGAIN),
        other => Ok(other),
    });
    heard.await.map_err(|error| event_error(&error))?
}

fn event_error(error: &std::io::Error) -> Error {
    let source = Errno::from_io_error(error).unwrap_or(Errno::IO);
    Error::Receive {
        what: "listen for events".into(),
        source,
    }
}

async fn sleep_until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}

impl Manager {
    fn begin(&mut self) -> Result<(), Error> {
        for link in self.socket.links()? {
            if link.loopback && !link.up {
                self.bring_up(&link);
            }
        }
        self.reconcile()
    }

    /// When something is to be done by itself.
    fn due(&self, now: Instant) -> Option<Instant> {
        let times = [self.networks.next_end(now), self.retry, self.warn_at];
        times.into_iter().flatten().min()
    }

    fn on_time(&mut self, now: Instant) -> Result<(), Error> {
        if self.warn_at.is_some_and(|at| at <= now) {
            self.warn_at = None;
            self.warn();
        }
        if self.retry.is_some_and(|at| at <= now) {
            self.retry = None;
            self.reconcile()?;
        }
        Ok(())
    }

    /// Says what is not as the document wants it.
    fn warn(&self) {
        for (name, why) in &self.networks.absent {
            log::warn!(link = name, why; "not configured");
        }
        let problems: Vec<String> = self
            .networks
            .absent
            .iter()
            .map(|(name, why)| format!("link {name}: {why}"))
            .collect();
        if !problems.is_empty() {
            keelson_daemon::notify::status(&format!("problem: {}", problems.join("; ")));
        }
    }

    /// Takes in a configuration that may be another.
    fn configure(&mut self, config: Option<Network>) -> Result<(), Error> {
        if config == self.config {
            return Ok(());
        }
        log::info!("the configuration of the network has changed");
        self.config = config;
        self.warn_at = Some(Instant::now() + PATIENCE);
        self.reconcile()
    }

    fn hear(&mut self, events: Vec<Event>) -> Result<(), Error> {
        let (mut addresses_changed, mut links_changed) = (false, false);
        for event in events {
            match event {
                Event::Link(link) => links_changed |= self.link(&link)?,
                Event::LinkGone(link) => {
                    self.forget(link.index);
                    self.drivers.remove(&link.index);
                    links_changed |= decide_ours(&link);
                }
                Event::Address(_) => addresses_changed = true,
                Event::AddressGone(address) => {
                    addresses_changed = true;
                    links_changed |= self.networks.links.contains_key(&address.link);
                }
                Event::RouteGone(route) => {
                    let of_ours = route.link.is_some_and(|link| self.networks.links.contains_key(&link));
                    links_changed |= of_ours && matches!(route.protocol, protocol::STATIC | protocol::DHCP);
                }
                Event::RouterOption { link, option } => self.router_option(link, &option),
                Event::Lost => {
                    log::info!("network events were lost; looking at everything again");
                    links_changed = true;
                }
                Event::Route(_) => {}
            }
        }
        if links_changed {
            self.reconcile()
        } else if addresses_changed {
            self.read_addresses()
        } else {
            Ok(())
        }
    }

    /// Takes in a link that is new or changed; true when it may need something.
    fn link(&mut self, link: &Link) -> Result<bool, Error> {
        if !decide_ours(link) {
            self.forget(link.index);
            return Ok(false);
        }
        let Some(own) = self.networks.links.get_mut(&link.index) else {
            return Ok(true);
        };
        let same = own.link == *link;
        let before = own.link.up && own.link.carrier;
        own.link = link.clone();
        self.carrier(link, before)?;
        Ok(!same)
    }

    /// Notices a carrier that came or went.
    pub(super) fn carrier(&mut self, link: &Link, before: bool) -> Result<(), Error> {
        let now = link.up && link.carrier;
        if now != before {
            log::info!(link = link.name, carrier = now; "link changed");
            self.tell_carrier(link, now)?;
        }
        Ok(())
    }

    pub(super) fn tell_carrier(&mut self, link: &Link, carrier: bool) -> Result<(), Error> {
        let previous = match carrier {
            true => Some(previous_address(link.index, &self.socket.addresses()?)),
            false => None,
        };
        self.clients.tell(link.index, previous);
        Ok(())
    }

    fn router_option(&mut self, link: u32, option: &[u8]) {
        let own = self.networks.links.get_mut(&link);
        let own = own.filter(|own| own.described.accept_ra);
        if let (Some(own), Some(option)) = (own, parse_option(option)) {
            own.routers.update(Instant::now(), option);
        }
    }

    fn report(&mut self, link: u32, report: Report) -> Result<(), Error> {
        match report {
            Report::Configure(lease) => self.set_lease(link, Some(lease)),
            Report::Deconfigure(reason) => {
                log::warn!(link, reason:? = reason; "lease lost");
                self.set_lease(link, None)
            }
        }
    }

    fn set_lease(&mut self, index: u32, lease: Option<Lease>) -> Result<(), Error> {
        let Some(own) = self.networks.links.get_mut(&index).filter(|own| own.described.dhcp4) else {
            return Ok(());
        };
        own.leased_at = lease.is_some().then(Instant::now);
        own.lease = lease;
        self.settle(index, true)?;
        self.read_addresses()
    }

    pub(super) fn read_addresses(&mut self) -> Result<(), Error> {
        let addresses = self.socket.addresses()?;
        for (index, own) in &mut self.networks.links {
            let of_link = addresses
                .iter()
                .filter(|address| address.link == *index && !address.tentative);
            own.addresses = of_link.map(|address| (address.ip, address.prefix)).collect();
        }
        Ok(())
    }

    /// Something was refused; it may not be for ever.
    pub(super) fn try_again(&mut self) {
        self.retry.get_or_insert(Instant::now() + RETRY);
    }

    fn publish(&self) {
        let summary = self.networks.summary(Instant::now());
        self.summary.send_if_modified(|old| {
            let changed = *old != summary;
            *old = summary;
            changed
        });
    }
}
