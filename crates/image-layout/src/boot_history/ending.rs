//! What PID 1 leaves on state when the machine goes down in order: how, who asked, and with what words.

use serde::{Deserialize, Serialize};

/// Most letters kept of what a caller says.
const MOST_LETTERS: usize = 256;

/// The record of an orderly end, `boot/ending`. Written when nothing else runs any more; one of another boot says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The boot that ended, 32 hexadecimal digits.
    pub boot_id: String,
    /// How the machine went down.
    pub kind: Kind,
    /// Who asked.
    pub asker: Asker,
    /// When everything was stopped, seconds since 1970.
    pub at: u64,
    /// How long the machine was up, seconds.
    pub up: u64,
}

/// How the machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It starts again.
    Reboot,
    /// It is switched off.
    PowerOff,
}

/// Who asked the machine to go down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Asker {
    /// Somebody at the machine, or its hypervisor.
    PowerButton,
    /// Ctrl-Alt-Del on the console.
    Keyboard,
    /// A signal to PID 1.
    Signal {
        /// The sender.
        pid: u32,
    },
    /// PID 1 itself: a slot on trial did not come up in time.
    FailedBoot {
        /// What held it up.
        reason: String,
    },
    /// A request on the control socket.
    Request {
        /// The unit the caller belongs to; absent for the machine's own processes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit: Option<String>,
        /// The person, as the unit says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person: Option<String>,
        /// The reason, as the caller says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// Somebody a newer release knows.
    #[serde(other)]
    Unknown,
}

impl Asker {
    /// A request with what its caller says, cut to a line of bounded length.
    #[must_use]
    pub fn request(unit: Option<String>, person: Option<String>, why: Option<String>) -> Asker {
        let bounded = |text: Option<String>| text.map(|text| one_line(&text)).filter(|text| !text.is_empty());
        Asker::Request {
            unit,
            person: bounded(person),
            why: bounded(why),
        }
    }
}

impl std::fmt::Display for Asker {
    /// The rest of "… was asked for".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Asker::PowerButton => f.write_str("by the power button"),
            Asker::Keyboard => f.write_str("by Ctrl-Alt-Del"),
            Asker::Signal { pid } => write!(f, "by a signal from process {pid}"),
            Asker::FailedBoot { reason } => write!(f, "by PID 1, since the boot did not complete: {reason}"),
            Asker::Unknown => f.write_str("by somebody this release does not know"),
            Asker::Request { unit, person, why } => {
                match (person, unit) {
                    (Some(person), Some(unit)) => write!(f, "by {person} through {unit}")?,
                    (Some(person), None) => write!(f, "by {person}")?,
                    (None, Some(unit)) => write!(f, "by the service {unit}")?,
                    (None, None) => f.write_str("by a process of the machine")?,
                }
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
        }
    }
}

fn one_line(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.trim().chars().take(MOST_LETTERS).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_say_is_one_line_of_bounded_length() {
        let asker = Asker::request(None, Some(" core\n".to_owned()), Some("a\u{1b}[2J\nb".repeat(100)));
        let Asker::Request { person, why, .. } = asker else {
            panic!("no request")
        };
        assert_eq!(person.as_deref(), Some("core"));
        let why = why.unwrap();
        assert!(why.chars().count() == MOST_LETTERS && !why.chars().any(char::is_control));
        assert_eq!(
            Asker::request(None, Some("\n".to_owned()), None),
            Asker::Request {
                unit: None,
                person: None,
                why: None
            }
        );
    }

    #[test]
    fn who_asked_is_said_in_words() {
        let request = |unit: Option<&str>, person: Option<&str>, why: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            Asker::request(owned(unit), owned(person), owned(why)).to_string()
        };
        assert_eq!(
            request(Some("access"), Some("core"), Some("new kernel")),
            "by core through access: new kernel"
        );
        assert_eq!(request(Some("update"), None, None), "by the service update");
        assert_eq!(request(None, None, None), "by a process of the machine");
    }
}
