//! Switches for faults.

use std::time::Duration;

use super::Instance;

/// How an answer goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Takes the connection and sends nothing: what a hop limit of 1 does behind a router.
    Hang,
    /// Sends the head and no body.
    HangAfterHead,
    /// One byte per this time.
    Trickle(Duration),
    /// This status instead.
    Status(u16),
    /// Answers late.
    Late(Duration),
    /// Ends in the middle of the body.
    Truncate,
    /// Says that the body is longer than it is, and keeps the connection.
    TooLongLength,
    /// Points elsewhere.
    Redirect(String),
    /// Bytes that are no HTTP.
    Garbage,
    /// This body instead.
    Body(Vec<u8>),
    /// Closes without a word.
    Close,
    /// Answers with 503, and from then on for another instance.
    Replaced(Box<Instance>),
}

/// A misbehaviour for some requests.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Beginning of the paths it concerns.
    pub path: &'static str,
    /// How many requests it concerns; then all is well.
    pub times: u32,
    /// What happens.
    pub what: Misbehaviour,
}

impl Fault {
    /// For every request of these paths.
    #[must_use]
    pub fn always(path: &'static str, what: Misbehaviour) -> Fault {
        Fault {
            path,
            times: u32::MAX,
            what,
        }
    }

    /// For the first request of these paths.
    #[must_use]
    pub fn once(path: &'static str, what: Misbehaviour) -> Fault {
        Fault { path, times: 1, what }
    }
}
