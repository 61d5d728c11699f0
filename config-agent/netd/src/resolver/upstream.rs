//! Asks upstream servers. Every attempt has its own socket, so its own port, and its own number, so that
//! an answer cannot be guessed.
//!
//! Attempts are staggered: a server that is silent for a moment gets company from the next, and the
//! first useful answer wins.

use super::answer::{self, Verdict};
use super::cache::{Answer, Key};
use crate::random::kernel_bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// A client of ours gives up after five seconds; be earlier.
pub const PATIENCE: Duration = Duration::from_millis(4500);
/// Waits before the first and second further attempt join, and before each later one.
const STAGGER: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(700)];
const LATER: Duration = Duration::from_secs(1);
/// Attempts per question.
const MOST_ATTEMPTS: usize = 8;
/// A server that did not answer is asked last for so long.
const PENALTY: Duration = Duration::from_secs(15);
const LARGEST_DATAGRAM: usize = 4096;

/// Which servers failed lately.
#[derive(Debug, Default)]
pub struct Health {
    penalised: HashMap<SocketAddr, Instant>,
}

impl Health {
    /// The servers in the order they are tried: as configured, those that failed lately last.
    pub fn order(&self, now: Instant, servers: &[SocketAddr]) -> Vec<SocketAddr> {
        let mut ordered = servers.to_vec();
        ordered.sort_by_key(|server| self.penalised.get(server).is_some_and(|end| now < *end));
        ordered
    }

    /// Notes how an attempt went.
    pub fn note(&mut self, now: Instant, server: SocketAddr, good: bool) {
        if good {
            self.penalised.remove(&server);
        } else {
            self.penalised.insert(server, now + PENALTY);
        }
        self.penalised.retain(|_, end| now < *end);
    }
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Answer(Answer),
    /// The server cannot help.
    Unable,
    /// It could not be reached.
    Silent,
}

/// Asks `servers` until one answers or [`PATIENCE`] ends; `note` hears how each attempt went.
pub async fn ask(servers: &[SocketAddr], key: &Key, note: impl FnMut(SocketAddr, bool)) -> Option<Answer> {
    tokio::time::timeout(PATIENCE, ask_in_turn(servers, key, note))
        .await
        .ok()
        .flatten()
}

async fn ask_in_turn(servers: &[SocketAddr], key: &Key, mut note: impl FnMut(SocketAddr, bool)) -> Option<Answer> {
    let mut turns = servers.iter().copied().cycle().take(MOST_ATTEMPTS.max(servers.len()));
    let mut running = FuturesUnordered::new();
    let mut waiting = Vec::new();
    let mut unable = 0;
    let mut stagger = STAGGER.into_iter();
    loop {
        if let Some(server) = turns.next() {
            running.push(attempt(server, key));
            waiting.push(server);
        } else if running.is_empty() {
            return None;
        }
        let pause = tokio::time::sleep(stagger.next().unwrap_or(LATER));
        let (server, outcome) = tokio::select! {
            Some(ended) = running.next() => ended,
            () = pause => continue,
        };
        if let Outcome::Answer(answer) = outcome {
            // Those that were asked earlier and have not answered yet are slow, or gone.
            waiting
                .iter()
                .take_while(|earlier| **earlier != server)
                .for_each(|slow| note(*slow, false));
            note(server, true);
            return Some(answer);
        }
        waiting.retain(|other| *other != server);
        note(server, false);
        unable += usize::from(outcome == Outcome::Unable);
        if unable >= servers.len() {
            return None;
        }
    }
}

async fn attempt(server: SocketAddr, key: &Key) -> (SocketAddr, Outcome) {
    let outcome = match exchange(server, key, true).await {
        Ok(Verdict::NoEdns) => exchange(server, key, false).await,
        other => other,
    };
    let outcome = match outcome {
        Ok(Verdict::Answer(answer)) => Outcome::Answer(answer),
        Ok(_) => Outcome::Unable,
        Err(error) => {
            log::debug!(server:%, error:%; "upstream server not reached");
            Outcome::Silent
        }
    };
    (server, outcome)
}

/// One question over UDP, and over TCP when the answer does not fit.
async fn exchange(server: SocketAddr, key: &Key, with_edns: bool) -> io::Result<Verdict> {
    match datagram(server, key, with_edns).await? {
        Verdict::Truncated => stream(server, key, with_edns).await,
        verdict => Ok(verdict),
    }
}

async fn datagram(server: SocketAddr, key: &Key, with_edns: bool) -> io::Result<Verdict> {
    let id = u16::from_ne_bytes(kernel_bytes());
    let query = answer::upstream_query(key, id, with_edns).ok_or(io::ErrorKind::InvalidInput)?;
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&query).await?;
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match answer::judge(buffer.get(..length).unwrap_or_default(), key, id, with_edns) {
            Verdict::Foreign => {}
            verdict => return Ok(verdict),
        }
    }
}

async fn stream(server: SocketAddr, key: &Key, with_edns: bool) -> io::Result<Verdict> {
    let id = u16::from_ne_bytes(kernel_bytes());
    let query = answer::upstream_query(key, id, with_edns).ok_or(io::ErrorKind::InvalidInput)?;
    let length = u16::try_from(query.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&[&length.to_be_bytes()[..], &query].concat()).await?;
    let length = stream.read_u16().await?;
    let mut response = vec![0; usize::from(length)];
    stream.read_exact(&mut response).await?;
    Ok(answer::judge(&response, key, id, with_edns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_failed_are_asked_last_for_a_while() {
        let now = Instant::now();
        let server = |last| SocketAddr::from(([192, 0, 2, last], 53));
        let servers = [server(1), server(2), server(3)];
        let mut health = Health::default();
        health.note(now, server(1), false);
        assert_eq!(health.order(now, &servers), [server(2), server(3), server(1)]);
        assert_eq!(health.order(now + PENALTY, &servers), servers);
        health.note(now, server(1), true);
        assert_eq!(health.order(now, &servers), servers);
    }
}
