//! The DHCP client as a state machine: `step(now, event) → actions`, and the time of the next step.
//!
//! ```text
//!            carrier                offer              ack
//! Stopped ───────────▶ Selecting ─────────▶ Requesting ───▶ Bound ──T1──▶ Renewing ──T2──▶ Rebinding
//!    │                    ▲  ▲                  │ nak,        ▲               │ ack            │ ack
//!    │ carrier, old lease │  └──────────────────┘ silence     └───────────────┴────────────────┘
//!    └──▶ Rebooting ──────┘ nak, silence                       nak, expiry: lease lost ▶ Selecting
//! ```
//!
//! Pure: no clock, no socket, randomness from its own seeded generator.

pub use super::event::{Action, Destination, Event, Identity, Reason};
use super::lease::Lease;
use super::packet::{Direction, Kind, Packet, code};
use crate::random::Random;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// First wait for an answer: the first packets over a link that just came up are often lost.
const FIRST_WAIT: Duration = Duration::from_millis(300);
/// Second wait, then doubled up to [`LONGEST_WAIT`]. RFC 2131 begins at four seconds, which a machine
/// that boots in less cannot afford.
const SECOND_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// Tries before an offer, or the lease of another time, is given up.
const REQUEST_TRIES: u32 = 4;
/// Shortest time between renewals (RFC 2131 section 4.4.5).
const SHORTEST_RENEWAL_WAIT: Duration = Duration::from_secs(60);
const JITTER_PERCENT: u32 = 10;
/// Largest message we take: what fits an ethernet frame.
const MAX_SIZE: u16 = 1472;
const PARAMETERS: [u8; 13] = [
    code::SUBNET_MASK,
    code::CLASSLESS_ROUTES,
    code::ROUTER,
    code::DNS,
    code::DOMAIN,
    code::SEARCH,
    code::HOSTNAME,
    code::MTU,
    code::NTP,
    code::LEASE_TIME,
    code::RENEWAL_TIME,
    code::REBINDING_TIME,
    code::SERVER,
];

/// A lease with the times that count for it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    lease: Lease,
    renew: Instant,
    rebind: Instant,
    /// None: never.
    expire: Option<Instant>,
}

impl Held {
    fn new(lease: Lease, since: Instant) -> Self {
        let (renew, rebind) = (since + lease.renew, since + lease.rebind);
        let expire = lease.duration.map(|duration| since + duration);
        Self {
            lease,
            renew,
            rebind,
            expire,
        }
    }
}

/// A request waiting for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Try {
    number: u32,
    next: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Stopped {
        held: Option<Held>,
    },
    Selecting(Try),
    Requesting {
        offer: Lease,
        sent: Instant,
        wait: Try,
    },
    Rebooting {
        address: Ipv4Addr,
        held: Option<Held>,
        sent: Instant,
        wait: Try,
    },
    Bound(Held),
    Renewing {
        held: Held,
        sent: Instant,
        next: Instant,
    },
    Rebinding {
        held: Held,
        sent: Instant,
        next: Instant,
    },
}

/// A client for one link.
#[derive(Debug)]
pub struct Client {
    identity: Identity,
    random: Random,
    transaction: u32,
    began: Instant,
    state: State,
}

impl Client {
    /// A client that waits for a carrier.
    pub fn new(identity: Identity, random: Random, now: Instant) -> Self {
        let state = State::Stopped { held: None };
        Self {
            identity,
            random,
            transaction: 0,
            began: now,
            state,
        }
    }

    /// When [`Event::Deadline`] is due; None: never.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Stopped { .. } => None,
            State::Selecting(wait) | State::Requesting { wait, .. } | State::Rebooting { wait, .. } => Some(wait.next),
            State::Bound(held) => held.expire.map(|_| held.renew),
            State::Renewing { held, next, .. } => Some((*next).min(held.rebind)),
            State::Rebinding { held, next, .. } => Some(held.expire.map_or(*next, |end| end.min(*next))),
        }
    }

    /// True while packets come and go without an address, on the raw link.
    pub fn wants_raw_link(&self) -> bool {
        matches!(
            self.state,
            State::Selecting(_) | State::Requesting { .. } | State::Rebooting { .. }
        )
    }

    /// The address the client speaks from, while it renews a lease.
    pub fn wants_address(&self) -> Option<Ipv4Addr> {
        match &self.state {
            State::Renewing { held, .. } | State::Rebinding { held, .. } => Some(held.lease.address),
            _ => None,
        }
    }

    /// Does what the event asks for.
    pub fn step(&mut self, now: Instant, event: Event<'_>) -> Vec<Action> {
        match event {
            Event::Carrier { previous } => self.carrier(now, previous),
            Event::NoCarrier => self.no_carrier(),
            Event::Packet(packet) => self.packet(now, packet),
            Event::Deadline => match self.deadline() {
                Some(deadline) if deadline <= now => self.overdue(now),
                _ => Vec::new(),
            },
        }
    }

    fn carrier(&mut self, now: Instant, previous: Option<Ipv4Addr>) -> Vec<Action> {
        let State::Stopped { held } = &mut self.state else {
            return Vec::new();
        };
        let held = held.take().filter(|held| held.expire.is_none_or(|end| end > now));
        self.begin(now);
        match held.as_ref().map(|held| held.lease.address).or(previous) {
            Some(address) => self.reboot(now, address, held, 0),
            None => self.discover(now, 0),
        }
    }

    /// The lease is kept: its address is asked for again when the carrier is back.
    fn no_carrier(&mut self) -> Vec<Action> {
        let state = std::mem::replace(&mut self.state, State::Stopped { held: None });
        let held = match state {
            State::Stopped { held } | State::Rebooting { held, .. } => held,
            State::Bound(held) | State::Renewing { held, .. } | State::Rebinding { held, .. } => Some(held),
            State::Selecting(_) | State::Requesting { .. } => None,
        };
        self.state = State::Stopped { held };
        Vec::new()
    }

    fn packet(&mut self, now: Instant, packet: &Packet) -> Vec<Action> {
        let ours = packet.direction == Direction::Reply
            && packet.transaction == self.transaction
            && packet.mac == self.identity.mac;
        match packet.kind() {
            Some(Kind::Offer) if ours => self.offer(now, packet),
            Some(Kind::Ack) if ours => self.granted(now, packet),
            Some(Kind::Nak) if ours => self.refused(now, packet),
            _ => Vec::new(),
        }
    }

    fn offer(&mut self, now: Instant, packet: &Packet) -> Vec<Action> {
        match (&self.state, Lease::from_packet(packet)) {
            (State::Selecting(_), Ok(offer)) => self.request(now, offer, 0),
            (State::Selecting(_), Err(error)) => {
                log::info!(reason:% = error; "DHCP offer ignored");
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn granted(&mut self, now: Instant, packet: &Packet) -> Vec<Action> {
        let lease = match Lease::from_packet(packet) {
            Ok(lease) => lease,
            Err(error) => {
                log::info!(reason:% = error; "DHCP lease ignored");
                return Vec::new();
            }
        };
        let since = match &self.state {
            State::Requesting { offer, sent, .. } if offer.server == lease.server => *sent,
            State::Rebooting { sent, .. } | State::Renewing { sent, .. } | State::Rebinding { sent, .. } => *sent,
            _ => return Vec::new(),
        };
        let mut actions = Vec::new();
        let old = self.held().map(|held| held.lease.address);
        if old.is_some_and(|address| address != lease.address) {
            actions.push(Action::Deconfigure(Reason::Refused));
        }
        self.state = State::Bound(Held::new(lease.clone(), since.min(now)));
        actions.push(Action::Configure(lease));
        actions
    }

    fn refused(&mut self, now: Instant, packet: &Packet) -> Vec<Action> {
        if let State::Requesting { offer, .. } = &self.state {
            let server = packet.options.get(&code::SERVER).map(Vec::as_slice);
            if server.is_some_and(|server| server != offer.server.octets()) {
                return Vec::new();
            }
        }
        let (lost, delay) = match &self.state {
            State::Requesting { .. } => (false, SECOND_WAIT),
            State::Rebooting { .. } => (true, Duration::ZERO),
            State::Renewing { .. } | State::Rebinding { .. } => (true, Duration::ZERO),
            _ => return Vec::new(),
        };
        self.start_over(now, lost.then_some(Reason::Refused), delay)
    }

    fn overdue(&mut self, now: Instant) -> Vec<Action> {
        match self.state.clone() {
            State::Stopped { .. } => Vec::new(),
            State::Selecting(wait) => self.discover(now, wait.number),
            State::Requesting { offer, wait, .. } if wait.number < REQUEST_TRIES => {
                self.request(now, offer, wait.number)
            }
            State::Requesting { .. } => self.start_over(now, None, Duration::ZERO),
            State::Rebooting {
                address, held, wait, ..
            } if wait.number < REQUEST_TRIES => self.reboot(now, address, held, wait.number),
            // Another network, or no server: the address stays until it expires or another is granted.
            State::Rebooting { .. } => self.start_over(now, None, Duration::ZERO),
            State::Bound(held) => {
                self.begin(now);
                self.renew(now, held)
            }
            State::Renewing { held, .. } if now < held.rebind => self.renew(now, held),
            State::Renewing { held, .. } => {
                self.begin(now);
                self.rebind(now, held)
            }
            State::Rebinding { held, .. } if held.expire.is_none_or(|end| now < end) => self.rebind(now, held),
            State::Rebinding { .. } => self.start_over(now, Some(Reason::Expired), Duration::ZERO),
        }
    }

    /// Back to the beginning; the first message goes out after `delay`.
    fn start_over(&mut self, now: Instant, lost: Option<Reason>, delay: Duration) -> Vec<Action> {
        self.begin(now);
        let mut actions: Vec<_> = lost.map(Action::Deconfigure).into_iter().collect();
        if delay.is_zero() {
            actions.extend(self.discover(now, 0));
        } else {
            self.state = State::Selecting(Try {
                number: 0,
                next: now + delay,
            });
        }
        actions
    }

    fn discover(&mut self, now: Instant, tries: u32) -> Vec<Action> {
        let packet = self.packet_of(Kind::Discover, now);
        self.state = State::Selecting(self.wait(now, tries));
        vec![Action::Send(packet, Destination::Link)]
    }

    fn request(&mut self, now: Instant, offer: Lease, tries: u32) -> Vec<Action> {
        let mut packet = self.packet_of(Kind::Request, now);
        packet
            .options
            .insert(code::REQUESTED_ADDRESS, offer.address.octets().to_vec());
        packet.options.insert(code::SERVER, offer.server.octets().to_vec());
        self.state = State::Requesting {
            offer,
            sent: now,
            wait: self.wait(now, tries),
        };
        vec![Action::Send(packet, Destination::Link)]
    }

    fn reboot(&mut self, now: Instant, address: Ipv4Addr, held: Option<Held>, tries: u32) -> Vec<Action> {
        let mut packet = self.packet_of(Kind::Request, now);
        packet
            .options
            .insert(code::REQUESTED_ADDRESS, address.octets().to_vec());
        self.state = State::Rebooting {
            address,
            held,
            sent: now,
            wait: self.wait(now, tries),
        };
        vec![Action::Send(packet, Destination::Link)]
    }

    fn renew(&mut self, now: Instant, held: Held) -> Vec<Action> {
        let mut packet = self.packet_of(Kind::Request, now);
        packet.client = held.lease.address;
        let to = Destination::Server {
            from: held.lease.address,
            to: held.lease.server,
        };
        let next = now + half_the_rest(now, Some(held.rebind));
        self.state = State::Renewing { held, sent: now, next };
        vec![Action::Send(packet, to)]
    }

    fn rebind(&mut self, now: Instant, held: Held) -> Vec<Action> {
        let mut packet = self.packet_of(Kind::Request, now);
        packet.client = held.lease.address;
        let to = Destination::Everyone(held.lease.address);
        let next = now + half_the_rest(now, held.expire);
        self.state = State::Rebinding { held, sent: now, next };
        vec![Action::Send(packet, to)]
    }

    /// Begins a transaction.
    fn begin(&mut self, now: Instant) {
        self.began = now;
        self.transaction = self.random.next_u32();
    }

    fn packet_of(&self, kind: Kind, now: Instant) -> Packet {
        let mut packet = Packet::request(kind, self.transaction, self.identity.mac);
        let seconds = now.saturating_duration_since(self.began).as_secs();
        packet.seconds = u16::try_from(seconds).unwrap_or(u16::MAX);
        let client_id = [&[1][..], &self.identity.mac].concat();
        packet.options.insert(code::CLIENT_ID, client_id);
        packet.options.insert(code::PARAMETERS, PARAMETERS.to_vec());
        packet.options.insert(code::MAX_SIZE, MAX_SIZE.to_be_bytes().to_vec());
        if let Some(hostname) = &self.identity.hostname {
            packet.options.insert(code::HOSTNAME, hostname.clone().into_bytes());
        }
        packet
    }

    fn wait(&mut self, now: Instant, tries: u32) -> Try {
        let base = match tries {
            0 => FIRST_WAIT,
            tries => (SECOND_WAIT * 2u32.saturating_pow((tries - 1).min(10))).min(LONGEST_WAIT),
        };
        Try {
            number: tries.saturating_add(1),
            next: now + self.random.around(base, JITTER_PERCENT),
        }
    }

    fn held(&self) -> Option<&Held> {
        match &self.state {
            State::Stopped { held } | State::Rebooting { held, .. } => held.as_ref(),
            State::Bound(held) | State::Renewing { held, .. } | State::Rebinding { held, .. } => Some(held),
            State::Selecting(_) | State::Requesting { .. } => None,
        }
    }
}

/// Half of the time that is left, but not less than a minute.
fn half_the_rest(now: Instant, end: Option<Instant>) -> Duration {
    let rest = end.map_or(LONGEST_WAIT * 60, |end| end.saturating_duration_since(now));
    (rest / 2).max(SHORTEST_RENEWAL_WAIT)
}

#[cfg(test)]
#[path = "client_test.rs"]
mod tests;
