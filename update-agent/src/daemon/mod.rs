//! The daemon of the unit `update`: drives the agent's state machine. What takes time runs beside the runtime or as a
//! task of it and reports back with the number of its work; nothing here decides what is done.

mod bring;
mod clock;
mod look;
mod manager;
mod pace;
mod perform;
mod report;
mod running;
mod serve;
mod settings;
mod slots;
mod source;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use keelson_daemon::{Follower, changed};
use keelson_image_layout::SlotState;
use keelson_image_layout::slot_state::update::has_fallback;
use keelson_tuf::Clock;
use keelson_update_api::{Refusal, Reply, Request, Status};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::agent::{self, Agent, Event, State, Why};
use perform::{Message, Worker};
use report::Beside;
use serve::refused;
use settings::Wanted;
use world::World;

/// How often the clock is looked at while an update waits for the time.
const CLOCK_EVERY: Duration = Duration::from_secs(5);

/// Runs until PID 1 asks for the end. The slot, the record and the entries say where to go on.
#[must_use]
pub fn run() -> ExitCode {
    keelson_daemon::run("keelson-update", async {
        let world = Arc::new(World::here()?);
        let listener = serve::listener()?;
        let (asked, requests) = mpsc::channel(8);
        let mut daemon = Daemon::start(world)?;
        tokio::spawn(serve::serve(listener, asked, daemon.status.subscribe()));
        keelson_daemon::notify::ready();
        daemon.turn(requests).await
    })
}

struct Daemon {
    world: Arc<World>,
    agent: Agent,
    wanted: Wanted,
    worker: Worker,
    messages: mpsc::UnboundedReceiver<Message>,
    status: watch::Sender<Status>,
    record: Option<SlotState>,
    last_check: Option<u64>,
    began: Instant,
}

impl Daemon {
    fn start(world: Arc<World>) -> Result<Daemon> {
        if let Err(error) = keelson_durable::directory(&world.folder, 0o700) {
            log::warn!(error:%; "nothing can be kept");
        }
        let wanted = Wanted::of(&world.machine.config());
        let settings = wanted.settings(world.can_update(), &world.facts.boot_id);
        let (found, record) = world.look()?;
        let (sender, messages) = mpsc::unbounded_channel();
        let worker = Worker::new(Arc::clone(&world), &wanted, sender.clone());
        let mut agent = Agent::new(settings);
        let held = world.hold().exists();
        if !found.committed {
            let control = world.machine.control.clone();
            manager::follow(control, move || sender.send(Message::Event(Event::Committed)).is_ok());
        }
        let began = Instant::now();
        // Nothing follows from it but a first look later.
        let _ = agent.step(Duration::ZERO, Event::Started { found, held });
        let status = watch::Sender::new(report::status(&world, &agent, &Beside::nothing(record.as_ref())));
        Ok(Daemon {
            world,
            agent,
            wanted,
            worker,
            messages,
            status,
            record,
            last_check: None,
            began,
        })
    }

    async fn turn(&mut self, mut requests: mpsc::Receiver<serve::Asked>) -> Result<()> {
        let follower = Follower::watch(&self.world.machine.config);
        let follower = follower.inspect_err(|error| log::warn!(error:%; "changes of the document go unnoticed"));
        let follower = follower.ok();
        loop {
            tokio::select! {
                Some(message) = self.messages.recv() => self.heard(message),
                Some((request, answer)) = requests.recv() => {
                    let reply = self.asked(&request);
                    let _ = answer.send(reply);
                }
                () = changed(follower.as_ref()) => self.configure(),
                () = due(self.began, self.agent.wakes_at()) => self.step(Event::Woke),
                () = tokio::time::sleep(CLOCK_EVERY), if self.waits_for_time() => self.look_at_clock(),
            }
        }
    }

    /// One event, and what follows from it.
    fn step(&mut self, event: Event) {
        let now = self.began.elapsed();
        for action in self.agent.step(now, event) {
            log::debug!(action:? = action; "update");
            self.worker.perform(action, self.agent.budget());
        }
        self.publish();
    }

    fn heard(&mut self, message: Message) {
        match message {
            Message::Event(event @ Event::Progress { .. }) => self.step(event),
            Message::Event(event) => {
                self.look_at_record();
                self.step(event);
            }
            Message::Finished { work, outcome } if work == self.agent.work() => {
                if outcome.has_answered() {
                    self.last_check = Some(seconds_now());
                }
                let ended = self.worker.finished(outcome);
                self.look_at_record();
                self.step(Event::Ended { work, ended });
                self.tell();
            }
            // Of work that nobody waits for any more.
            Message::Finished { .. } => {}
        }
    }

    fn look_at_record(&mut self) {
        if let Some(places) = &self.world.places {
            self.record = slots::record(places).ok();
        }
    }

    /// For the journal and for `services`.
    fn tell(&self) {
        let status = self.status.borrow();
        let why = status.why.as_ref().map_or("", |why| why.words.as_str());
        let offer = status.offer.as_ref().map_or("", |offer| offer.version.as_str());
        log::info!(state:? = status.state, offer, why; "update");
        keelson_daemon::notify::status(if why.is_empty() { offer } else { why });
    }

    fn configure(&mut self) {
        let wanted = Wanted::of(&self.world.machine.config());
        if wanted == self.wanted {
            return;
        }
        self.worker.configure(&wanted);
        let settings = wanted.settings(self.world.can_update(), &self.world.facts.boot_id);
        self.wanted = wanted;
        self.step(Event::Settings(settings));
    }

    fn waits_for_time(&self) -> bool {
        match self.agent.state() {
            State::Waiting { why, .. } => *why == Why::Time,
            State::Staged { why, .. } => *why == Some(Why::Time),
            _ => false,
        }
    }

    /// With the time known, what waited for it is looked at again.
    fn look_at_clock(&mut self) {
        if self.world.clock() != Clock::Untrusted {
            self.step(Event::Settings(self.agent.settings().clone()));
        }
    }

    fn asked(&mut self, request: &Request) -> Reply {
        if let Some(refusal) = self.refusal(request) {
            return refusal;
        }
        let request = match request {
            Request::Check => agent::Request::Check,
            Request::Apply => agent::Request::Apply,
            Request::Rollback => agent::Request::Rollback,
            Request::Hold { on } => agent::Request::Hold(*on),
            Request::Status | Request::Watch => return Reply::Accepted,
        };
        self.step(Event::Asked(request));
        Reply::Accepted
    }

    /// Why a wish cannot be granted, where that is known at once.
    fn refusal(&self, request: &Request) -> Option<Reply> {
        let slot = self.world.facts.slot;
        match request {
            Request::Check | Request::Apply if !self.agent.settings().configured => {
                Some(refused(Refusal::NotConfigured, Why::NotConfigured.to_string()))
            }
            Request::Check | Request::Apply if !self.agent.is_committed() => {
                Some(refused(Refusal::Uncommitted, Why::Uncommitted.to_string()))
            }
            Request::Rollback if self.agent.is_busy() => {
                let message = "an update is under way: end it with `update hold on` first";
                Some(refused(Refusal::Busy, message.to_owned()))
            }
            Request::Rollback if !self.record.as_ref().is_some_and(|state| has_fallback(state, slot)) => {
                let message = format!(
                    "slot {} cannot be gone back to: it is not good, or has no try left",
                    slot.other()
                );
                Some(refused(Refusal::Failed, message))
            }
            _ => None,
        }
    }

    fn publish(&self) {
        let update = &self.wanted.update;
        let address = update.address.as_ref().map(|address| address.as_str());
        let next = self.agent.wakes_at().filter(|_| self.agent.settings().configured);
        let next = next.map(|at| seconds_now() + at.saturating_sub(self.began.elapsed()).as_secs());
        let beside = Beside {
            source: address.map(|address| (update.channel.as_str(), address)),
            record: self.record.as_ref(),
            fetched: self.worker.fetched(),
            last_check: self.last_check,
            next_check: next,
        };
        let status = report::status(&self.world, &self.agent, &beside);
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            *known = status;
            changed
        });
    }
}

async fn due(began: Instant, at: Option<Duration>) {
    match at {
        Some(at) => tokio::time::sleep_until(began + at).await,
        None => std::future::pending().await,
    }
}

fn seconds_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

#[cfg(test)]
#[path = "daemon_test.rs"]
mod tests;
