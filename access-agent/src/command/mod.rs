//! The table of commands: words → [`Command`], who may ask it, and what there is.
//!
//! The SSH server parses the words of a session with this table, refuses by [`Command::needs`], and starts the program
//! `keelson` with the same words. It sets [`OPERATOR`], so that the machine can say later who asked.

mod arguments;
mod moment;
mod usage;

pub use arguments::{
    BootArguments, Config, Document, DocumentFormat, Hold, Install, Logs, Power, ServiceRequest, Update, Why,
};
pub use moment::{Moment, MomentError};
pub(crate) use usage::nearest;
pub use usage::{OVERVIEW, Usage};

use clap::Parser as _;

use arguments::{Arguments, Word};

/// Environment variable with the name of the person who asks, set by the SSH server.
pub const OPERATOR: &str = "KEELSON_OPERATOR";

/// Who may ask for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Who may look.
    Reader,
    /// Who may also change, and read files by name: as good as root.
    Operator,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// What there is to ask.
    Overview,
    /// The machine on one screen.
    Status {
        /// For programs.
        json: bool,
    },
    /// The units of PID 1.
    Services {
        /// What about them.
        request: ServiceRequest,
        /// For programs.
        json: bool,
    },
    /// The journal.
    Logs(Logs),
    /// This boot's timeline.
    Boot(BootArguments),
    /// Why the machine last started anew.
    Why(Why),
    /// The configuration in force, and documents.
    Config(Config),
    /// The two releases of the machine.
    Update(Update),
    /// The release onto another disk.
    Install(Install),
    /// Switch off.
    PowerOff(Power),
    /// Start again.
    Reboot(Power),
}

impl Command {
    /// Understands the words after the program's name.
    ///
    /// # Errors
    /// [`Usage`]: help was asked for, or the words are no command; it says which is near.
    pub fn parse(words: &[String]) -> Result<Command, Usage> {
        let program = std::iter::once("keelson");
        let words = program.chain(words.iter().map(String::as_str));
        let arguments = Arguments::try_parse_from(words).map_err(|error| Usage::of_clap(&error))?;
        arguments.word.map_or(Ok(Command::Overview), Word::into_command)
    }

    /// Who may ask for it.
    #[must_use]
    pub fn needs(&self) -> Role {
        let changes = match self {
            Command::Services { request, .. } => request.changes_something(),
            Command::Install(_) | Command::PowerOff(_) | Command::Reboot(_) => true,
            Command::Config(config) => config.reads_a_file(),
            Command::Update(update) => update.changes_something(),
            Command::Overview | Command::Status { .. } | Command::Logs(_) | Command::Boot(_) | Command::Why(_) => false,
        };
        if changes { Role::Operator } else { Role::Reader }
    }
}

#[cfg(test)]
#[path = "table_test.rs"]
mod tests;
