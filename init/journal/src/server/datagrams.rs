//! What the datagram sockets bring: one message at a time in memory, so much per turn.

use std::os::fd::OwnedFd;

use super::receive::{DATAGRAM_BYTES, Received, receive};
use super::{Server, Sockets, TURN};
use crate::entry::Fields;
use crate::{native, syslog};

/// Bytes of messages taken from one socket per turn.
const TURN_BYTES: usize = 8 << 20;

impl Server {
    pub(super) fn native(&mut self) {
        self.datagrams(
            |sockets| sockets.native.as_ref(),
            "journal",
            |data| native::parse(data).ok(),
        );
    }

    pub(super) fn syslog(&mut self) {
        self.datagrams(
            |sockets| sockets.syslog.as_ref(),
            "syslog",
            |data| Some(syslog::parse(data)),
        );
    }

    /// Takes datagrams one by one, each gone before the next comes: many large ones would not fit into memory.
    fn datagrams(
        &mut self,
        socket: fn(&Sockets) -> Option<&OwnedFd>,
        transport: &str,
        parse: fn(&[u8]) -> Option<Fields>,
    ) {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let (mut messages, mut bytes) = (0, 0);
        while messages < TURN && bytes < TURN_BYTES {
            let Some(message) = socket(&self.sockets).and_then(|socket| receive(socket, &mut buffer)) else {
                return;
            };
            messages += 1;
            let Some(Received { data, sender }) = message else {
                continue;
            };
            bytes += data.len();
            let parsed = parse(&data);
            drop(data);
            match parsed {
                // An empty datagram is a client's question whether the journal is there.
                Some(fields) if fields.is_empty() => {}
                Some(mut fields) => {
                    fields.push("_TRANSPORT", transport);
                    self.accept(fields, sender, None);
                }
                None => self.lost += 1,
            }
        }
    }
}
