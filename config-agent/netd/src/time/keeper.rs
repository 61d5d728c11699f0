//! Keeps the clock right: finds servers, asks them in rounds, corrects, saves the time now and then.

use super::choose::choose;
use super::clock::{self, Hand};
use super::discipline::{Correction, Discipline};
use super::packet::{NtpError, Sample};
use super::query::{self, QueryError};
use super::saved;
use crate::explain::chain;
use crate::network::state::Summary;
use crate::resolver::core::Core;
use futures_util::future::join_all;
use keelson_machine_config::value::Server;
use serde::Serialize;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Used when neither the configuration nor a lease names servers.
const DEFAULT_SERVER: &str = "pool.ntp.org";
/// Servers asked in one round.
const MOST_SERVERS: usize = 4;
/// A server that asked to be left alone is.
const BANISHED: Duration = Duration::from_secs(86_400);
/// A server that asked to be asked less often is left alone for so long.
const SLOWER: Duration = Duration::from_secs(3600);
/// Time between saves of the time.
pub const SAVE_EVERY: Duration = Duration::from_secs(600);

/// How the clock is doing.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Status {
    /// A server set the clock in this life of the program.
    pub synchronised: bool,
    /// The server followed last.
    pub server: Option<String>,
    /// Its offset then, in seconds.
    pub offset: Option<f64>,
    /// By how much it may have been wrong, in seconds.
    pub uncertainty: Option<f64>,
    /// Steps from it to a reference clock.
    pub stratum: Option<u8>,
    /// When, in seconds since 1970.
    pub at: Option<u64>,
    /// Why the last round set nothing.
    pub problem: Option<String>,
}

/// Keeper of the clock.
#[derive(Debug)]
pub struct Keeper {
    core: Rc<Core>,
    networks: watch::Receiver<Summary>,
    status: watch::Sender<Status>,
    discipline: Discipline,
    floor: Duration,
    hand: Hand,
    left_alone: HashMap<IpAddr, Instant>,
    configured: Box<dyn Configured>,
}

/// Where the configured servers come from, asked anew each round.
pub trait Configured: std::fmt::Debug {
    /// The servers the operator names.
    fn servers(&self) -> Vec<Server>;
}

/// Saves the time every ten minutes. Never ends.
pub async fn save_now_and_then(path: PathBuf) {
    loop {
        tokio::time::sleep(SAVE_EVERY).await;
        if let Err(error) = saved::save(&path) {
            log::warn!(error:%; "time not saved");
        }
    }
}

impl Keeper {
    /// A keeper that never sets the clock before a floor.
    pub fn new(
        core: Rc<Core>,
        networks: watch::Receiver<Summary>,
        status: watch::Sender<Status>,
        (floor, hand): (Duration, Hand),
        configured: Box<dyn Configured>,
    ) -> Self {
        let (discipline, left_alone) = (Discipline::default(), HashMap::new());
        Self {
            core,
            networks,
            status,
            discipline,
            floor,
            hand,
            left_alone,
            configured,
        }
    }

    /// Round after round. Never ends.
    pub async fn run(mut self) {
        loop {
            // Nothing can be reached before there is an address.
            if self.networks.wait_for(|summary| summary.online).await.is_err() {
                return std::future::pending().await;
            }
            self.round().await;
            let pause = self.discipline.pause();
            let mut changes = self.networks.clone();
            let servers = changes.borrow_and_update().ntp.clone();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // New servers are asked at once while the clock was never right.
                _ = changes.wait_for(|summary| summary.ntp != servers), if !self.discipline.is_synchronised() => {}
            }
        }
    }

    async fn round(&mut self) {
        let servers = self.servers().await;
        let outcomes = join_all(servers.iter().map(|server| query::ask(*server))).await;
        let mut samples = Vec::new();
        let mut problem = servers.is_empty().then(|| "no time server is known".to_owned());
        for (server, outcome) in servers.into_iter().zip(outcomes) {
            match outcome {
                Ok(sample) => samples.push((server, sample)),
                Err(error) => problem = Some(self.note_failure(server, &error)),
            }
        }
        let offsets: Vec<_> = samples.iter().map(|(_, sample)| *sample).collect();
        match choose(&offsets).and_then(|place| samples.get(place)) {
            Some((server, sample)) => self.follow(*server, *sample),
            None => {
                let problem = problem.unwrap_or_else(|| "the time servers do not agree".to_owned());
                self.failed(problem);
            }
        }
    }

    fn follow(&mut self, server: IpAddr, sample: Sample) {
        let correction = self.discipline.correct(sample.offset, clock::now(), self.floor);
        let offset = sample.offset;
        let done = match correction {
            Correction::Step(to) => {
                log::info!(server:%, offset; "clock set");
                self.hand
                    .step(to)
                    .and_then(|()| self.hand.slew(0, microseconds(sample.uncertainty())))
            }
            Correction::Slew(by) => self.hand.slew(by, microseconds(sample.uncertainty())),
            Correction::Wait => Ok(()),
            Correction::BeforeFloor => {
                return self.failed(format!("{server} says a time before this release was made"));
            }
        };
        if let Err(errno) = done {
            return self.failed(format!("the clock cannot be set: {errno}"));
        }
        self.status.send_replace(Status {
            synchronised: self.discipline.is_synchronised(),
            server: Some(server.to_string()),
            offset: Some(offset),
            uncertainty: Some(sample.uncertainty()),
            stratum: Some(sample.stratum),
            at: Some(clock::now().as_secs()),
            problem: None,
        });
    }

    fn failed(&mut self, problem: String) {
        self.discipline.fail();
        self.status.send_if_modified(|status| {
            let new = status.problem.as_ref() != Some(&problem);
            if new {
                log::info!(problem; "clock not checked");
                status.problem = Some(problem);
            }
            new
        });
    }

    fn note_failure(&mut self, server: IpAddr, error: &QueryError) -> String {
        if let QueryError::Refused(NtpError::Kiss(code)) = error {
            let time = if code == b"RATE" { SLOWER } else { BANISHED };
            self.left_alone.insert(server, Instant::now() + time);
        }
        format!("{server}: {}", chain(error))
    }

    /// The servers of this round: the configured ones, else the lease's, else a public pool.
    async fn servers(&mut self) -> Vec<IpAddr> {
        let now = Instant::now();
        self.left_alone.retain(|_, end| now < *end);
        let leased: Vec<IpAddr> = self.networks.borrow().ntp.iter().copied().map(IpAddr::from).collect();
        let mut found = Vec::new();
        for server in self.configured.servers() {
            match server {
                Server::Address(ip) => found.push(ip),
                Server::Name(name) => found.extend(self.core.addresses_of(name.as_str()).await),
            }
        }
        if found.is_empty() {
            found = leased;
        }
        if found.is_empty() {
            found = self.core.addresses_of(DEFAULT_SERVER).await;
        }
        found.retain(|server| !self.left_alone.contains_key(server));
        found.truncate(MOST_SERVERS);
        found
    }
}

fn microseconds(seconds: f64) -> i64 {
    (seconds * 1e6).clamp(1.0, 16e6) as i64
}
