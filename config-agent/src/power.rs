//! The end of the first boot that a document asks for: once per generation, and only after this has been written down
//! where it outlives the boot. A machine that cannot remember it stays up.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context as _;
use keelson_image_layout::facts::StateMount;
use keelson_image_layout::paths;
use keelson_machine_config::{AfterBoot, Power};
use keelson_manager_api::message::Words;
use keelson_manager_api::{Client, Reply, Request};

use crate::generation::{Generation, Store};
use crate::places::Places;
use crate::status;
use crate::stores::state_of;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is asked for, or it was done on an earlier boot.
    Stay,
    /// Nothing, for this reason.
    Refrain(&'static str),
    /// This, once the generation is written down as done.
    End(Power),
}

/// Decides for the generation in force. `done` is the one that ended a boot last, `durable` whether the state survives.
#[must_use]
pub fn decide(in_force: Option<&Generation>, done: Option<&str>, durable: bool) -> Decision {
    let Some((generation, power)) = in_force.and_then(|found| Some((found, found.config.power.as_ref()?))) else {
        return Decision::Stay;
    };
    match (done == Some(generation.id.as_str()), durable) {
        (true, _) => Decision::Stay,
        (false, false) => Decision::Refrain("the state is not durable, so that it would happen at every boot"),
        (false, true) => Decision::End(power.clone()),
    }
}

/// Ends the boot if its document asks for it. Comes back at once if not.
///
/// # Errors
/// The store cannot be read, the memory of it not be written, or PID 1 refuses.
pub fn run(places: &Places) -> anyhow::Result<()> {
    let in_force = Store::read_only(&places.config)
        .load_in_force()
        .context("read what is in force")?;
    let done = fs::read_to_string(record(places)).ok();
    let durable = state_of(places).is_none_or(|state| state == StateMount::ReadWrite);
    match decide(in_force.as_ref(), done.as_deref().map(str::trim), durable) {
        Decision::Stay => Ok(()),
        Decision::Refrain(why) => {
            log::warn!("the machine stays up although its document asks otherwise: {why}");
            Ok(())
        }
        Decision::End(power) => {
            let id = in_force.map(|generation| generation.id).unwrap_or_default();
            announce(&power, places);
            thread::sleep(power.delay.0);
            remember(places, &id).context("write down that it was done")?;
            request(&power, Path::new(paths::CONTROL))
        }
    }
}

fn record(places: &Places) -> PathBuf {
    places.config.join("power-done")
}

fn remember(places: &Places, id: &str) -> io::Result<()> {
    keelson_durable::replace(&record(places), format!("{id}\n").as_bytes(), 0o644)
}

fn announce(power: &Power, places: &Places) {
    let what = match power.after_boot {
        AfterBoot::PowerOff => "switched off",
        AfterBoot::Reboot => "started again",
    };
    let mut line = format!("the machine is {what} in {}, as its document asks", power.delay);
    if let Some(message) = &power.message {
        let message: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        line.push_str(&format!(": {message}"));
    }
    log::info!("{line}");
    status::print(&[line], &places.dev.join("console"));
}

fn request(power: &Power, control: &Path) -> anyhow::Result<()> {
    let words = Words {
        person: None,
        why: Some("the machine's document asks for it".to_owned()),
    };
    let request = match power.after_boot {
        AfterBoot::PowerOff => Request::PowerOff { words },
        AfterBoot::Reboot => Request::Reboot { words },
    };
    let mut client = Client::connect(control).context("connect to PID 1")?;
    match client.request(request).context("ask PID 1")? {
        Reply::Refused { message, .. } => anyhow::bail!("PID 1 refuses: {message}"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_a_boot_once_and_only_if_that_is_remembered() {
        let generation = |text: &str| {
            let verdict = keelson_machine_config::validate("t", format!("schema = 1\n{text}").as_bytes());
            let provenance = serde_json::from_value(serde_json::json!({
                "format": 1, "fingerprint": "f", "agent": "0",
                "origin": crate::source::Origin::only(crate::source::Kind::Nocloud, "x"),
            }));
            Generation {
                id: "g".to_owned(),
                config: verdict.accepted.expect("valid").config,
                provenance: provenance.expect("readable"),
                rendered: Default::default(),
            }
        };
        let asks = generation("[power]\nafter-boot = \"reboot\"\n");
        let end = Decision::End(asks.config.power.clone().unwrap());
        for (generation, done, durable, expected) in [
            (None, None, true, Some(Decision::Stay)),
            (Some(&generation("")), None, true, Some(Decision::Stay)),
            (Some(&asks), None, true, Some(end.clone())),
            (Some(&asks), Some("other"), true, Some(end)),
            (Some(&asks), Some("g"), true, Some(Decision::Stay)),
            (Some(&asks), None, false, None),
        ] {
            let decision = decide(generation, done, durable);
            match expected {
                Some(expected) => assert_eq!(decision, expected),
                None => assert!(matches!(decision, Decision::Refrain(_))),
            }
        }
    }
}
