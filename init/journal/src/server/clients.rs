//! Readers of the journal: each sends one query line and gets entries until it hangs up. A slow reader slows nobody:
//! its position stands still until it takes more.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::event::epoll::{self, EventData, EventFlags};

use crate::entry::Entry;
use crate::query::{self, Boots, Query};
use crate::render::render;
use crate::store::{Reader, Store};

/// Bytes prepared for a reader at a time.
const BUFFER_BYTES: usize = 64 << 10;
/// Entries looked at per turn and reader.
const TURN: usize = 2000;
/// Readers at a time.
const MOST_CLIENTS: usize = 64;

#[derive(Debug)]
struct Client {
    socket: UnixStream,
    request: Vec<u8>,
    answer: Option<Answer>,
    pending: VecDeque<u8>,
    done: bool,
}

#[derive(Debug)]
struct Answer {
    query: Query,
    boots: Boots,
    reader: Reader,
}

/// All readers.
#[derive(Debug, Default)]
pub struct Clients(BTreeMap<u64, Client>);

impl Clients {
    /// Takes a new connection; one too many is closed.
    pub fn insert(&mut self, token: u64, socket: UnixStream, epoll: &OwnedFd) {
        let room = self.0.len() < MOST_CLIENTS;
        if room && epoll::add(epoll, &socket, EventData::new_u64(token), EventFlags::IN).is_ok() {
            let client = Client {
                socket,
                request: Vec::new(),
                answer: None,
                pending: VecDeque::new(),
                done: false,
            };
            self.0.insert(token, client);
        }
    }

    /// Something can be read from or written to a reader.
    pub fn turn(&mut self, token: u64, store: &Store, epoll: &OwnedFd) {
        let Some(client) = self.0.get_mut(&token) else { return };
        let alive = client.take_request(store) && client.give(store);
        if alive {
            client.watch(token, epoll, store);
        } else {
            self.0.remove(&token);
        }
    }

    /// New entries may have come: whoever waited at the end gets them.
    pub fn wake_followers(&mut self, store: &Store, epoll: &OwnedFd) {
        let waiting = |client: &Client| client.pending.is_empty() && client.answer.is_some();
        let tokens: Vec<u64> = self
            .0
            .iter()
            .filter(|(_, client)| waiting(client))
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            self.turn(token, store, epoll);
        }
    }
}

impl Client {
    /// Reads what the client sent; false if it hung up or sent something else than a query.
    fn take_request(&mut self, store: &Store) -> bool {
        let mut buffer = [0; query::LINE_BYTES];
        loop {
            match rustix::io::read(&self.socket, &mut buffer) {
                // Half-closed after its question: it still reads.
                Ok(0) => return self.answer.as_ref().is_some_and(|answer| !answer.query.follow),
                // Whoever was answered has nothing more to say: it is not kept.
                Ok(_) if self.answer.is_some() || self.done => return true,
                Ok(count) => self.request.extend(buffer.get(..count).unwrap_or_default()),
                Err(rustix::io::Errno::AGAIN) => return true,
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return false,
            }
            if self.request.len() > query::LINE_BYTES {
                return false;
            }
            if let Some(end) = self.request.iter().position(|byte| *byte == b'\n') {
                match query::parse(self.request.get(..end).unwrap_or_default()) {
                    Ok(query) => self.answer = Some(Answer::new(query, store)),
                    Err(error) => {
                        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
                        self.pending
                            .extend(format!("error: {error}{}\n", source.unwrap_or_default()).bytes());
                        self.done = true;
                        return true;
                    }
                }
            }
        }
    }

    /// Writes entries while the client takes them; false when all is said.
    fn give(&mut self, store: &Store) -> bool {
        for _ in 0..8 {
            if self.pending.is_empty() {
                self.prepare(store);
            }
            while !self.pending.is_empty() {
                let (head, _) = self.pending.as_slices();
                match rustix::net::send(&self.socket, head, rustix::net::SendFlags::NOSIGNAL) {
                    Ok(count) => drop(self.pending.drain(..count)),
                    Err(rustix::io::Errno::AGAIN) => return true,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return false,
                }
            }
            if self.done {
                return false;
            }
        }
        true
    }

    fn prepare(&mut self, store: &Store) {
        let Some(answer) = &mut self.answer else { return };
        for _ in 0..TURN {
            if self.pending.len() >= BUFFER_BYTES {
                return;
            }
            match answer.reader.next(store) {
                Ok(Some(entry)) if answer.query.matches(&entry, &answer.boots) => {
                    self.pending.extend(render(&entry, answer.query.format));
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.done = !answer.query.follow;
                    return;
                }
                Err(_) => {
                    self.done = true;
                    return;
                }
            }
        }
    }

    fn watch(&self, token: u64, epoll: &OwnedFd, store: &Store) {
        let more = !self.pending.is_empty()
            || self
                .answer
                .as_ref()
                .is_some_and(|answer| !answer.reader.is_at_end(store));
        let flags = if more {
            EventFlags::IN | EventFlags::OUT
        } else {
            EventFlags::IN
        };
        let _ = epoll::modify(epoll, &self.socket, EventData::new_u64(token), flags);
    }
}

impl Answer {
    fn new(query: Query, store: &Store) -> Answer {
        let boots = boots(store);
        let reader = match query.lines {
            Some(count) => last_matches(&query, &boots, store, count),
            None => Reader::at_start(store),
        };
        Answer { query, boots, reader }
    }
}

/// The running boot and the last one before it that left entries.
fn boots(store: &Store) -> Boots {
    let current = store.boot();
    let mut previous = None;
    each(store, |entry| {
        if entry.boot != current {
            previous = Some(entry.boot);
        }
    });
    Boots { current, previous }
}

/// A reader in front of the last `count` entries that answer a query.
fn last_matches(query: &Query, boots: &Boots, store: &Store, count: usize) -> Reader {
    let mut last = VecDeque::with_capacity(count.min(4096));
    each(store, |entry| {
        if query.matches(entry, boots) {
            last.push_back(entry.seq);
            if last.len() > count {
                last.pop_front();
            }
        }
    });
    last.front()
        .map_or_else(|| Reader::at_end(store), |seq| Reader::at(*seq))
}

fn each(store: &Store, mut visit: impl FnMut(&Entry)) {
    let mut reader = Reader::at_start(store);
    while let Ok(Some(entry)) = reader.next(store) {
        visit(&entry);
    }
}
