//! From the machine's document to what the agent goes by. Pure.

use std::time::Duration;

use keelson_machine_config::{ApplyMode, MachineConfig, RebootMode, Update};

use crate::agent::Settings;

/// Time between looks.
const CHECK_EVERY: Duration = Duration::from_secs(3600);
/// The first look comes after the boot's rush, spread over so many seconds.
const FIRST_CHECK: (u64, u64) = (60, 240);

/// What the document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// `[update]`.
    pub update: Update,
    /// Authorities to trust beside the usual ones, PEM.
    pub authorities: Vec<String>,
}

impl Wanted {
    /// From the document in force.
    #[must_use]
    pub fn of(config: &MachineConfig) -> Wanted {
        Wanted {
            update: config.update.clone().unwrap_or_default(),
            authorities: config.trust.ca.iter().map(|ca| ca.as_pem().to_owned()).collect(),
        }
    }

    /// For the agent. `can_trust`: the image has a root; `seed` is different on each machine and boot.
    #[must_use]
    pub fn settings(&self, can_trust: bool, seed: &str) -> Settings {
        let update = &self.update;
        let spread = seed
            .bytes()
            .fold(0_u64, |sum, byte| (sum * 31 + u64::from(byte)) % FIRST_CHECK.1);
        Settings {
            configured: can_trust && update.address.is_some(),
            pin: update.pin.as_ref().map(ToString::to_string),
            floor: update.floor.as_ref().map(ToString::to_string),
            automatic: update.apply == ApplyMode::Auto,
            reboot_now: update.reboot == RebootMode::Now,
            byte_budget: update.byte_budget.map(|bytes| bytes.0),
            check_every: CHECK_EVERY,
            first_check: Duration::from_secs(FIRST_CHECK.0 + spread),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_decides_and_without_an_address_or_a_root_nobody_is_asked() {
        let nothing = Wanted::of(&MachineConfig::default());
        assert!(!nothing.settings(true, "x").configured);
        let update = serde_json::json!({ "address": "https://h/r", "apply": "manual", "reboot": "on-request",
            "pin": "1.2", "byte-budget": 1 << 20 });
        let wanted = Wanted {
            update: serde_json::from_value(update).unwrap(),
            ..nothing
        };
        let settings = wanted.settings(true, "x");
        assert!(settings.configured && !settings.automatic && !settings.reboot_now);
        assert_eq!(
            (settings.pin.as_deref(), settings.byte_budget),
            (Some("1.2"), Some(1 << 20))
        );
        assert!(!wanted.settings(false, "x").configured);
        assert_eq!(wanted.update.channel, "stable");
    }
}
