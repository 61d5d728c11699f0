//! What the program that asks a cloud's metadata service reports to the one that applies configurations, as JSON, a
//! message per connection to [`crate::paths::METADATA_SOCKET`]. Unknown fields are ignored, fields are only added.

use serde::{Deserialize, Serialize};

/// Longest message: a document of 1 MiB as base64, and the rest.
pub const MAX_MESSAGE: usize = 2 << 20;

/// A message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_debug_implementations, reason = "a document holds secrets")]
pub struct Message {
    /// Version of this message; 1.
    pub format: u32,
    /// The address that was asked, for instance `169.254.169.254`.
    pub endpoint: String,
    /// Attempts so far.
    pub attempts: u32,
    /// Milliseconds since the first one.
    pub took_ms: u64,
    /// How it went.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How asking went.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
#[expect(missing_debug_implementations, reason = "a document holds secrets")]
pub enum Outcome {
    /// The service answered everything.
    Found(Answer),
    /// It did not within the budget; asking goes on.
    Failing {
        /// What is wrong, with its cure.
        problem: String,
    },
}

/// What a metadata service says about this machine.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_debug_implementations, reason = "a document holds secrets")]
pub struct Answer {
    /// Identity of the instance.
    #[serde(default)]
    pub instance_id: Option<String>,
    /// Host name.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Public keys in the form of `authorized_keys`, one or more lines each.
    #[serde(default)]
    pub public_keys: Vec<String>,
    /// The document, base64.
    #[serde(default)]
    pub user_data: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_was_written() {
        let text =
            r#"{"format":1,"endpoint":"e","attempts":2,"took_ms":3,"outcome":"found","instance_id":"i-1","later":0}"#;
        let message: Message = serde_json::from_str(text).unwrap();
        assert!(matches!(&message.outcome, Outcome::Found(answer) if answer.instance_id.as_deref() == Some("i-1")));
        let written = serde_json::to_string(&message).unwrap();
        assert!(serde_json::from_str::<Message>(&written).unwrap() == message);
    }
}
