//! Runs the client of one link: feeds it packets and deadlines, carries out what it decides.

use super::client::{Action, Client, Destination, Event, Identity, Reason};
use super::lease::Lease;
use super::packet::Packet;
use super::socket::{self, RawLink};
use crate::random::Random;
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// After a socket failed, so long nothing is tried.
const PAUSE: Duration = Duration::from_secs(1);

/// What the owner of the link tells the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// There is a carrier; the address the link has already.
    Carrier(Option<Ipv4Addr>),
    /// There is none.
    NoCarrier,
}

/// What the client tells the owner of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Set the link up by this lease.
    Configure(Lease),
    /// Take the address away.
    Deconfigure(Reason),
}

/// The link a client works on.
#[derive(Debug, Clone)]
pub struct Target {
    /// Index.
    pub link: u32,
    /// Name.
    pub name: String,
    /// Who asks.
    pub identity: Identity,
}

/// Runs until the owner drops its end of `commands`. Reports carry the link's index.
pub async fn run(target: Target, mut commands: mpsc::Receiver<Command>, reports: mpsc::Sender<(u32, Report)>) {
    let mut client = Client::new(target.identity.clone(), Random::from_kernel(), Instant::now());
    let mut wire = Wire::Closed;
    loop {
        if let Err(error) = wire.follow(&client, &target).await {
            log::warn!(link = target.name, error:% = error; "DHCP socket failed");
            wire = Wire::Closed;
            tokio::time::sleep(PAUSE).await;
        }
        let deadline = client.deadline();
        let actions = tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Carrier(previous)) => client.step(Instant::now(), Event::Carrier { previous }),
                Some(Command::NoCarrier) => client.step(Instant::now(), Event::NoCarrier),
                None => return,
            },
            received = wire.receive() => match received {
                Ok(bytes) => receive(&mut client, &bytes),
                Err(error) => {
                    log::debug!(link = target.name, error:% = error; "DHCP socket failed");
                    wire = Wire::Closed;
                    tokio::time::sleep(PAUSE).await;
                    Vec::new()
                }
            },
            () = until(deadline) => client.step(Instant::now(), Event::Deadline),
        };
        for action in actions {
            if !act(action, &client, &mut wire, &target, &reports).await {
                return;
            }
        }
    }
}

fn receive(client: &mut Client, bytes: &[u8]) -> Vec<Action> {
    match Packet::parse(bytes) {
        Ok(packet) => client.step(Instant::now(), Event::Packet(&packet)),
        Err(error) => {
            log::debug!(reason:% = error; "DHCP packet ignored");
            Vec::new()
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// False when nobody listens any more.
async fn act(
    action: Action,
    client: &Client,
    wire: &mut Wire,
    target: &Target,
    reports: &mpsc::Sender<(u32, Report)>,
) -> bool {
    let report = match action {
        Action::Configure(lease) => Report::Configure(lease),
        Action::Deconfigure(reason) => Report::Deconfigure(reason),
        Action::Send(packet, to) => {
            let sent = match wire.follow(client, target).await {
                Ok(()) => wire.send(&packet.encode(), to).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                log::info!(link = target.name, error:% = error; "DHCP packet not sent");
            }
            return true;
        }
    };
    reports.send((target.link, report)).await.is_ok()
}

/// The socket that fits the client's state; only one is open, and none while the lease is at rest.
enum Wire {
    Closed,
    Raw(RawLink),
    Bound(Ipv4Addr, UdpSocket),
}

impl Wire {
    async fn follow(&mut self, client: &Client, target: &Target) -> io::Result<()> {
        match (client.wants_raw_link(), client.wants_address(), &*self) {
            (true, _, Self::Raw(_)) | (false, None, Self::Closed) => {}
            (true, _, _) => *self = Self::Raw(RawLink::open(target.link)?),
            (false, Some(address), Self::Bound(bound, _)) if *bound == address => {}
            (false, Some(address), _) => {
                *self = Self::Closed;
                *self = Self::Bound(address, socket::open_bound(&target.name, address).await?);
            }
            (false, None, _) => *self = Self::Closed,
        }
        Ok(())
    }

    async fn send(&self, payload: &[u8], to: Destination) -> io::Result<()> {
        match (self, to) {
            (Self::Raw(link), Destination::Link) => link.send(payload),
            (Self::Bound(_, socket), Destination::Server { to, .. }) => socket::send_bound(socket, to, payload).await,
            (Self::Bound(_, socket), Destination::Everyone(_)) => {
                socket::send_bound(socket, Ipv4Addr::BROADCAST, payload).await
            }
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    async fn receive(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Closed => std::future::pending().await,
            Self::Raw(link) => link.receive().await,
            Self::Bound(_, socket) => socket::receive_bound(socket).await,
        }
    }
}
