//! Everything the engine refuses or fails at, in the words Docker's clients match on. Status codes
//! are the API's business (`api/error.rs`).

use super::id::ContainerId;

/// Why an [`Action`](super::action::Action) was not done.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nobody goes by that id or name.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// The image is not in the store.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// Another kind of object does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Several ids start so.
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// The name is taken.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". \
         You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Who has it.
        holder: ContainerId,
    },
    /// The name cannot be one.
    #[error("Invalid container name ({0}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    InvalidName(String),
    /// Nothing to do.
    #[error("not modified")]
    NotModified,
    /// The container must run for this.
    #[error("container {0} is not running")]
    NotRunning(ContainerId),
    /// The container must not run for this.
    #[error(
        "cannot remove container \"/{0}\": container is running: stop the container before \
         removing or force remove"
    )]
    StillRunning(String),
    /// It is on its way out.
    #[error("removal of container {0} is already in progress")]
    RemovalInProgress(ContainerId),
    /// Not possible now.
    #[error("{0}")]
    Conflict(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// A registry wants other credentials.
    #[error("{0}")]
    Unauthorized(String),
    /// Not built yet.
    #[error("not supported by this engine yet: {0}")]
    NotSupported(String),
    /// The container could not be started.
    #[error("{message}")]
    StartFailed {
        /// Docker's exit code for it.
        code: i32,
        /// Why, ready to be shown.
        message: String,
    },
    /// Something of ours failed.
    #[error("{0}")]
    Internal(String),
}

impl EngineError {
    /// An internal failure: `error` and its causes, joined by ": ".
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> EngineError {
        EngineError::Internal(chain(error))
    }
}

/// An error and its causes as one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
