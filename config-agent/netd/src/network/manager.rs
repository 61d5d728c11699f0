//! The task that owns the machine's links: hears the kernel, runs a DHCP client per link, applies what
//! they get, and publishes a [`Summary`] whenever something changed.

use super::apply::apply;
use super::choose::decide_managed;
use super::ipv6;
use super::plan::{Current, plan, previous_address};
use super::router::parse_option;
use super::state::{Networks, OwnLink, Summary};
use crate::dhcp::client::Identity;
use crate::dhcp::lease::Lease;
use crate::dhcp::task::{self, Command, Report, Target};
use crate::explain::chain;
use crate::readable::Readable;
use keelson_netlink::{Error, Event, EventSocket, Link, LinkChange, RouteSocket};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// Reports waiting at once; a client waits when there are more.
const QUEUE: usize = 16;

/// Owner of the machine's links.
#[derive(Debug)]
pub struct Manager {
    socket: RouteSocket,
    networks: Networks,
    clients: BTreeMap<u32, mpsc::Sender<Command>>,
    reports: mpsc::Sender<(u32, Report)>,
    hostname: Option<String>,
    summary: watch::Sender<Summary>,
}

/// Runs until the program ends or netlink fails. `hostname` is told to DHCP servers.
///
/// # Errors
/// A netlink socket that cannot be opened or read any more.
pub async fn run(hostname: Option<String>, summary: watch::Sender<Summary>) -> Result<(), Error> {
    // Events first: nothing that happens during the first look is missed.
    let events = EventSocket::open()?;
    let readable = Readable::watch(&events).map_err(|error| event_error(&error))?;
    let (reports, mut incoming) = mpsc::channel(QUEUE);
    let mut manager = Manager {
        socket: RouteSocket::open()?,
        networks: Networks::default(),
        clients: BTreeMap::new(),
        reports,
        hostname,
        summary,
    };
    manager.look_at_everything()?;
    loop {
        manager.publish();
        let now = Instant::now();
        let end = manager.networks.next_end(now);
        tokio::select! {
            heard = next_events(&readable, &events) => manager.hear(heard?)?,
            Some((link, report)) = incoming.recv() => manager.report(link, report)?,
            () = sleep_until(end) => {}
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
    fn look_at_everything(&mut self) -> Result<(), Error> {
        let links = self.socket.links()?;
        self.clients
            .retain(|index, _| links.iter().any(|link| link.index == *index));
        self.networks
            .links
            .retain(|index, _| links.iter().any(|link| link.index == *index));
        for link in links {
            if link.loopback && !link.up {
                self.bring_up(&link);
            }
            self.link(link)?;
        }
        self.read_addresses()
    }

    fn hear(&mut self, events: Vec<Event>) -> Result<(), Error> {
        let mut addresses_changed = false;
        for event in events {
            match event {
                Event::Link(link) => self.link(link)?,
                Event::LinkGone(link) => self.forget(link.index),
                Event::Address(_) | Event::AddressGone(_) => addresses_changed = true,
                Event::RouterOption { link, option } => self.router_option(link, &option),
                Event::Lost => {
                    log::info!("network events were lost; looking at everything again");
                    self.look_at_everything()?;
                }
                Event::Route(_) | Event::RouteGone(_) => {}
            }
        }
        if addresses_changed {
            self.read_addresses()?;
        }
        Ok(())
    }

    /// Takes in a link that is new or changed.
    fn link(&mut self, link: Link) -> Result<(), Error> {
        if !decide_managed(&link) {
            self.forget(link.index);
            return Ok(());
        }
        let carrier = link.up && link.carrier;
        let known = self
            .networks
            .links
            .get(&link.index)
            .map(|own| own.link.up && own.link.carrier);
        match self.networks.links.get_mut(&link.index) {
            Some(own) => own.link = link.clone(),
            None => self.begin(&link),
        }
        if !link.up {
            self.bring_up(&link);
        }
        if known.unwrap_or(false) != carrier {
            log::info!(link = link.name, carrier; "link changed");
            self.tell_carrier(&link, carrier)?;
        }
        Ok(())
    }

    /// Starts with a link not seen before.
    fn begin(&mut self, link: &Link) {
        log::info!(link = link.name, index = link.index; "link found");
        if let Err(error) = ipv6::accept_advertisements(&link.name) {
            log::info!(link = link.name, error:% = error; "no router advertisements on this link");
        }
        if let (true, Err(error)) = (link.up && link.carrier, ipv6::solicit(link.index)) {
            log::debug!(link = link.name, error:% = error; "routers not asked");
        }
        let (commands, receiver) = mpsc::channel(QUEUE);
        let mac = link.mac.unwrap_or_default().0;
        let target = Target {
            link: link.index,
            name: link.name.clone(),
            identity: Identity {
                mac,
                hostname: self.hostname.clone(),
            },
        };
        tokio::spawn(task::run(target, receiver, self.reports.clone()));
        self.clients.insert(link.index, commands);
        let own = OwnLink {
            link: link.clone(),
            lease: None,
            routers: Default::default(),
            addresses: Vec::new(),
        };
        self.networks.links.insert(link.index, own);
    }

    fn forget(&mut self, index: u32) {
        self.clients.remove(&index);
        if let Some(own) = self.networks.links.remove(&index) {
            log::info!(link = own.link.name; "link gone");
        }
    }

    fn bring_up(&mut self, link: &Link) {
        let change = LinkChange {
            up: Some(true),
            ..LinkChange::default()
        };
        if let Err(error) = self.socket.change_link(link.index, &change) {
            log::warn!(link = link.name, error:% = chain(&error); "link does not come up");
        }
    }

    fn tell_carrier(&mut self, link: &Link, carrier: bool) -> Result<(), Error> {
        let command = if carrier {
            Command::Carrier(previous_address(link.index, &self.socket.addresses()?))
        } else {
            Command::NoCarrier
        };
        if let Some(client) = self.clients.get(&link.index) {
            // A full queue means a client that is stuck on sixteen changes of carrier; the next one
            // will reach it.
            let _ = client.try_send(command);
        }
        Ok(())
    }

    fn router_option(&mut self, link: u32, option: &[u8]) {
        if let (Some(own), Some(option)) = (self.networks.links.get_mut(&link), parse_option(option)) {
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
        let Some(own) = self.networks.links.get_mut(&index) else {
            return Ok(());
        };
        let (addresses, routes) = (self.socket.addresses()?, self.socket.routes()?);
        let current = Current {
            link: index,
            mtu: own.link.mtu,
            addresses: &addresses,
            routes: &routes,
        };
        let plan = plan(current, lease.as_ref());
        let complete = apply(&mut self.socket, index, &plan);
        if let Some(lease) = &lease {
            let seconds = lease.duration.map_or(u64::MAX, |time| time.as_secs());
            log::info!(
                link = own.link.name, address:% = lease.address, prefix = lease.prefix,
                server:% = lease.server, seconds, complete; "lease in force"
            );
        }
        own.lease = lease;
        self.read_addresses()
    }

    fn read_addresses(&mut self) -> Result<(), Error> {
        let addresses = self.socket.addresses()?;
        for (index, own) in &mut self.networks.links {
            let of_link = addresses
                .iter()
                .filter(|address| address.link == *index && !address.tentative);
            own.addresses = of_link.map(|address| (address.ip, address.prefix)).collect();
        }
        Ok(())
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
