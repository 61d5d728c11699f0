//! Carrying out what the agent wants done, each piece as a task or a blocking call of its own, and what it leaves for
//! the next piece.

use std::sync::Arc;

use keelson_image_layout::RootHash;
use keelson_tuf::Fetch;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::bring::{self, Job, Written};
use super::look::{self, Release};
use super::pace::Pace;
use super::settings::Wanted;
use super::source::Http;
use super::world::World;
use super::{manager, running, slots};
use crate::agent::event::Cost;
use crate::agent::{Action, Ended, Event, Failure, Offer};
use crate::words::chain;

/// What comes back.
#[derive(Debug)]
pub enum Message {
    /// Something happened.
    Event(Event),
    /// A piece of work ended.
    Finished {
        /// Which.
        work: u64,
        /// How.
        outcome: Outcome,
    },
}

/// How a piece of work ended, with what it leaves.
#[derive(Debug)]
pub enum Outcome {
    /// What the repository offers.
    Check(Result<Option<(Offer, Box<Release>)>, Failure>),
    /// What a release costs.
    Describe(Result<Cost, Failure>),
    /// It is in the slot.
    Write(Result<Box<Written>, Failure>),
    /// It can be booted.
    Verify(Result<(), Failure>),
    /// Whether the channel is halted.
    Halt(Result<bool, Failure>),
    /// The running slot was given up.
    GoBack(Result<(), Failure>),
}

impl Outcome {
    /// Whether the repository gave something that can be trusted.
    #[must_use]
    pub const fn has_answered(&self) -> bool {
        matches!(self, Outcome::Check(Ok(_)) | Outcome::Halt(Ok(_)))
    }
}

/// Who does it.
#[derive(Debug)]
pub struct Worker {
    world: Arc<World>,
    http: Option<Http>,
    channel: String,
    pace: Arc<Pace>,
    messages: UnboundedSender<Message>,
    stop: CancellationToken,
    /// The release that was last described.
    release: Option<Release>,
    written: Option<Box<Written>>,
    /// A release, and the bytes that had been fetched before it.
    counted: Option<(RootHash, u64)>,
}

impl Worker {
    /// Does nothing yet.
    #[must_use]
    pub fn new(world: Arc<World>, wanted: &Wanted, messages: UnboundedSender<Message>) -> Worker {
        let mut worker = Worker {
            world,
            http: None,
            channel: String::new(),
            pace: Arc::new(Pace::new(None)),
            messages,
            stop: CancellationToken::new(),
            release: None,
            written: None,
            counted: None,
        };
        worker.configure(wanted);
        worker
    }

    /// Another document; what is under way goes on with the old address.
    pub fn configure(&mut self, wanted: &Wanted) {
        let update = &wanted.update;
        self.pace.set_rate(update.byte_rate.map(|rate| rate.0));
        self.channel.clone_from(&update.channel);
        let made = update.address.as_ref().map(|address| {
            let client = keelson_https::builder(&wanted.authorities)?.build()?;
            anyhow::Ok(Http::new(client, address.as_str(), Arc::clone(&self.pace)))
        });
        self.http = made.and_then(|made| {
            made.inspect_err(|error| log::error!("no client for the repository: {error:#}"))
                .ok()
        });
    }

    /// Bytes fetched for the release under way.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        let before = self.counted.map_or(0, |(_, before)| before);
        self.pace.fetched().saturating_sub(before)
    }

    /// Begins what is wanted. `budget`: most bytes that an update may fetch.
    pub fn perform(&mut self, action: Action, budget: Option<u64>) {
        match action {
            Action::Check { work } => self.check(work),
            Action::Describe { work, .. } => self.describe(work),
            Action::Write { work, offer, full } => self.write(work, offer.root_hash, full, budget),
            Action::Verify { work, .. } => self.verify(work),
            Action::Stop => self.stop.cancel(),
            Action::ReadHalt { work } => self.read_halt(work),
            Action::GoBack { work } => {
                let control = self.world.machine.control.clone();
                self.blocking(work, move || Outcome::GoBack(manager::go_back(&control)));
            }
            Action::Reboot => self.reboot(),
            Action::LookAtSlots => self.look_at_slots(),
            Action::KeepHold(held) => self.keep_hold(held),
        }
    }

    /// Keeps what a piece of work leaves; the rest is for the agent.
    pub fn finished(&mut self, outcome: Outcome) -> Ended {
        match outcome {
            Outcome::Check(Ok(Some((offer, release)))) => {
                self.release = Some(*release);
                Ended::Check(Ok(Some(offer)))
            }
            Outcome::Check(Ok(None)) => Ended::Check(Ok(None)),
            Outcome::Check(Err(failure)) => Ended::Check(Err(failure)),
            Outcome::Describe(result) => Ended::Described(result),
            Outcome::Write(result) => Ended::Write(result.map(|written| self.written = Some(written))),
            Outcome::Verify(result) => Ended::Verify(result),
            Outcome::Halt(result) => Ended::Halt(result),
            Outcome::GoBack(result) => Ended::GoBack(result),
        }
    }

    fn check(&self, work: u64) {
        let (world, http, channel) = (Arc::clone(&self.world), self.http.clone(), self.channel.clone());
        self.task(work, async move {
            let http = http.ok_or_else(no_client);
            Outcome::Check(match http {
                Ok(http) => check(&world, http, &channel).await,
                Err(failure) => Err(failure),
            })
        });
    }

    fn describe(&self, work: u64) {
        let (world, release) = (Arc::clone(&self.world), self.release.clone());
        self.blocking(work, move || {
            let release = release.ok_or_else(no_release);
            Outcome::Describe(release.and_then(|release| bring::describe(&world, &release)))
        });
    }

    fn write(&mut self, work: u64, root_hash: RootHash, full: bool, budget: Option<u64>) {
        let before = match self.counted {
            Some((known, before)) if known == root_hash => before,
            _ => self.pace.fetched(),
        };
        self.counted = Some((root_hash, before));
        self.written = None;
        self.stop = CancellationToken::new();
        let job = self.http.clone().zip(self.release.clone()).map(|(http, release)| Job {
            http,
            release,
            stop: self.stop.clone(),
            runtime: Handle::current(),
            budget: budget.map(|budget| (budget, before)),
        });
        let (world, messages) = (Arc::clone(&self.world), self.messages.clone());
        self.blocking(work, move || {
            let progress = |done, total| drop(messages.send(Message::Event(Event::Progress { work, done, total })));
            let job = job.ok_or_else(no_release);
            let written = job.and_then(|job| bring::write(&world, &job, full, &progress));
            Outcome::Write(written.map(Box::new))
        });
    }

    fn verify(&mut self, work: u64) {
        let written = self.written.take();
        self.blocking(work, move || {
            let written = written.ok_or_else(no_release);
            Outcome::Verify(written.and_then(|written| bring::verify(&written)))
        });
    }

    fn read_halt(&self, work: u64) {
        let (world, http, channel) = (Arc::clone(&self.world), self.http.clone(), self.channel.clone());
        self.task(work, async move {
            let http = http.ok_or_else(no_client);
            Outcome::Halt(match http {
                Ok(http) => halted(&world, http, &channel).await,
                Err(failure) => Err(failure),
            })
        });
    }

    /// PID 1 keeps the words for the boot history.
    fn reboot(&self) {
        let version = self.world.places.as_ref().and_then(|places| slots::record(places).ok());
        let other = self.world.facts.slot.other();
        let version = version.map_or_else(String::new, |state| state.slot(other).version_text());
        let world = Arc::clone(&self.world);
        tokio::task::spawn_blocking(move || {
            let from = &world.facts.release.version;
            if let Err(error) = world.machine.reboot(format!("from version {from} to {version}")) {
                log::error!("{error:#}");
            }
        });
    }

    fn look_at_slots(&self) {
        let committed = self.world.look().is_ok_and(|(found, _)| found.committed);
        if committed {
            let _ = self.messages.send(Message::Event(Event::Committed));
        }
    }

    /// A hold that cannot be written lasts until the agent is started anew.
    fn keep_hold(&self, held: bool) {
        let path = self.world.hold();
        let kept = match held {
            true => keelson_durable::replace(&path, b"", 0o600),
            false => keelson_durable::remove(&path),
        };
        if let Err(error) = kept {
            log::warn!(error:%; "the hold is not kept over restarts");
        }
    }

    fn task(&self, work: u64, outcome: impl Future<Output = Outcome> + Send + 'static) {
        let messages = self.messages.clone();
        tokio::spawn(async move {
            let outcome = outcome.await;
            let _ = messages.send(Message::Finished { work, outcome });
        });
    }

    fn blocking(&self, work: u64, act: impl FnOnce() -> Outcome + Send + 'static) {
        let messages = self.messages.clone();
        tokio::task::spawn_blocking(move || {
            let outcome = act();
            let _ = messages.send(Message::Finished { work, outcome });
        });
    }
}

/// Work beside the runtime must not outlive it.
impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn no_client() -> Failure {
    Failure::Machine {
        what: "there is no client for the repository: the journal says why".to_owned(),
    }
}

fn no_release() -> Failure {
    Failure::Machine {
        what: "the release is not known any more".to_owned(),
    }
}

async fn check<F>(world: &Arc<World>, fetch: F, channel: &str) -> Result<Option<(Offer, Box<Release>)>, Failure>
where
    F: Fetch,
{
    let mut view = look::refresh(world, fetch, world.clock()).await?;
    let Some((version, halted)) = view.offered(world, channel).await? else {
        return Ok(None);
    };
    let (state, boot) = {
        let world = Arc::clone(world);
        let looked = tokio::task::spawn_blocking(move || look_here(&world)).await;
        looked.map_err(|error| Failure::Machine { what: chain(&error) })??
    };
    let release = view.release(world, &version, boot).await?;
    let root_hash = release.manifest.verity.root_hash;
    let offer = Offer {
        version,
        root_hash,
        halted,
        rejected: state.rejection(&root_hash),
        cost: Cost::default(),
    };
    Ok(Some((offer, Box::new(release))))
}

/// The record, and the digest of the running boot entry, without which a release is fetched in full.
fn look_here(world: &World) -> Result<(keelson_image_layout::SlotState, Option<keelson_payload::Digest>), Failure> {
    let places = world.places.as_ref().ok_or_else(|| Failure::Machine {
        what: "this machine has no second slot to write".to_owned(),
    })?;
    let state = slots::record(places).map_err(|error| Failure::Machine {
        what: format!("{error:#}"),
    })?;
    let boot = running::entry_digest(&places.esp, world.facts.slot);
    let boot = boot.inspect_err(|error| log::warn!(error:%; "the running boot entry cannot be read"));
    Ok((state, boot.ok()))
}

async fn halted<F: Fetch>(world: &World, fetch: F, channel: &str) -> Result<bool, Failure> {
    let mut view = look::refresh(world, fetch, world.clock()).await?;
    Ok(view.rollout(channel).await?.halt)
}
