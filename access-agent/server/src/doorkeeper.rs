//! Whether a new connection is let in: bounds on how many there are, and a growing wait for addresses that fail to log
//! in. Pure; bounded in memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections that have not logged in, in all.
    pub strangers: usize,
    /// The same from one address.
    pub strangers_each: usize,
    /// An address is kept out once it has collected this much to wait.
    pub tolerance: Duration,
    /// The most an address has to wait.
    pub longest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            strangers: 16,
            strangers_each: 6,
            tolerance: Duration::from_secs(15),
            longest: Duration::from_mins(10),
        }
    }
}

/// Addresses whose behaviour is remembered.
const REMEMBERED: usize = 4096;

/// How a connection ended, as far as logging in goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Somebody was logged in.
    Welcome,
    /// No key was tried.
    Silent,
    /// Keys or passwords were refused.
    Refused,
    /// The time to log in passed.
    Late,
}

impl Ending {
    /// What it adds to the address's wait.
    fn penalty(self) -> Duration {
        Duration::from_secs(match self {
            Ending::Welcome => 0,
            Ending::Silent => 1,
            Ending::Refused => 5,
            Ending::Late => 10,
        })
    }
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// There are as many as there may be.
    Full,
    /// Too many that have not logged in.
    TooManyStrangers,
    /// The address has failed too often.
    Waiting {
        /// For so long.
        left: Duration,
        /// Whether this is the first time it is told.
        first: bool,
    },
}

/// The network a penalty counts for: an IPv4 address, or the /64 that one IPv6 host may have to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Origin(IpAddr);

impl Origin {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(IpAddr::V6((address.to_bits() >> 64 << 64).into())),
            address => Self(address),
        }
    }
}

#[derive(Debug, Default)]
struct Standing {
    /// Connections that have not logged in.
    strangers: usize,
    /// The wait that was collected ends here.
    until: Option<Instant>,
    told: bool,
}

/// Keeps count.
#[derive(Debug)]
pub struct Doorkeeper {
    limits: Limits,
    connections: usize,
    strangers: usize,
    origins: HashMap<Origin, Standing>,
}

impl Doorkeeper {
    /// Nobody is here.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            connections: 0,
            strangers: 0,
            origins: HashMap::new(),
        }
    }

    /// A connection comes: lets it in, as a stranger, or not.
    ///
    /// # Errors
    /// See [`Turned`].
    pub fn arrive(&mut self, now: Instant, address: IpAddr) -> Result<(), Turned> {
        self.forget(now);
        let standing = self.origins.entry(Origin::of(address)).or_default();
        let left = standing
            .until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        if left > self.limits.tolerance {
            let first = !std::mem::replace(&mut standing.told, true);
            return Err(Turned::Waiting { left, first });
        }
        if self.connections >= self.limits.connections {
            return Err(Turned::Full);
        }
        if self.strangers >= self.limits.strangers || standing.strangers >= self.limits.strangers_each {
            return Err(Turned::TooManyStrangers);
        }
        standing.told = false;
        standing.strangers += 1;
        self.strangers += 1;
        self.connections += 1;
        Ok(())
    }

    /// Somebody logged in on a connection that was let in.
    pub fn welcome(&mut self, address: IpAddr) {
        self.strangers = self.strangers.saturating_sub(1);
        if let Some(standing) = self.origins.get_mut(&Origin::of(address)) {
            standing.strangers = standing.strangers.saturating_sub(1);
            standing.until = None;
        }
    }

    /// A connection that was let in is over.
    pub fn leave(&mut self, now: Instant, address: IpAddr, ending: Ending) {
        self.connections = self.connections.saturating_sub(1);
        if ending == Ending::Welcome {
            return;
        }
        self.strangers = self.strangers.saturating_sub(1);
        let standing = self.origins.entry(Origin::of(address)).or_default();
        standing.strangers = standing.strangers.saturating_sub(1);
        let from = standing.until.map_or(now, |until| until.max(now));
        standing.until = Some((from + ending.penalty()).min(now + self.limits.longest));
    }

    /// Drops what no longer matters; with too many addresses, also the shortest waits.
    fn forget(&mut self, now: Instant) {
        if self.origins.len() < REMEMBERED {
            return;
        }
        self.origins
            .retain(|_, standing| standing.strangers > 0 || standing.until.is_some_and(|until| until > now));
        if self.origins.len() >= REMEMBERED {
            let mut ends: Vec<Instant> = self.origins.values().filter_map(|standing| standing.until).collect();
            ends.sort_unstable();
            let middle = ends.get(ends.len() / 2).copied();
            self.origins
                .retain(|_, standing| standing.strangers > 0 || standing.until > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn failures_add_up_until_an_address_has_to_wait() {
        let start = Instant::now();
        let mut door = Doorkeeper::new(Limits::default());
        for _ in 0..4 {
            door.arrive(start, ONE).unwrap();
            door.leave(start, ONE, Ending::Refused);
        }
        let (left, first) = (Duration::from_secs(20), true);
        assert_eq!(door.arrive(start, ONE), Err(Turned::Waiting { left, first }));
        assert!(matches!(
            door.arrive(start, ONE),
            Err(Turned::Waiting { first: false, .. })
        ));
        assert_eq!(door.arrive(start, TWO), Ok(()));
        assert_eq!(door.arrive(after(start, 6), ONE), Ok(()));
    }

    #[test]
    fn whoever_logs_in_is_forgiven() {
        let start = Instant::now();
        let mut door = Doorkeeper::new(Limits::default());
        for _ in 0..3 {
            door.arrive(start, ONE).unwrap();
            door.leave(start, ONE, Ending::Refused);
        }
        door.arrive(start, ONE).unwrap();
        door.welcome(ONE);
        door.leave(start, ONE, Ending::Welcome);
        for _ in 0..3 {
            door.arrive(start, ONE).unwrap();
            door.leave(start, ONE, Ending::Refused);
        }
        assert_eq!(door.arrive(start, ONE), Ok(()));
    }

    #[test]
    fn the_wait_is_bounded() {
        let start = Instant::now();
        let limits = Limits {
            tolerance: Duration::MAX,
            ..Limits::default()
        };
        let mut door = Doorkeeper::new(limits);
        for _ in 0..1000 {
            door.arrive(start, ONE).unwrap();
            door.leave(start, ONE, Ending::Late);
        }
        door.limits = Limits::default();
        assert!(door.arrive(after(start, 584), ONE).is_err());
        assert_eq!(door.arrive(after(start, 586), ONE), Ok(()));
    }

    #[test]
    fn strangers_and_connections_are_bounded() {
        let start = Instant::now();
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut door = Doorkeeper::new(Limits::default());
        for _ in 0..6 {
            door.arrive(start, ONE).unwrap();
        }
        assert_eq!(door.arrive(start, ONE), Err(Turned::TooManyStrangers));
        for last in 10..20 {
            door.arrive(start, address(last)).unwrap();
        }
        assert_eq!(door.arrive(start, TWO), Err(Turned::TooManyStrangers));
        door.welcome(ONE);
        door.arrive(start, ONE).unwrap();
        for _ in 17..64 {
            door.welcome(ONE);
            door.arrive(start, ONE).unwrap();
        }
        door.welcome(ONE);
        assert_eq!(door.arrive(start, ONE), Err(Turned::Full));
    }

    #[test]
    fn a_host_with_many_addresses_is_one_host() {
        let start = Instant::now();
        let mut door = Doorkeeper::new(Limits::default());
        for host in 1..=4_u16 {
            let address = IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
            door.arrive(start, address).unwrap();
            door.leave(start, address, Ending::Refused);
        }
        assert!(
            door.arrive(start, IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9]))
                .is_err()
        );
        assert!(
            door.arrive(start, IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]))
                .is_ok()
        );
        // The same machine, whichever of the two kinds of socket it came through.
        assert_eq!(Origin::of("::ffff:192.0.2.1".parse().unwrap()), Origin::of(ONE));
    }

    proptest! {
        #[test]
        fn memory_is_bounded(addresses in proptest::collection::vec(any::<u32>(), 1..20_000)) {
            let start = Instant::now();
            let mut door = Doorkeeper::new(Limits::default());
            for bits in addresses {
                let address = IpAddr::from(bits.to_be_bytes());
                if door.arrive(start, address).is_ok() {
                    door.leave(start, address, Ending::Refused);
                }
                prop_assert!(door.origins.len() <= REMEMBERED + 1);
            }
            prop_assert_eq!((door.connections, door.strangers), (0, 0));
        }
    }
}
