//! The DHCP clients, one per link that asks for an address.

use crate::dhcp::client::Identity;
use crate::dhcp::task::{self, Command, Report, Target};
use keelson_netlink::Link;
use keelson_netlink::link::Mac;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use tokio::sync::mpsc;

/// Reports and commands waiting at once; who sends more waits.
const QUEUE: usize = 16;

/// The clients.
#[derive(Debug)]
pub(super) struct Clients {
    running: BTreeMap<u32, Client>,
    reports: mpsc::Sender<(u32, Report)>,
    hostname: Option<String>,
}

#[derive(Debug)]
struct Client {
    commands: mpsc::Sender<Command>,
    mac: Mac,
}

impl Clients {
    /// None yet, and where their reports arrive. `hostname` is told to servers.
    pub(super) fn new(hostname: Option<String>) -> (Self, mpsc::Receiver<(u32, Report)>) {
        let (reports, incoming) = mpsc::channel(QUEUE);
        let clients = Self {
            running: BTreeMap::new(),
            reports,
            hostname,
        };
        (clients, incoming)
    }

    /// Starts a client for a link that has none, or whose hardware address (its identity) is another now. True when
    /// it has to be told about the carrier.
    pub(super) fn start(&mut self, link: &Link) -> bool {
        let mac = link.mac.unwrap_or_default();
        if self.running.get(&link.index).is_some_and(|client| client.mac == mac) {
            return false;
        }
        let (commands, receiver) = mpsc::channel(QUEUE);
        let target = Target {
            link: link.index,
            name: link.name.clone(),
            identity: Identity {
                mac: mac.0,
                hostname: self.hostname.clone(),
            },
        };
        tokio::spawn(task::run(target, receiver, self.reports.clone()));
        self.running.insert(link.index, Client { commands, mac });
        true
    }

    /// Ends the client of a link.
    pub(super) fn stop(&mut self, index: u32) {
        self.running.remove(&index);
    }

    /// Tells a link's client, if it has one, that there is a carrier and the address it has, or that there is none.
    pub(super) fn tell(&self, index: u32, carrier: Option<Option<Ipv4Addr>>) {
        let command = carrier.map_or(Command::NoCarrier, Command::Carrier);
        if let Some(client) = self.running.get(&index) {
            // A full queue means a client that is stuck on sixteen changes of carrier; the next one
            // will reach it.
            let _ = client.commands.try_send(command);
        }
    }
}
