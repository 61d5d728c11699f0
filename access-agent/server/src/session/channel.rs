//! The open channels of a connection.

use std::collections::HashMap;

use russh::server::Msg;
use russh::{Channel, ChannelId, ChannelWriteHalf, Sig};
use rustix::process::Signal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::output::Output;
use crate::inflow::Inflow;
use crate::terminal::Line;

/// Channels a connection may have at once.
const MOST: usize = 10;

/// A channel that was opened.
#[derive(Debug)]
pub struct Open {
    /// The writing side, until something runs.
    half: Option<ChannelWriteHalf<Msg>>,
    /// What the client sends.
    pub inflow: Inflow,
    /// The line being typed, if the client has a terminal.
    pub line: Option<Line>,
    signals: UnboundedSender<Signal>,
    receiver: Option<UnboundedReceiver<Signal>>,
    task: Option<JoinHandle<()>>,
}

/// What something that runs on a channel gets.
#[derive(Debug)]
pub struct Parts {
    /// What goes to the client.
    pub output: Output,
    /// What comes from it.
    pub inflow: Inflow,
    /// Signals the client sends.
    pub signals: UnboundedReceiver<Signal>,
}

impl Open {
    fn new(channel: Channel<Msg>) -> Self {
        // Bytes come through the handler and not through the channel's own queue: that one makes the connection wait.
        let (_, half) = channel.split();
        let (signals, receiver) = unbounded_channel();
        Self {
            half: Some(half),
            inflow: Inflow::default(),
            line: None,
            signals,
            receiver: Some(receiver),
            task: None,
        }
    }

    /// The parts for what is going to run; once.
    pub fn take_parts(&mut self) -> Option<Parts> {
        Some(Parts {
            output: Output::new(self.half.take()?, self.line.is_some()),
            inflow: self.inflow.clone(),
            signals: self.receiver.take()?,
        })
    }

    /// Keeps what runs, so that it ends with the channel.
    pub fn keep(&mut self, task: JoinHandle<()>) {
        self.task = Some(task);
    }

    /// Passes a signal on to what runs.
    pub fn signal(&self, signal: Signal) {
        let _ = self.signals.send(signal);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// All channels of a connection.
#[derive(Debug, Default)]
pub struct Channels {
    open: HashMap<ChannelId, Open>,
}

impl Channels {
    /// Adds a channel; `None` if there are as many as there may be.
    pub fn add(&mut self, channel: Channel<Msg>) -> Option<&mut Open> {
        if self.open.len() >= MOST {
            return None;
        }
        Some(self.open.entry(channel.id()).or_insert(Open::new(channel)))
    }

    /// A channel.
    pub fn get(&mut self, id: ChannelId) -> Option<&mut Open> {
        self.open.get_mut(&id)
    }

    /// Ends a channel and what runs on it.
    pub fn remove(&mut self, id: ChannelId) {
        self.open.remove(&id);
    }

    /// Whether some reader is behind.
    #[must_use]
    pub fn any_is_long(&self) -> bool {
        self.open.values().any(|open| open.inflow.is_long())
    }
}

/// The signals a client may send.
#[must_use]
pub fn known_signal(signal: &Sig) -> Option<Signal> {
    match signal {
        Sig::INT => Some(Signal::INT),
        Sig::TERM => Some(Signal::TERM),
        Sig::HUP => Some(Signal::HUP),
        Sig::QUIT => Some(Signal::QUIT),
        Sig::KILL => Some(Signal::KILL),
        _ => None,
    }
}
