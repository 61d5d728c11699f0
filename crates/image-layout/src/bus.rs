//! What a container may do on the system bus. The engine leaves the word for each container that was granted something in
//! a file named by the container's id, and the bus reads it when the container connects.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A grant; without one there is no socket, and who gets to it anyway is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BusAccess {
    /// Look: units, properties, signals.
    Read,
    /// Look, and start, stop, update, reboot: as good as an operator.
    Operate,
}

/// Not the word of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("access to the bus is \"read\" or \"operate\"")]
pub struct NoBusAccess;

impl FromStr for BusAccess {
    type Err = NoBusAccess;

    fn from_str(text: &str) -> Result<Self, NoBusAccess> {
        match text {
            "read" => Ok(BusAccess::Read),
            "operate" => Ok(BusAccess::Operate),
            _ => Err(NoBusAccess),
        }
    }
}

impl fmt::Display for BusAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BusAccess::Read => "read",
            BusAccess::Operate => "operate",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_back() {
        for access in [BusAccess::Read, BusAccess::Operate] {
            assert_eq!(access.to_string().parse(), Ok(access));
            assert_eq!(serde_json::to_string(&access).unwrap(), format!("\"{access}\""));
        }
        for other in ["", "true", "Read", "read\n"] {
            assert_eq!(other.parse::<BusAccess>(), Err(NoBusAccess));
        }
        assert!(BusAccess::Operate > BusAccess::Read);
    }
}
