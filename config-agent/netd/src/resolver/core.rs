//! The resolver's state and the one path from a query to a response.

use super::answer::{self, Decision};
use super::cache::{Answer, Cache, Key};
use super::frame::Body;
use super::records::{RecordError, Records, SessionId};
use super::upstream::{self, Health, PATIENCE};
use crate::network::state::Summary;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use serde::Serialize;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::watch;

/// How the response travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram of limited size.
    Datagram,
    /// In a stream.
    Stream,
}

/// Who asks, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// Address of the client.
    pub client: IpAddr,
    /// Address of ours it asks at.
    pub at: IpAddr,
}

/// Figures for the status file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Figures {
    /// Queries taken.
    pub queries: u64,
    /// Of those, answered from the cache.
    pub cached: u64,
    /// Of those, answered although no server was reached.
    pub stale: u64,
    /// Of those, not answered because no server was reached.
    pub failed: u64,
    /// Of those, from strangers.
    pub refused: u64,
}

/// The resolver. Its tasks share it within one thread; no borrow is held over a wait.
#[derive(Debug)]
pub struct Core {
    records: RefCell<Records>,
    cache: RefCell<Cache>,
    health: RefCell<Health>,
    figures: RefCell<Figures>,
    under_way: RefCell<HashMap<Key, watch::Receiver<Option<Answer>>>>,
    networks: watch::Receiver<Summary>,
    gateways: watch::Sender<BTreeSet<IpAddr>>,
}

impl Core {
    /// A resolver that asks the servers of `networks`.
    pub fn new(networks: watch::Receiver<Summary>) -> Rc<Self> {
        Rc::new(Self {
            records: RefCell::default(),
            cache: RefCell::default(),
            health: RefCell::default(),
            figures: RefCell::default(),
            under_way: RefCell::default(),
            networks,
            gateways: watch::Sender::default(),
        })
    }

    /// The response to the message in `bytes`; None when there is to be none.
    pub async fn respond(self: &Rc<Self>, bytes: &[u8], asker: Asker, transport: Transport) -> Option<Vec<u8>> {
        let request = match Message::from_vec(bytes) {
            Ok(message) => message,
            Err(_) => return malformed(bytes),
        };
        self.figures.borrow_mut().queries += 1;
        let answer = match answer::check(&request)? {
            Err(code) => Answer::empty(code),
            Ok(query) => match self.decide(&request, query, asker) {
                Decision::Reply(answer) => answer,
                Decision::Forward(key) => self.look_up(key).await,
            },
        };
        if answer.code == ResponseCode::Refused {
            self.figures.borrow_mut().refused += 1;
        }
        let limit = (transport == Transport::Datagram).then(|| answer::datagram_limit(&request));
        answer::respond(&request, answer, limit)
    }

    fn decide(&self, request: &Message, query: &hickory_proto::op::Query, asker: Asker) -> Decision {
        let records = self.records.borrow();
        let view = if asker.at.is_loopback() {
            Some(records.host_view(asker.client))
        } else {
            records.view(asker.client, asker.at)
        };
        answer::decide(request, query, view.as_ref())
    }

    async fn look_up(self: &Rc<Self>, key: Key) -> Answer {
        if let Some(answer) = self.cache.borrow().fresh(Instant::now(), &key) {
            self.figures.borrow_mut().cached += 1;
            return answer;
        }
        let mut result = self.join_or_begin(&key);
        let answer = result
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|answer| answer.clone());
        answer.unwrap_or_else(|| self.fall_back(&key))
    }

    /// The same question is asked of the servers only once at a time.
    fn join_or_begin(self: &Rc<Self>, key: &Key) -> watch::Receiver<Option<Answer>> {
        if let Some(result) = self.under_way.borrow().get(key) {
            return result.clone();
        }
        let (sender, receiver) = watch::channel(None);
        self.under_way.borrow_mut().insert(key.clone(), receiver.clone());
        let (core, key) = (Rc::clone(self), key.clone());
        tokio::task::spawn_local(async move {
            let answer = core.ask(&key).await;
            core.under_way.borrow_mut().remove(&key);
            if let Some(answer) = answer {
                core.cache.borrow_mut().insert(Instant::now(), key, answer.clone());
                sender.send_replace(Some(answer));
            }
        });
        receiver
    }

    async fn ask(&self, key: &Key) -> Option<Answer> {
        let servers = self.servers().await?;
        let ordered = self.health.borrow().order(Instant::now(), &servers);
        upstream::ask(&ordered, key, |server, good| {
            self.health.borrow_mut().note(Instant::now(), server, good);
        })
        .await
    }

    /// The upstream servers; waits for the first lease when there is none yet.
    async fn servers(&self) -> Option<Vec<SocketAddr>> {
        let mut networks = self.networks.clone();
        let known = tokio::time::timeout(PATIENCE, networks.wait_for(|summary| !summary.dns.is_empty()));
        Some(known.await.ok()?.ok()?.dns.clone())
    }

    /// No server could be reached: what was known, or "try again", never "there is none".
    fn fall_back(&self, key: &Key) -> Answer {
        let stale = self.cache.borrow().stale(Instant::now(), key);
        let mut figures = self.figures.borrow_mut();
        match stale {
            Some(answer) => {
                figures.stale += 1;
                answer
            }
            None => {
                figures.failed += 1;
                Answer::empty(ResponseCode::ServFail)
            }
        }
    }

    /// Addresses of a name outside, IPv4 first; none when it has none or nobody can be asked.
    pub async fn addresses_of(self: &Rc<Self>, name: &str) -> Vec<IpAddr> {
        let Ok(name) = Name::from_ascii(format!("{}.", name.trim_end_matches('.'))) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            let key = Key {
                name: name.to_lowercase(),
                kind,
                dnssec: false,
                checking_disabled: false,
            };
            let answer = self.look_up(key).await;
            found.extend(answer.answers.iter().filter_map(|record| record.data.ip_addr()));
        }
        found
    }

    /// A connection of an owner of records begins.
    pub fn open_session(&self, name: Option<String>) -> SessionId {
        self.records.borrow_mut().open(name)
    }

    /// It ends.
    pub fn close_session(&self, id: SessionId) {
        self.records.borrow_mut().close(id, Instant::now());
        self.publish_gateways();
    }

    /// Carries out a request of an owner.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn apply(&self, id: SessionId, body: Body) -> Result<(), RecordError> {
        let outcome = self.records.borrow_mut().apply(id, body);
        self.publish_gateways();
        outcome
    }

    /// Addresses to listen at, beside loopback.
    pub fn gateways(&self) -> watch::Receiver<BTreeSet<IpAddr>> {
        self.gateways.subscribe()
    }

    /// Figures so far, with the number of records and of cached answers.
    pub fn figures(&self) -> (Figures, usize, usize) {
        (
            *self.figures.borrow(),
            self.records.borrow().len(),
            self.cache.borrow().len(),
        )
    }

    /// Forgets what has outlived its time: sessions nobody came back for, answers of a network the
    /// machine left. Never ends.
    pub async fn keep_house(&self) {
        let mut networks = self.networks.clone();
        let mut known = Vec::new();
        loop {
            let dns = networks.borrow_and_update().dns.clone();
            if !dns.is_empty() && dns != known {
                self.cache.borrow_mut().clear();
                known = dns;
            }
            self.records.borrow_mut().expire(Instant::now());
            self.publish_gateways();
            let end = self.records.borrow().next_end();
            let pause = tokio::time::Duration::from_secs(60);
            let next = end
                .unwrap_or_else(|| Instant::now() + pause)
                .min(Instant::now() + pause);
            tokio::select! {
                changed = networks.changed() => if changed.is_err() { return std::future::pending().await },
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
    }

    fn publish_gateways(&self) {
        let gateways = self.records.borrow().gateways();
        self.gateways.send_if_modified(|old| {
            let changed = *old != gateways;
            *old = gateways;
            changed
        });
    }
}

/// "Format error" for something that has at least the header of a query.
fn malformed(bytes: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const RESPONSE: u8 = 0x80;
    let header = bytes
        .first_chunk::<HEADER>()
        .filter(|header| header[2] & RESPONSE == 0)?;
    let id = u16::from_be_bytes([header[0], header[1]]);
    let mut message = Message::new(id, MessageType::Response, OpCode::Query);
    message.metadata.response_code = ResponseCode::FormErr;
    message.to_vec().ok()
}
