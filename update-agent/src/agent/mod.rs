//! The update agent as a pure state machine: [`Agent::step`] takes what happened and says what to do. No clock, no
//! sockets, no randomness and no files in here; whoever drives it carries the actions out and reports back.
//!
//! ```text
//! assessing ─▶ committed ─┐
//! rolled back ────────────┤      ┌──────── why not yet: waiting ◀───────┐
//!                         ▼      ▼                                      │
//!                       idle ─▶ checking ─▶ downloading ─▶ writing ─▶ verifying ─▶ staged ─▶ rebooting
//! ```
//!
//! It holds nothing that may not be lost: started anew at any moment it is told what the slots hold
//! ([`Event::Started`]), and goes on from there. What a reboot coordinator, waves and windows have to say belongs to
//! the two gates, [`gates::why_not_write`] and [`gates::why_not_reboot`], and nowhere else.

pub mod action;
pub mod event;
pub mod gates;

use std::time::Duration;

use keelson_image_layout::RootHash;
use serde::Serialize;

pub use action::Action;
pub use event::{Ended, Event, Failure, Found, Offer, Request};
pub use gates::{Settings, Why};

/// Shortest time before something that failed is tried again; doubles with each failure in a row.
const FIRST_RETRY: Duration = Duration::from_secs(60);

/// What the agent is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// Nothing newer is known of.
    Idle,
    /// Asking the repository.
    Checking,
    /// There is, or may be, something newer, and a reason not to take it yet.
    Waiting {
        /// The reason.
        why: Why,
        /// The release, if it is known.
        offer: Option<Offer>,
    },
    /// Fetching what describes the release.
    Downloading {
        /// The release.
        offer: Offer,
    },
    /// Pieces are fetched and written into the other slot.
    Writing {
        /// The release.
        offer: Offer,
        /// Bytes of it that are in the slot.
        done: u64,
        /// Bytes it has.
        total: u64,
    },
    /// The slot is read back, its entry written.
    Verifying {
        /// The release.
        offer: Offer,
    },
    /// It is on trial and waits for the reboot.
    Staged {
        /// Version of the release.
        version: String,
        /// Its root.
        root_hash: RootHash,
        /// Why the machine does not reboot into it yet.
        why: Option<Why>,
    },
    /// The machine goes down.
    Rebooting,
    /// The running release has to prove itself.
    Assessing,
    /// The running release proved itself; nothing newer is known of.
    Committed,
    /// The running release is the one before: another one was given up.
    RolledBack {
        /// Its version.
        version: String,
        /// What it was given up for, as the record says.
        reason: keelson_image_layout::Reason,
    },
}

/// The agent.
#[derive(Debug, Clone)]
pub struct Agent {
    settings: Settings,
    state: State,
    found: Found,
    held: bool,
    /// An operator asked for it: by hand is no reason to wait then, nor is the byte budget.
    asked: bool,
    /// What it did before an operator asked to go back.
    before: Option<State>,
    /// Number of the work under way; what another one reports is late.
    work: u64,
    wakes_at: Option<Duration>,
    failures: u32,
    /// The release that the last attempt at one failed with.
    failing: Option<RootHash>,
    /// A release that was not what its description said: not fetched again, until it is asked for.
    unsound: Option<RootHash>,
}

impl Agent {
    /// An agent that knows nothing yet; [`Event::Started`] comes first.
    #[must_use]
    pub fn new(settings: Settings) -> Agent {
        Agent {
            settings,
            state: State::Idle,
            found: Found::default(),
            held: false,
            asked: false,
            before: None,
            work: 0,
            wakes_at: None,
            failures: 0,
            failing: None,
            unsound: None,
        }
    }

    /// What it is doing.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Most bytes that the update under way may fetch.
    #[must_use]
    pub fn budget(&self) -> Option<u64> {
        self.settings.byte_budget.filter(|_| !self.asked)
    }

    /// Whether the running slot has proven itself.
    #[must_use]
    pub const fn is_committed(&self) -> bool {
        self.found.committed
    }

    /// What it goes by.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Number of the work under way.
    #[must_use]
    pub const fn work(&self) -> u64 {
        self.work
    }

    /// Whether an operator stopped it.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// When [`Event::Woke`] is due.
    #[must_use]
    pub const fn wakes_at(&self) -> Option<Duration> {
        self.wakes_at
    }

    /// One event at `now` on any clock that only goes forward.
    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        match event {
            Event::Started { found, held } => self.start(now, found, held),
            Event::Woke => self.wake(now),
            Event::Committed => self.committed(now),
            Event::Asked(request) => self.asked_for(now, request),
            Event::Progress { work, done, total } => {
                self.progress(work, done, total);
                Vec::new()
            }
            Event::Ended { work, .. } if work != self.work => Vec::new(),
            Event::Ended { ended, .. } => self.ended(now, ended),
            Event::Settings(settings) => {
                let began = settings.configured && !self.settings.configured;
                self.settings = settings;
                if began { self.ask(now) } else { self.reconsider(now) }
            }
        }
    }

    fn start(&mut self, now: Duration, found: Found, held: bool) -> Vec<Action> {
        self.held = held;
        self.state = match (&found.staged, &found.given_up) {
            _ if !found.committed => State::Assessing,
            (Some(staged), _) => State::Staged {
                version: staged.version.clone(),
                root_hash: staged.root_hash,
                why: None,
            },
            (None, Some((version, reason))) => State::RolledBack {
                version: version.clone(),
                reason: *reason,
            },
            (None, None) => State::Idle,
        };
        self.wakes_at = Some(now + self.settings.first_check);
        let leaving = found.leaving;
        self.found = found;
        if leaving { self.go_back() } else { Vec::new() }
    }

    /// Nothing else is begun meanwhile.
    fn go_back(&mut self) -> Vec<Action> {
        self.before = Some(std::mem::replace(&mut self.state, State::Rebooting));
        vec![Action::GoBack { work: self.next_work() }]
    }

    /// Time to look again, whatever stands in the way: the answer may say otherwise now.
    fn wake(&mut self, now: Duration) -> Vec<Action> {
        if self.wakes_at.is_none_or(|due| now < due) {
            return Vec::new();
        }
        if !self.settings.configured && self.state != State::Assessing {
            return self.rest();
        }
        self.wakes_at = Some(now + self.settings.check_every);
        match self.state {
            State::Idle | State::Committed | State::RolledBack { .. } | State::Waiting { .. } => self.check(),
            // What the record says may have changed; a check of the running slot's health is not ours.
            State::Assessing => vec![Action::LookAtSlots],
            State::Staged { .. } => self.before_reboot(),
            State::Checking
            | State::Downloading { .. }
            | State::Writing { .. }
            | State::Verifying { .. }
            | State::Rebooting => Vec::new(),
        }
    }

    /// Nobody can be asked, so nothing is due: settings or an operator wake it.
    fn rest(&mut self) -> Vec<Action> {
        self.wakes_at = None;
        match &mut self.state {
            State::Staged { why, .. } => *why = Some(Why::NotConfigured),
            State::Waiting { .. } => self.state = State::Idle,
            _ => {}
        }
        Vec::new()
    }

    fn check(&mut self) -> Vec<Action> {
        self.state = State::Checking;
        vec![Action::Check { work: self.next_work() }]
    }

    fn next_work(&mut self) -> u64 {
        self.work += 1;
        self.work
    }

    fn committed(&mut self, now: Duration) -> Vec<Action> {
        self.found.committed = true;
        if self.state == State::Assessing {
            self.state = State::Committed;
        }
        self.reconsider(now)
    }

    fn asked_for(&mut self, now: Duration, request: Request) -> Vec<Action> {
        match request {
            Request::Check => self.ask(now),
            Request::Apply => {
                self.asked = true;
                self.unsound = None;
                self.ask(now)
            }
            Request::Rollback if self.is_busy() => Vec::new(),
            Request::Rollback => self.go_back(),
            Request::Hold(held) => {
                self.held = held;
                let mut actions = vec![Action::KeepHold(held)];
                actions.extend(if held { self.stop() } else { self.ask(now) });
                actions
            }
        }
    }

    /// At once, unless it is at work or on trial.
    fn ask(&mut self, now: Duration) -> Vec<Action> {
        if self.is_busy() || !self.found.committed {
            return Vec::new();
        }
        self.failures = 0;
        self.wakes_at = Some(now);
        self.wake(now)
    }

    /// Whether work is under way.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(
            self.state,
            State::Checking
                | State::Downloading { .. }
                | State::Writing { .. }
                | State::Verifying { .. }
                | State::Rebooting
        )
    }

    /// Ends what is under way; the slot keeps what is in it.
    fn stop(&mut self) -> Vec<Action> {
        let offer = match &self.state {
            State::Downloading { offer } | State::Writing { offer, .. } | State::Verifying { offer } => offer.clone(),
            _ => return Vec::new(),
        };
        self.next_work();
        self.state = State::Waiting {
            why: Why::Held,
            offer: Some(offer),
        };
        vec![Action::Stop]
    }

    fn progress(&mut self, work: u64, now_done: u64, now_total: u64) {
        if let State::Writing { done, total, .. } = &mut self.state
            && work == self.work
        {
            (*done, *total) = (now_done, now_total);
        }
    }

    fn ended(&mut self, now: Duration, ended: Ended) -> Vec<Action> {
        match (ended, self.state.clone()) {
            (Ended::Check(Ok(offer)), State::Checking) => self.consider(offer),
            (Ended::Described(Ok(cost)), State::Downloading { offer }) => {
                let offer = Offer { cost, ..offer };
                match gates::why_not_write(&self.settings, &self.standing(), &offer) {
                    Some(why) => self.wait(why, Some(offer)),
                    None => self.write(offer),
                }
            }
            (Ended::Write(Ok(())), State::Writing { offer, .. }) => {
                self.state = State::Verifying { offer: offer.clone() };
                vec![Action::Verify { work: self.work, offer }]
            }
            (Ended::Verify(Ok(())), State::Verifying { offer }) => {
                self.failures = 0;
                self.state = State::Staged {
                    version: offer.version,
                    root_hash: offer.root_hash,
                    why: None,
                };
                self.before_reboot()
            }
            (Ended::Halt(answer), State::Staged { .. }) => self.reboot_or_wait(now, answer),
            (Ended::GoBack(Ok(())), State::Rebooting) => vec![Action::Reboot],
            (Ended::GoBack(Err(_)), State::Rebooting) => {
                self.state = self.before.take().unwrap_or(State::Idle);
                Vec::new()
            }
            (
                Ended::Check(Err(failure))
                | Ended::Described(Err(failure))
                | Ended::Write(Err(failure))
                | Ended::Verify(Err(failure)),
                state,
            ) => self.failed(now, failure, offer_of(state)),
            _ => Vec::new(),
        }
    }

    /// What the repository offers, if anything.
    fn consider(&mut self, offer: Option<Offer>) -> Vec<Action> {
        let newer = offer.filter(|offer| gates::is_newer(&offer.version, &self.found.version));
        // That the repository answers says nothing of a release that could not be written.
        if newer.as_ref().map(|offer| offer.root_hash) != self.failing {
            (self.failing, self.failures) = (None, 0);
        }
        let Some(offer) = newer else {
            self.state = State::Idle;
            self.asked = false;
            return Vec::new();
        };
        if self.unsound == Some(offer.root_hash) {
            return self.wait(Why::Unsound, Some(offer));
        }
        match gates::why_not_write(&self.settings, &self.standing(), &offer) {
            Some(why) => self.wait(why, Some(offer)),
            None => {
                self.state = State::Downloading { offer: offer.clone() };
                vec![Action::Describe {
                    work: self.next_work(),
                    offer,
                }]
            }
        }
    }

    fn write(&mut self, offer: Offer) -> Vec<Action> {
        self.state = State::Writing {
            offer: offer.clone(),
            done: 0,
            total: 0,
        };
        let full = gates::may_fetch_in_full(&self.settings, self.asked, &offer);
        vec![Action::Write {
            work: self.work,
            offer,
            full,
        }]
    }

    fn wait(&mut self, why: Why, offer: Option<Offer>) -> Vec<Action> {
        self.state = State::Waiting { why, offer };
        Vec::new()
    }

    fn standing(&self) -> gates::Standing {
        gates::Standing {
            committed: self.found.committed,
            held: self.held,
            asked: self.asked,
        }
    }

    /// The signed halt flag is read again right before the machine goes down.
    fn before_reboot(&mut self) -> Vec<Action> {
        let reason = gates::why_not_reboot(&self.settings, &self.standing());
        let waits = reason.is_some();
        if let State::Staged { why, .. } = &mut self.state {
            *why = reason;
        }
        if waits {
            return Vec::new();
        }
        vec![Action::ReadHalt { work: self.next_work() }]
    }

    fn reboot_or_wait(&mut self, now: Duration, answer: Result<bool, Failure>) -> Vec<Action> {
        let reason = match answer {
            Ok(false) => {
                self.state = State::Rebooting;
                return vec![Action::Reboot];
            }
            Ok(true) => Why::Halted,
            Err(failure) => failure.why(),
        };
        self.retry_later(now);
        if let State::Staged { why, .. } = &mut self.state {
            *why = Some(reason);
        }
        Vec::new()
    }

    fn failed(&mut self, now: Duration, failure: Failure, offer: Option<Offer>) -> Vec<Action> {
        if let Some(offer) = &offer {
            self.failing = Some(offer.root_hash);
            if let Failure::Unsound { .. } = &failure {
                self.unsound = Some(offer.root_hash);
            }
        }
        self.retry_later(now);
        self.wait(failure.why(), offer)
    }

    fn retry_later(&mut self, now: Duration) {
        let delay = FIRST_RETRY.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        self.wakes_at = Some(now + delay.min(self.settings.check_every));
    }

    /// Settings changed, or the running slot was committed: what was waited for may be there.
    fn reconsider(&mut self, now: Duration) -> Vec<Action> {
        match self.state {
            State::Waiting { .. } | State::Staged { .. } => self.ask(now),
            _ => Vec::new(),
        }
    }
}

fn offer_of(state: State) -> Option<Offer> {
    match state {
        State::Downloading { offer } | State::Writing { offer, .. } | State::Verifying { offer } => Some(offer),
        _ => None,
    }
}

#[cfg(test)]
#[path = "fleet_test.rs"]
mod fleet_test;
#[cfg(test)]
#[path = "step_test.rs"]
mod step_test;
