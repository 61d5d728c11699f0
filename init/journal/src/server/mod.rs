//! The journal's loop: sockets and the kernel's log in, the store, queries out. One thread, nothing blocks but the
//! store's own writes.

mod clients;
mod clock;
mod datagrams;
mod peer;
mod receive;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{Timespec, epoll};

use crate::entry::Fields;
use crate::kernel;
use crate::origin::{self, Place, Sender};
use crate::rate::{Rates, Verdict};
use crate::store::{Stamp, Store};
use crate::stream::Stream;
use clients::Clients;

/// Longest time an entry of ordinary severity may stay in memory only.
const SYNC_DELAY: Duration = Duration::from_secs(10);
/// Severity from which an entry is brought to the medium by the end of its turn (critical and worse).
const SYNC_NOW: u8 = 2;
/// Messages taken from one socket and lines from one stream per turn, so that no sender keeps the others waiting.
const TURN: usize = 256;
/// Bytes read from a stream at a time; each may be a line.
const STREAM_BYTES: usize = 4 << 10;
/// Most records of the kernel that are held to be written together; more would only cost memory.
const TOGETHER: usize = 32;
/// Connections of services at a time.
const MOST_STREAMS: usize = 1024;

const NATIVE: u64 = 0;
const SYSLOG: u64 = 1;
const STDOUT: u64 = 2;
const QUERY: u64 = 3;
const KERNEL: u64 = 4;
const SIGNAL: u64 = 5;
const FIRST_CONNECTION: u64 = 16;

/// Descriptors the journal listens on. Each may be missing, in tests.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Datagrams of the native protocol.
    pub native: Option<OwnedFd>,
    /// Syslog datagrams.
    pub syslog: Option<OwnedFd>,
    /// Listening stream socket for standard output.
    pub stdout: Option<OwnedFd>,
    /// Listening stream socket for queries.
    pub query: Option<OwnedFd>,
    /// `/dev/kmsg`, opened without blocking.
    pub kernel: Option<OwnedFd>,
}

struct Connection {
    socket: UnixStream,
    stream: Stream,
    sender: Sender,
    place: Place,
}

/// The journal.
#[derive(Debug)]
pub struct Server {
    epoll: OwnedFd,
    sockets: Sockets,
    signals: SignalFd,
    store: Store,
    rates: Rates,
    streams: BTreeMap<u64, Connection>,
    clients: Clients,
    next_token: u64,
    sync_due: Option<Instant>,
    host: Vec<(&'static str, String)>,
    lost: u64,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("sender", &self.sender)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Prepares the loop. `host` are fields every entry gets (machine id, host name).
    ///
    /// # Errors
    /// The kernel refuses a descriptor.
    pub fn new(sockets: Sockets, store: Store, host: Vec<(&'static str, String)>) -> io::Result<Server> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGTERM);
        mask.add(Signal::SIGINT);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let sources = [
            (NATIVE, &sockets.native),
            (SYSLOG, &sockets.syslog),
            (STDOUT, &sockets.stdout),
            (QUERY, &sockets.query),
            (KERNEL, &sockets.kernel),
        ];
        for (token, source) in sources {
            if let Some(source) = source {
                rustix::io::ioctl_fionbio(source, true)
                    .or_else(|error| if token == KERNEL { Ok(()) } else { Err(error) })?;
                watch(&epoll, source, token, epoll::EventFlags::IN)?;
            }
        }
        for datagrams in [&sockets.native, &sockets.syslog].into_iter().flatten() {
            rustix::net::sockopt::set_socket_passcred(datagrams, true)?;
        }
        watch(&epoll, &signals, SIGNAL, epoll::EventFlags::IN)?;
        Ok(Server {
            epoll,
            sockets,
            signals,
            store,
            rates: Rates::default(),
            streams: BTreeMap::new(),
            clients: Clients::default(),
            next_token: FIRST_CONNECTION,
            sync_due: None,
            host,
            lost: 0,
        })
    }

    /// Runs until a termination signal, then brings everything to the medium.
    ///
    /// # Errors
    /// The loop itself cannot go on; failing clients and a full disk do not end it.
    pub fn run(mut self) -> io::Result<()> {
        let watchdog = keelson_notify::watchdog_interval().map(|interval| interval / 2);
        keelson_notify::ready();
        let mut fed = Instant::now();
        loop {
            if !self.turn(watchdog)? {
                break;
            }
            if watchdog.is_some_and(|interval| fed.elapsed() >= interval) {
                keelson_notify::watchdog();
                fed = Instant::now();
            }
        }
        keelson_notify::stopping();
        self.drain();
        self.store.sync()
    }

    /// One turn of the loop; false when asked to stop.
    fn turn(&mut self, longest: Option<Duration>) -> io::Result<bool> {
        let mut events = Vec::with_capacity(64);
        let timeout = self.timeout(longest);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events {
            match event.data.u64() {
                NATIVE => self.native(),
                SYSLOG => self.syslog(),
                STDOUT => self.accept_stream(),
                QUERY => self.accept_query(),
                KERNEL => self.kernel(),
                SIGNAL => {
                    if matches!(self.signals.read_signal(), Ok(Some(_))) {
                        return Ok(false);
                    }
                }
                token if self.streams.contains_key(&token) => self.read_stream(token),
                token => self.clients.turn(token, &self.store, &self.epoll),
            }
        }
        if self.sync_due.is_some_and(|due| due <= Instant::now()) {
            self.sync();
        }
        self.clients.wake_followers(&self.store, &self.epoll);
        Ok(true)
    }

    fn timeout(&self, longest: Option<Duration>) -> Option<Timespec> {
        let until_sync = self.sync_due.map(|due| due.saturating_duration_since(Instant::now()));
        let shortest = until_sync.into_iter().chain(longest).min()?;
        Timespec::try_from(shortest).ok()
    }

    /// What is waiting when the journal is told to stop is still taken in.
    fn drain(&mut self) {
        self.native();
        self.syslog();
        self.kernel();
        for token in self.streams.keys().copied().collect::<Vec<_>>() {
            self.read_stream(token);
        }
    }

    fn kernel(&mut self) {
        let last = self.store.last_kernel_record();
        let mut buffer = vec![0; 8192];
        let mut entries = Vec::new();
        for _ in 0..TURN * 4 {
            let Some(kernel) = &self.sockets.kernel else { break };
            let count = match rustix::io::read(kernel, &mut buffer) {
                Ok(count) if count > 0 => count,
                // Records that were overwritten before they could be read: go on behind them.
                Err(rustix::io::Errno::PIPE | rustix::io::Errno::INTR) => continue,
                Ok(_) | Err(_) => break,
            };
            let record = kernel::parse(buffer.get(..count).unwrap_or_default());
            let Some(record) = record.filter(|record| last.is_none_or(|last| record.sequence > last)) else {
                continue;
            };
            entries.push((clock::stamp_at(record.monotonic), record.fields));
            if entries.len() == TOGETHER {
                self.append_all(std::mem::take(&mut entries));
            }
        }
        self.append_all(entries);
    }

    fn accept_stream(&mut self) {
        for _ in 0..TURN {
            let Some(socket) = accept(self.sockets.stdout.as_ref()) else {
                return;
            };
            let Ok(peer) = rustix::net::sockopt::socket_peercred(&socket) else {
                continue;
            };
            if self.streams.len() >= MOST_STREAMS {
                self.lost += 1;
                continue;
            }
            let pid = u32::try_from(peer.pid.as_raw_nonzero().get()).unwrap_or(0);
            let sender = Sender {
                pid,
                uid: peer.uid.as_raw(),
                gid: peer.gid.as_raw(),
            };
            let token = self.token();
            if watch(&self.epoll, &socket, token, epoll::EventFlags::IN).is_ok() {
                let place = origin::place_of(pid);
                self.streams.insert(
                    token,
                    Connection {
                        socket,
                        stream: Stream::new(),
                        sender,
                        place,
                    },
                );
            }
        }
    }

    fn read_stream(&mut self, token: u64) {
        let mut buffer = [0; STREAM_BYTES];
        let (mut reads, mut lines) = (0, 0);
        while reads < 16 && lines < TURN {
            reads += 1;
            let Some(connection) = self.streams.get_mut(&token) else {
                return;
            };
            let entries = match rustix::io::read(&connection.socket, &mut buffer) {
                Ok(0) => None,
                Ok(count) => Some(connection.stream.push(buffer.get(..count).unwrap_or_default())),
                Err(rustix::io::Errno::AGAIN) => return,
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => None,
            };
            let ended = entries.is_none();
            let entries = entries.unwrap_or_else(|| connection.stream.finish().into_iter().collect());
            let (sender, place) = (connection.sender, connection.place.clone());
            // The helper that opened the connection may have been gone before its group could be read.
            let place = match (&place.unit, connection.stream.unit()) {
                (None, Some(unit)) if sender.uid == 0 => Place {
                    unit: Some(unit.to_owned()),
                    ..place
                },
                _ => place,
            };
            lines += entries.len();
            for fields in entries {
                self.accept(fields, Some(sender), Some(&place));
            }
            if ended {
                self.streams.remove(&token);
                return;
            }
        }
    }

    fn accept_query(&mut self) {
        for _ in 0..TURN {
            let Some(socket) = accept(self.sockets.query.as_ref()) else {
                return;
            };
            if !peer::may_read(&socket) {
                continue;
            }
            let token = self.token();
            self.clients.insert(token, socket, &self.epoll);
        }
    }

    fn token(&mut self) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        token
    }

    /// Takes an entry of a sender: who it was, how much it may say, and into the store.
    fn accept(&mut self, mut fields: Fields, sender: Option<Sender>, place: Option<&Place>) {
        let found = match (place, sender) {
            (Some(place), _) => place.clone(),
            (None, Some(sender)) => origin::place_of(sender.pid),
            (None, None) => Place::default(),
        };
        let source = found.unit.as_deref().or(found.container.as_deref()).unwrap_or("other");
        let stamp = clock::now();
        match self.rates.judge(source, Duration::from_micros(stamp.monotonic)) {
            Verdict::Keep => {}
            Verdict::KeepAfter(dropped) => self.append(suppressed(source, dropped), stamp),
            Verdict::Drop => return,
        }
        if let Some(sender) = sender {
            origin::describe(&mut fields, sender, &found);
        }
        self.append(fields, stamp);
    }

    fn append(&mut self, fields: Fields, stamp: Stamp) {
        self.append_all(vec![(stamp, fields)]);
    }

    fn append_all(&mut self, mut entries: Vec<(Stamp, Fields)>) {
        if entries.is_empty() {
            return;
        }
        for (_, fields) in &mut entries {
            for (name, value) in &self.host {
                fields.push_default(name, value.as_str());
            }
        }
        let urgent = entries.iter().any(|(_, fields)| is_urgent(fields));
        let (before, count) = (self.store.next_seq(), entries.len() as u64);
        if self.store.append_all(entries).is_err() {
            self.lost += count.saturating_sub(self.store.next_seq().saturating_sub(before));
            keelson_notify::status(&format!("{} entries lost: the store cannot be written", self.lost));
            return;
        }
        // Urgent ones are synced once, at the end of the turn: a sender does not choose how often the medium is waited for.
        let due = Instant::now() + if urgent { Duration::ZERO } else { SYNC_DELAY };
        self.sync_due = Some(self.sync_due.map_or(due, |other| other.min(due)));
    }

    fn sync(&mut self) {
        self.sync_due = None;
        if self.store.sync().is_err() {
            keelson_notify::status("the store's medium fails");
        }
    }
}

fn is_urgent(fields: &Fields) -> bool {
    let level = fields.text("PRIORITY").and_then(|text| text.parse::<u8>().ok());
    level.is_some_and(|level| level <= SYNC_NOW)
}

/// What a source that was cut off gets to read afterwards.
fn suppressed(source: &str, dropped: u32) -> Fields {
    [
        (
            "MESSAGE",
            format!("{dropped} entries of {source} were dropped: it wrote too many at a time"),
        ),
        ("PRIORITY", "4".to_owned()),
        ("SYSLOG_IDENTIFIER", "journal".to_owned()),
        ("_TRANSPORT", "driver".to_owned()),
    ]
    .into_iter()
    .collect()
}

fn accept(listener: Option<&OwnedFd>) -> Option<UnixStream> {
    let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
    rustix::net::accept_with(listener?, flags).ok().map(UnixStream::from)
}

fn watch(epoll: &OwnedFd, source: &impl AsFd, token: u64, flags: epoll::EventFlags) -> io::Result<()> {
    Ok(epoll::add(epoll, source, epoll::EventData::new_u64(token), flags)?)
}
