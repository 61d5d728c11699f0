//! What is asked of the update agent over its socket, and what it answers: one JSON object a line, both ways.
//!
//! The bytes are described in `docs/formats/update-socket.md`. Both sides may be of different releases, so unknown
//! fields are ignored, and fields, words and requests are only added.

mod client;
mod status;

use serde::{Deserialize, Serialize};

pub use client::{AskError, Connection, ask};
pub use status::{GivenUp, Offer, Other, Progress, State, Status, Why};

/// Most bytes of a line.
pub const LINE_MOST: usize = 64 << 10;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Where it stands; answered with [`Reply::Status`].
    Status,
    /// The same, and again whenever something changed, at most four times a second, until the connection ends.
    Watch,
    /// Ask the repository now.
    Check,
    /// Take what is offered, and reboot into it, whatever the document says of automatic updates and of the budget.
    Apply,
    /// Give the running release up and reboot into the other slot.
    Rollback,
    /// Begin nothing and end what is under way; or no longer. Outlives reboots.
    Hold {
        /// Whether it holds.
        on: bool,
    },
}

impl Request {
    /// Whether it changes something, and so needs authority.
    #[must_use]
    pub const fn changes_something(&self) -> bool {
        !matches!(self, Request::Status | Request::Watch)
    }
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// Where it stands.
    Status {
        /// All of it.
        status: Box<Status>,
    },
    /// It is begun; [`Request::Status`] says how it goes.
    Accepted,
    /// It is not done.
    Refused {
        /// Why, for programs.
        refusal: Refusal,
        /// Why, for people, with what to do about it.
        message: String,
    },
}

/// Why something is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// No request of this protocol.
    Malformed,
    /// The caller runs where nobody may ask for this.
    NotAllowed,
    /// The machine has no address to ask, or no root to trust.
    NotConfigured,
    /// Something is under way that has to end first.
    Busy,
    /// The running release has not proven itself.
    Uncommitted,
    /// It could not be done.
    Failed,
    /// A reason this release of the library does not know.
    #[serde(other)]
    Unknown,
}

/// Entry points for fuzzing: any bytes may come in, errors are fine, panics are bugs.
pub mod fuzz {
    use crate::{Reply, Request};

    /// A line in either direction; what is read is written again.
    pub fn fuzz_update_line(data: &[u8]) {
        if let Ok(request) = serde_json::from_slice::<Request>(data) {
            let _ = serde_json::to_vec(&request);
        }
        if let Ok(reply) = serde_json::from_slice::<Reply>(data) {
            let _ = serde_json::to_vec(&reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_page() {
        let table = [
            (Request::Status, r#"{"request":"status"}"#),
            (Request::Hold { on: true }, r#"{"request":"hold","on":true}"#),
        ];
        for (request, line) in table {
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
        }
        let newer = r#"{"reply":"refused","refusal":"full-moon","message":"no","until":1}"#;
        let refused = serde_json::from_str::<Reply>(newer).unwrap();
        let expected = Reply::Refused {
            refusal: Refusal::Unknown,
            message: "no".to_owned(),
        };
        assert_eq!(refused, expected);
    }

    #[test]
    fn looking_needs_no_authority() {
        assert!(!Request::Watch.changes_something());
        assert!(Request::Check.changes_something());
    }
}
