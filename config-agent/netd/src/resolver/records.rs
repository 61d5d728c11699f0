//! The records that owners pushed: which names a client sees, and at which addresses we listen. Pure.

use super::frame::{Body, Network, Record};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long the records of a named session outlive its connection.
pub const GRACE: Duration = Duration::from_secs(60);
/// Records of all sessions together.
const MOST_RECORDS: usize = 100_000;
const MOST_NETWORKS: usize = 1_000;
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Key of a session, unique for the life of this program.
pub type SessionId = u64;

/// Why a request changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No such network in this session.
    #[error("there is no network {0:?} in this session")]
    Network(String),
    /// A name DNS cannot carry.
    #[error("{0:?} is not a name")]
    Name(String),
    /// Too much of it.
    #[error("more than {MOST_RECORDS} records or {MOST_NETWORKS} networks")]
    Full,
}

/// Everything that was pushed.
#[derive(Debug, Default)]
pub struct Records {
    sessions: BTreeMap<SessionId, Session>,
    next: SessionId,
    count: usize,
}

#[derive(Debug, Default)]
struct Session {
    name: Option<String>,
    networks: BTreeMap<String, Members>,
    /// Records older than this were pushed before the owner restarted.
    generation: u64,
    /// The connection ended at this time.
    orphaned: Option<Instant>,
}

#[derive(Debug)]
struct Members {
    network: Network,
    generation: u64,
    names: HashMap<String, Vec<Member>>,
    by_address: HashMap<IpAddr, Vec<Known>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    address: IpAddr,
    owner: String,
    generation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    name: String,
    owner: String,
}

/// What one client sees.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// Networks in the order they are searched: the one the client asks from first.
    networks: Vec<&'a Members>,
    /// Whether names outside may be asked for.
    pub forward: bool,
}

impl Records {
    /// A connection begins. A session of the same name is taken over with its records.
    pub fn open(&mut self, name: Option<String>) -> SessionId {
        self.next += 1;
        let id = self.next;
        let old = self.sessions.iter().find(|(_, old)| name.is_some() && old.name == name);
        let mut session = match old.map(|(id, _)| *id).and_then(|old| self.sessions.remove(&old)) {
            Some(session) => session,
            None => Session {
                name,
                ..Session::default()
            },
        };
        session.generation += 1;
        session.orphaned = None;
        self.sessions.insert(id, session);
        id
    }

    /// A connection ends.
    pub fn close(&mut self, id: SessionId, now: Instant) {
        match self.sessions.get_mut(&id) {
            Some(session) if session.name.is_some() => session.orphaned = Some(now),
            Some(_) => {
                self.sessions.remove(&id);
                self.recount();
            }
            // Taken over by a newer connection.
            None => {}
        }
    }

    /// Forgets sessions that nobody came back for; true when there were some.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = self.sessions.len();
        self.sessions
            .retain(|_, session| session.orphaned.is_none_or(|since| now < since + GRACE));
        self.recount();
        self.sessions.len() != before
    }

    /// When [`Records::expire`] has something to do.
    pub fn next_end(&self) -> Option<Instant> {
        self.sessions
            .values()
            .filter_map(|session| session.orphaned)
            .min()
            .map(|since| since + GRACE)
    }

    /// Carries out a request.
    ///
    /// # Errors
    /// [`RecordError`]; nothing has changed then.
    pub fn apply(&mut self, id: SessionId, body: Body) -> Result<(), RecordError> {
        let count = self.count;
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        match body {
            Body::SetNetwork { network } => session.set_network(network)?,
            Body::RemoveNetwork { name } => {
                session.networks.remove(&name);
            }
            Body::Add { records } if count + records.len() > MOST_RECORDS => return Err(RecordError::Full),
            Body::Add { records } => session.add(records)?,
            Body::Remove { records } => session.remove(&records),
            Body::Settled => session.settle(),
        }
        self.recount();
        Ok(())
    }

    fn recount(&mut self) {
        let members = self.sessions.values().flat_map(|session| session.networks.values());
        self.count = members.flat_map(|members| members.names.values()).map(Vec::len).sum();
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True when nobody pushed anything.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Addresses of this machine at which networks ask.
    pub fn gateways(&self) -> BTreeSet<IpAddr> {
        self.members()
            .flat_map(|members| members.network.gateways.iter().copied())
            .collect()
    }

    /// What the client with this address sees when it asks at `gateway`; None for a stranger.
    pub fn view(&self, client: IpAddr, gateway: IpAddr) -> Option<View<'_>> {
        let own = self.members().find(|members| {
            members.network.gateways.contains(&gateway)
                && members.network.subnets.iter().any(|subnet| subnet.contains(client))
        })?;
        Some(self.view_from(own, client))
    }

    /// What programs on the host see: networks that count loopback among their members.
    pub fn host_view(&self, client: IpAddr) -> View<'_> {
        let own = self
            .members()
            .find(|members| members.network.subnets.iter().any(|subnet| subnet.contains(client)));
        let forward = true;
        own.map_or(
            View {
                networks: Vec::new(),
                forward,
            },
            |own| View {
                networks: vec![own],
                forward,
            },
        )
    }

    fn view_from<'a>(&'a self, own: &'a Members, client: IpAddr) -> View<'a> {
        let owners: BTreeSet<_> = own
            .by_address
            .get(&client)
            .into_iter()
            .flatten()
            .map(|known| &known.owner)
            .collect();
        let others = self
            .members()
            .filter(|members| !std::ptr::eq(*members, own))
            .filter(|members| owners.iter().any(|owner| !owner.is_empty() && members.has_owner(owner)));
        let networks: Vec<_> = std::iter::once(own).chain(others).collect();
        // Docker's rule: one network that leads outside is enough.
        let forward = networks.iter().any(|members| members.network.forward);
        View { networks, forward }
    }

    fn members(&self) -> impl Iterator<Item = &Members> {
        self.sessions.values().flat_map(|session| session.networks.values())
    }
}

impl Session {
    fn set_network(&mut self, network: Network) -> Result<(), RecordError> {
        if !is_name(&network.name) {
            return Err(RecordError::Name(network.name));
        }
        let generation = self.generation;
        if self.networks.len() >= MOST_NETWORKS && !self.networks.contains_key(&network.name) {
            return Err(RecordError::Full);
        }
        match self.networks.get_mut(&network.name) {
            Some(members) => (members.network, members.generation) = (network, generation),
            None => {
                let name = network.name.clone();
                let (names, by_address) = (HashMap::new(), HashMap::new());
                self.networks.insert(
                    name,
                    Members {
                        network,
                        generation,
                        names,
                        by_address,
                    },
                );
            }
        }
        Ok(())
    }

    fn add(&mut self, records: Vec<Record>) -> Result<(), RecordError> {
        for record in &records {
            if !self.networks.contains_key(&record.network) {
                return Err(RecordError::Network(record.network.clone()));
            }
            if !is_name(&record.name) {
                return Err(RecordError::Name(record.name.clone()));
            }
        }
        for record in records {
            if let Some(members) = self.networks.get_mut(&record.network) {
                members.add(record, self.generation);
            }
        }
        Ok(())
    }

    fn remove(&mut self, records: &[Record]) {
        for record in records {
            if let Some(members) = self.networks.get_mut(&record.network) {
                let name = normal(&record.name);
                members.retain(|other, member| {
                    other != name || member.address != record.address || member.owner != record.owner
                });
            }
        }
    }

    fn settle(&mut self) {
        let generation = self.generation;
        self.networks.retain(|_, members| members.generation == generation);
        for members in self.networks.values_mut() {
            members.retain(|_, member| member.generation == generation);
        }
    }
}

impl Members {
    fn add(&mut self, record: Record, generation: u64) {
        let name = normal(&record.name);
        let members = self.names.entry(name.clone()).or_default();
        match members
            .iter_mut()
            .find(|member| member.address == record.address && member.owner == record.owner)
        {
            Some(member) => member.generation = generation,
            None => {
                members.push(Member {
                    address: record.address,
                    owner: record.owner.clone(),
                    generation,
                });
                let known = Known {
                    name,
                    owner: record.owner,
                };
                self.by_address.entry(record.address).or_default().push(known);
            }
        }
    }

    fn retain(&mut self, keep: impl Fn(&str, &Member) -> bool) {
        for (name, members) in &mut self.names {
            members.retain(|member| keep(name, member));
        }
        self.names.retain(|_, members| !members.is_empty());
        self.by_address.clear();
        for (name, members) in &self.names {
            for member in members {
                let known = Known {
                    name: name.clone(),
                    owner: member.owner.clone(),
                };
                self.by_address.entry(member.address).or_default().push(known);
            }
        }
    }

    fn has_owner(&self, owner: &str) -> bool {
        self.by_address.values().flatten().any(|known| known.owner == owner)
    }

    fn find(&self, name: &str) -> Option<&Vec<Member>> {
        let short = name
            .strip_suffix(self.network.name.as_str())
            .and_then(|name| name.strip_suffix('.'));
        self.names.get(name).or_else(|| self.names.get(short?))
    }
}

impl View<'_> {
    /// Addresses of a name; None when no network in view knows it. The first network that does decides.
    pub fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        let name = normal(name);
        let members = self.networks.iter().find_map(|members| members.find(&name))?;
        let mut addresses: Vec<_> = members.iter().map(|member| member.address).collect();
        addresses.dedup();
        Some(addresses)
    }

    /// A name for an address of a member, with the network's name behind it.
    pub fn name_of(&self, address: IpAddr) -> Option<String> {
        self.networks.iter().find_map(|members| {
            let known = members.by_address.get(&address)?.first()?;
            Some(format!("{}.{}", known.name, members.network.name))
        })
    }

    /// True for an address that is a member's or could be one: nobody outside is asked about it.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|members| members.network.subnets.iter().any(|subnet| subnet.contains(address)))
    }
}

fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Container names are wider than host names: anything printable without spaces, in labels DNS can
/// carry.
fn is_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic())
        && name.split('.').all(|label| (1..=LABEL_MAX).contains(&label.len()))
}

#[cfg(test)]
#[path = "records_test.rs"]
mod tests;
