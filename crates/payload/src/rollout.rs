//! What a channel offers now: a target of its own role, which one key signs for a day.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Version;

/// The format written here.
pub const FORMAT: u32 = 1;
/// Most bytes of a rollout.
pub const ROLLOUT_BYTES: usize = 64 << 10;

/// The offer of a channel. Unknown fields are ignored, fields are only added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Format of this description; [`FORMAT`].
    pub format: u32,
    /// Oldest format whose readers understand it.
    pub min_reader: u32,
    /// Name of the channel.
    pub channel: String,
    /// Whether no host may take the offer any further: nothing is fetched, and nobody reboots into it.
    pub halt: bool,
    /// Version by flavour.
    pub releases: BTreeMap<String, Version>,
    /// Reserved for groups of hosts that go one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<serde_json::Value>,
}

/// Why a rollout is refused.
#[derive(Debug, Error)]
pub enum RolloutError {
    /// Not what the format says.
    #[error("the rollout cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Longer than any.
    #[error("a rollout has at most {ROLLOUT_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// Made for a newer update agent.
    #[error("the rollout needs a reader of format {min_reader}, this one reads {FORMAT}")]
    TooNew {
        /// Format it needs.
        min_reader: u32,
    },
    /// Of another channel than the one it was asked for.
    #[error("the rollout is of channel {found:?}")]
    Channel {
        /// Its channel.
        found: String,
    },
}

impl Rollout {
    /// Reads the offer of `channel`. The bytes must be those of a verified target.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(bytes: &[u8], channel: &str) -> Result<Rollout, RolloutError> {
        if bytes.len() > ROLLOUT_BYTES {
            return Err(RolloutError::TooLong(bytes.len()));
        }
        let rollout: Rollout = serde_json::from_slice(bytes)?;
        if rollout.min_reader > FORMAT {
            return Err(RolloutError::TooNew {
                min_reader: rollout.min_reader,
            });
        }
        if rollout.channel != channel {
            return Err(RolloutError::Channel { found: rollout.channel });
        }
        Ok(rollout)
    }

    /// The text of a rollout.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes_and_ignores_what_it_does_not_know() {
        let rollout = Rollout {
            format: FORMAT,
            min_reader: 1,
            channel: "stable".into(),
            halt: true,
            releases: [("cloud".to_owned(), "0.2.0".parse().unwrap())].into(),
            waves: Vec::new(),
        };
        assert_eq!(Rollout::parse(&rollout.to_bytes(), "stable").unwrap(), rollout);
        let newer = br#"{"format":3,"min_reader":1,"channel":"a","halt":false,"releases":{},"more":[]}"#;
        assert!(!Rollout::parse(newer, "a").unwrap().halt);
    }

    #[test]
    fn another_channel_and_a_newer_format_are_refused() {
        let of = |channel: &str, reader: u32| {
            format!(r#"{{"format":1,"min_reader":{reader},"channel":{channel:?},"halt":false,"releases":{{}}}}"#)
        };
        let refused = |text: String| Rollout::parse(text.as_bytes(), "a").unwrap_err();
        assert!(matches!(refused(of("b", 1)), RolloutError::Channel { .. }));
        assert!(matches!(refused(of("a", 2)), RolloutError::TooNew { min_reader: 2 }));
        assert!(matches!(
            refused(" ".repeat(ROLLOUT_BYTES + 1)),
            RolloutError::TooLong(_)
        ));
        let without_halt = r#"{"format":1,"min_reader":1,"channel":"a","releases":{}}"#;
        assert!(matches!(refused(without_halt.into()), RolloutError::Json(_)));
    }
}
