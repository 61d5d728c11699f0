//! Lines to the journal: one datagram of the native protocol each. What the journal does not take at once waits in a small
//! backlog; what does not fit there is dropped and counted, and the count is said as soon as anything gets through.

use crate::lines::Piece;
use keelson_shim_api::ShimConfig;
use keelson_shim_api::config::LogStream;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Bytes kept for a journal that is busy.
const BACKLOG: usize = 256 << 10;

/// The way to the journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    fields: Vec<u8>,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    dropped: u64,
}

impl Journal {
    /// To the configured socket, if there is one.
    pub fn new(config: &ShimConfig) -> Option<Self> {
        let path = config.log.journal.clone()?;
        let fields = plan_fields(config);
        Some(Self {
            path,
            socket: None,
            fields,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            dropped: 0,
        })
    }

    /// Lines that wait, and how many were dropped: for a new copy.
    pub fn keep(&self) -> (Vec<Vec<u8>>, u64) {
        (self.waiting.iter().cloned().collect(), self.dropped)
    }

    /// Takes up what waited in another copy.
    pub fn resume(&mut self, (waiting, dropped): (Vec<Vec<u8>>, u64)) {
        waiting.into_iter().for_each(|datagram| self.push(datagram));
        self.dropped = self.dropped.saturating_add(dropped);
        self.flush();
    }

    /// Sends a line, or keeps it, or counts it.
    pub fn send(&mut self, piece: Piece<'_>, stream: LogStream, time: u64) {
        let datagram = format_datagram(&self.fields, piece, stream, time);
        self.push(datagram);
        self.flush();
    }

    /// Sends what waits.
    pub fn flush(&mut self) {
        if self.dropped > 0 && self.waiting.is_empty() {
            let text = format!(
                "{} lines of output were dropped: the journal did not take them",
                self.dropped
            );
            let piece = Piece {
                bytes: text.as_bytes(),
                is_partial: false,
            };
            let datagram = format_datagram(&self.fields, piece, LogStream::Stderr, crate::clock::now());
            self.dropped = 0;
            self.push(datagram);
        }
        while let Some(datagram) = self.waiting.pop_front() {
            match deliver(&mut self.socket, &self.path, &datagram) {
                Delivery::Later => {
                    self.waiting.push_front(datagram);
                    return;
                }
                Delivery::Lost => self.dropped += 1,
                Delivery::Done => {}
            }
            self.waiting_bytes = self.waiting_bytes.saturating_sub(datagram.len());
        }
    }

    /// The socket to wait for, if lines wait.
    pub fn blocked_socket(&self) -> Option<&UnixDatagram> {
        if self.waiting.is_empty() {
            None
        } else {
            self.socket.as_ref()
        }
    }

    /// Whether lines wait.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn push(&mut self, datagram: Vec<u8>) {
        if self.waiting_bytes + datagram.len() > BACKLOG {
            self.dropped += 1;
            return;
        }
        self.waiting_bytes += datagram.len();
        self.waiting.push_back(datagram);
    }
}

enum Delivery {
    Done,
    Later,
    Lost,
}

/// One try, or two if the journal's socket was made anew. A socket that is not there yet is tried again with the next
/// line.
fn deliver(socket: &mut Option<UnixDatagram>, path: &Path, datagram: &[u8]) -> Delivery {
    for _ in 0..2 {
        if socket.is_none() {
            *socket = connect(path);
        }
        let Some(connected) = socket.as_ref() else {
            return Delivery::Later;
        };
        match connected.send(datagram) {
            Ok(_) => return Delivery::Done,
            Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => return Delivery::Later,
                // Never to be taken, at this size.
                Some(Errno::MSGSIZE) => return Delivery::Lost,
                _ => *socket = None,
            },
        }
    }
    Delivery::Later
}

fn connect(path: &Path) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(path).ok()?;
    Some(socket)
}

/// The fields every line has.
fn plan_fields(config: &ShimConfig) -> Vec<u8> {
    let tag = if config.tag.is_empty() {
        &config.name
    } else {
        &config.tag
    };
    let short: String = config.id.chars().take(12).collect();
    let mut fields = Vec::new();
    for (name, value) in [
        ("CONTAINER_ID", short.as_str()),
        ("CONTAINER_ID_FULL", &config.id),
        ("CONTAINER_NAME", &config.name),
        ("CONTAINER_TAG", tag),
        ("SYSLOG_IDENTIFIER", tag),
        ("IMAGE_NAME", &config.image),
    ] {
        if !value.is_empty() {
            append_field(&mut fields, name, value.as_bytes());
        }
    }
    fields
}

fn format_datagram(fields: &[u8], piece: Piece<'_>, stream: LogStream, time: u64) -> Vec<u8> {
    let message = piece.bytes.strip_suffix(b"\n").unwrap_or(piece.bytes);
    let mut datagram = Vec::with_capacity(fields.len() + message.len() + 128);
    append_field(&mut datagram, "MESSAGE", message);
    let (priority, name) = match stream {
        LogStream::Stdout => ("6", "stdout"),
        LogStream::Stderr => ("3", "stderr"),
    };
    append_field(&mut datagram, "PRIORITY", priority.as_bytes());
    append_field(&mut datagram, "CONTAINER_STREAM", name.as_bytes());
    append_field(&mut datagram, "SYSLOG_TIMESTAMP", time.to_string().as_bytes());
    if piece.is_partial {
        append_field(&mut datagram, "CONTAINER_PARTIAL_MESSAGE", b"true");
    }
    datagram.extend_from_slice(fields);
    datagram
}

/// `NAME=value\n`, or, for a value with newlines, name, newline, length in eight bytes little-endian, value, newline.
fn append_field(datagram: &mut Vec<u8>, name: &str, value: &[u8]) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&u64::try_from(value.len()).unwrap_or(0).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value);
    datagram.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(path: &Path) -> ShimConfig {
        serde_json::from_value(serde_json::json!({
            "id": "0123456789abcdef", "name": "web", "image": "nginx", "runtime_root": "/r", "socket": "/s",
            "exit_file": "/e", "log": {"journal": path},
        }))
        .unwrap()
    }

    #[test]
    fn a_line_as_a_datagram() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let mut journal = Journal::new(&config(&path)).unwrap();
        let piece = |bytes, is_partial| Piece { bytes, is_partial };
        // Kept until there is a journal.
        journal.send(piece(b"early\n", false), LogStream::Stdout, 5);
        let receiver = UnixDatagram::bind(&path).unwrap();
        journal.send(piece(b"a\nb", true), LogStream::Stderr, 6);
        let mut bytes = [0; 1024];
        let mut next = || {
            let length = receiver.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        };
        assert_eq!(
            next(),
            "MESSAGE=early\nPRIORITY=6\nCONTAINER_STREAM=stdout\nSYSLOG_TIMESTAMP=5\nCONTAINER_ID=0123456789ab\n\
             CONTAINER_ID_FULL=0123456789abcdef\nCONTAINER_NAME=web\nCONTAINER_TAG=web\nSYSLOG_IDENTIFIER=web\nIMAGE_NAME=nginx\n"
        );
        let second = next();
        assert!(
            second.starts_with("MESSAGE\n\u{3}\0\0\0\0\0\0\0a\nb\nPRIORITY=3\n"),
            "{second:?}"
        );
        assert!(second.contains("CONTAINER_PARTIAL_MESSAGE=true\n"));
    }

    #[test]
    fn a_journal_that_does_not_read_costs_bounded_memory_and_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::new(&config(&path)).unwrap();
        let line = vec![b'x'; 1000];
        for _ in 0..2000 {
            journal.send(
                Piece {
                    bytes: &line,
                    is_partial: false,
                },
                LogStream::Stdout,
                1,
            );
        }
        assert!(journal.waiting_bytes <= BACKLOG && journal.dropped > 0 && journal.blocked_socket().is_some());
        receiver.set_nonblocking(true).unwrap();
        let (mut bytes, mut said) = ([0; 2048], false);
        for _ in 0..5000 {
            match receiver.recv(&mut bytes) {
                Ok(length) => {
                    said |= String::from_utf8_lossy(&bytes[..length]).contains("lines of output were dropped")
                }
                Err(_) => journal.flush(),
            }
        }
        assert!(said && journal.waiting.is_empty());
    }
}
