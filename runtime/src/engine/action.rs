//! What the engine can be asked to do, and the handle to ask it with.
//!
//! Every request of the API and of the machine's configuration becomes one [`Action`]. The owner
//! task takes them one at a time; an answer may come much later (a stop answers when the container
//! has ended).

use keelson_shim_api::Streams;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::error::EngineError;
use super::events::Event;
use super::id::ContainerId;
use super::owner::Happened;
use super::record::ContainerRecord;
use super::request::{ContainerRequest, Limits, Patience};
use super::restart::RestartPolicy;
use crate::shim::{Ends, Shim};

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

/// A request to the engine. `container` is an id, a unique prefix of one, or a name.
#[derive(Debug)]
pub enum Action {
    /// Make a container. Legal when the image is there and the name is free; it does not run yet.
    Create {
        /// Its name; `None` gives one.
        name: Option<String>,
        /// What it should be.
        request: Box<ContainerRequest>,
        /// Its id.
        reply: Reply<ContainerId>,
    },
    /// Run a container. Legal when created, exited or waiting to restart; answered when its process
    /// runs, or with the reason why not.
    Start {
        /// Which.
        container: String,
        /// Done.
        reply: Reply<()>,
    },
    /// End a container. Legal when it runs or waits to restart; answered when it has ended.
    Stop {
        /// Which.
        container: String,
        /// How.
        how: StopRequest,
        /// Done.
        reply: Reply<()>,
    },
    /// End a container and start it again. Legal in every state but removal; answered when it runs.
    Restart {
        /// Which.
        container: String,
        /// How to end it.
        how: StopRequest,
        /// Done.
        reply: Reply<()>,
    },
    /// Send a signal. Legal when it runs; answered when sent, for SIGKILL when it has ended.
    Kill {
        /// Which.
        container: String,
        /// Number of the signal.
        signal: i32,
        /// Done.
        reply: Reply<()>,
    },
    /// Freeze or thaw every process. Legal when it runs and is not so already; answered when done.
    Freeze {
        /// Which.
        container: String,
        /// Freeze, or thaw.
        frozen: bool,
        /// Done.
        reply: Reply<()>,
    },
    /// Change limits and restart policy. Legal always but while it is removed; answered when the kernel has them.
    Update {
        /// Which.
        container: String,
        /// What changes.
        change: Change,
        /// Done.
        reply: Reply<()>,
    },
    /// Give another name. Legal always but for a name in use.
    Rename {
        /// Which.
        container: String,
        /// The new name.
        name: String,
        /// Done.
        reply: Reply<()>,
    },
    /// Remove a container. Legal when it does not run, or with `force`; answered when it is gone.
    Remove {
        /// Which.
        container: String,
        /// Kill it first.
        force: bool,
        /// Remove its anonymous volumes too.
        volumes: bool,
        /// Done.
        reply: Reply<()>,
    },
    /// Be told when it ends. Legal always. The answer is a promise made before anything that is
    /// asked later, so that an end cannot be missed.
    Wait {
        /// Which.
        container: String,
        /// What to wait for.
        until: WaitFor,
        /// The promise.
        reply: Reply<oneshot::Receiver<Waited>>,
    },
    /// Join a container's streams, now or when it runs next. Legal always. The ends come before anything is read from
    /// them, so nothing is missed of a run that is asked for later.
    Attach {
        /// Which.
        container: String,
        /// Streams wanted; the input only if the container has one.
        streams: Streams,
        /// The promise.
        reply: Reply<oneshot::Receiver<Ends>>,
    },
    /// The shim of a container. Legal when it runs.
    Reach {
        /// Which.
        container: String,
        /// Shim and record.
        reply: Reply<Reached>,
    },
    /// Everything about one container.
    Inspect {
        /// Which.
        container: String,
        /// Its record.
        reply: Reply<Box<ContainerRecord>>,
    },
    /// Everything about all containers, the newest first.
    List {
        /// Their records.
        reply: Reply<Vec<ContainerRecord>>,
    },
    /// Remove an image. Legal when no container uses it, or with `force` when none that runs does.
    RemoveImage {
        /// Name or id.
        image: String,
        /// Even if a stopped container uses it.
        force: bool,
        /// What was untagged and what was deleted.
        reply: Reply<Vec<Removed>>,
    },
    /// Past events, and those to come.
    Events {
        /// Both.
        reply: Reply<(Vec<Event>, broadcast::Receiver<Event>)>,
    },
    /// End every container, since the machine ends: nothing is started again, and the next boot takes
    /// them up as after a power cut. Answered when the last one has ended.
    Close {
        /// Done.
        reply: Reply<()>,
    },
    /// Tell the listeners of something that happened to a container outside the engine (an exec).
    Note {
        /// Which.
        container: ContainerId,
        /// What.
        action: String,
        /// More about it.
        facts: Vec<(&'static str, String)>,
    },
    /// Tell the listeners of something that happened outside the engine (a pull).
    Publish {
        /// What.
        event: Event,
    },
}

/// How a container should be ended; absent members are the container's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct StopRequest {
    /// Number of the signal.
    pub signal: Option<i32>,
    /// Time before it is killed.
    pub patience: Option<Patience>,
}

/// What an update changes; absent members stay as they are.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Limits: those that are not zero or empty.
    pub limits: Limits,
    /// What happens when it ends.
    pub restart: Option<RestartPolicy>,
}

/// A container that runs.
#[derive(Debug)]
pub struct Reached {
    /// Its shim.
    pub shim: Shim,
    /// Its record.
    pub record: Box<ContainerRecord>,
}

/// What a wait waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// It does not run: at once if so.
    NotRunning,
    /// It ends the next time.
    NextExit,
    /// It is gone.
    Removed,
}

/// Answer to a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waited {
    /// Exit code.
    pub exit_code: i32,
    /// Why it could not be started, if so.
    pub error: String,
}

/// A line of the answer to a removal of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name.
    Untagged(String),
    /// An id.
    Deleted(String),
}

/// What the owner task receives.
#[derive(Debug)]
pub enum Message {
    /// Someone asks.
    Ask(Action),
    /// Something the owner started has come to an end.
    Happened(Happened),
}

/// The way to ask the engine.
#[derive(Debug, Clone)]
pub struct Handle {
    sender: mpsc::Sender<Message>,
}

impl Handle {
    /// A handle over the owner's queue.
    pub fn new(sender: mpsc::Sender<Message>) -> Handle {
        Handle { sender }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The engine's, or that it has ended.
    pub async fn ask<T>(&self, action: impl FnOnce(Reply<T>) -> Action) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        let gone = || EngineError::Internal("the engine has ended".to_owned());
        self.sender
            .send(Message::Ask(action(reply)))
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Tells listeners what happened to a container outside the engine.
    pub async fn note(&self, container: &ContainerId, action: impl Into<String>, facts: Vec<(&'static str, String)>) {
        let note = Action::Note {
            container: container.clone(),
            action: action.into(),
            facts,
        };
        // An engine that has ended has no listeners.
        let _ = self.sender.send(Message::Ask(note)).await;
    }

    /// Tells listeners what happened outside the engine.
    pub async fn publish(&self, event: Event) {
        // An engine that has ended has no listeners.
        let _ = self.sender.send(Message::Ask(Action::Publish { event })).await;
    }
}
