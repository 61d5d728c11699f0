//! `keelson reboot` and `keelson power-off`: asked of PID 1, with who asks and why for the boot history.

use std::time::Duration;

use keelson_manager_api::{Refusal, Request, Words};
use serde_json::json;

use crate::answer::{complain, exit, json as to_json, say};
use crate::command::{OPERATOR, Power};
use crate::machine::Machine;

/// How the machine shall go down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// And start again.
    Reboot,
    /// And stay down.
    PowerOff,
}

/// Asks PID 1 to go down.
///
/// # Errors
/// PID 1 cannot be asked.
pub fn power(machine: &Machine, how: How, wanted: &Power) -> anyhow::Result<u8> {
    let words = Words {
        person: std::env::var(OPERATOR).ok(),
        why: wanted.why.clone(),
    };
    let (request, name, told) = match how {
        How::Reboot => (Request::Reboot { words }, "reboot", "it starts again by itself"),
        How::PowerOff => (Request::PowerOff { words }, "power-off", "it stays down"),
    };
    let asked = machine.ask(request, Duration::from_secs(10))?;
    if wanted.json {
        let message = asked.as_ref().err().map(|refused| &refused.message);
        say(&to_json(
            &json!({ "format": 1, "asked": name, "accepted": asked.is_ok(), "message": message }),
        )?);
    }
    let Err(refused) = asked else {
        if !wanted.json {
            say(&format!(
                "{name}: containers and services are stopped in order, within 75 s; connections end, {told}.\n"
            ));
        }
        return Ok(exit::GOOD);
    };
    complain(&format!("keelson: {name}: {}\n", refused.message));
    Ok(match refused.refusal {
        Refusal::NotAllowed => exit::NOT_ALLOWED,
        _ => exit::BAD,
    })
}
