//! What happened, for `docker events`: the last few hundred, and whoever listens now.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use tokio::sync::broadcast;

/// How many are remembered.
const KEPT: usize = 256;

/// The kind of object something happened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

impl Kind {
    /// Docker's word.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Container => "container",
            Kind::Image => "image",
            Kind::Network => "network",
            Kind::Volume => "volume",
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What it happened to.
    pub kind: Kind,
    /// `start`, `die`, `pull`, ...
    pub action: String,
    /// Id of the object.
    pub id: String,
    /// Labels and facts; every value is text.
    pub attributes: BTreeMap<String, String>,
    /// When.
    pub at: Timestamp,
}

/// The past and the listeners.
#[derive(Debug)]
pub struct EventLog {
    past: VecDeque<Event>,
    sender: broadcast::Sender<Event>,
}

impl Default for EventLog {
    fn default() -> Self {
        let (sender, _) = broadcast::channel(KEPT);
        EventLog {
            past: VecDeque::with_capacity(KEPT),
            sender,
        }
    }
}

impl EventLog {
    /// Remembers an event and tells those who listen.
    pub fn publish(&mut self, event: Event) {
        if self.past.len() == KEPT {
            self.past.pop_front();
        }
        self.past.push_back(event.clone());
        // Nobody may be listening.
        let _ = self.sender.send(event);
    }

    /// The past, and a receiver that misses nothing after it.
    pub fn subscribe(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        (self.past.iter().cloned().collect(), self.sender.subscribe())
    }
}
