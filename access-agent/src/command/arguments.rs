//! The words of each command, as `clap` reads them, and the values they become.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use super::{Command, Moment, Usage};

/// Looks at a Keelson machine, operates it, and checks its documents.
#[derive(Debug, Parser)]
#[command(name = "keelson", version, disable_help_subcommand = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) word: Option<Word>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Word {
    /// What there is to ask.
    Help,
    /// The machine on one screen, and what is wrong.
    Status {
        /// Answer for programs.
        #[arg(long)]
        json: bool,
    },
    /// The services: all, one, or a change of one.
    Services {
        /// Nothing, NAME, or `start`, `stop`, `restart` and NAME.
        #[arg(value_name = "[VERB] NAME", num_args = 0..=2)]
        words: Vec<String>,
        /// Answer for programs.
        #[arg(long)]
        json: bool,
    },
    /// The journal of the machine and its containers.
    Logs(Logs),
    /// This boot's timeline: firmware, loader, kernel, initramfs, services.
    Boot(BootArguments),
    /// Why the machine last started anew.
    Why(Why),
    /// The configuration in force; check a document, or show what it would change.
    #[command(args_conflicts_with_subcommands = true)]
    Config {
        #[command(subcommand)]
        word: Option<Config>,
        /// Answer for programs.
        #[arg(long)]
        json: bool,
    },
    /// The two releases of this machine, and going back to the other one.
    #[command(args_conflicts_with_subcommands = true)]
    Update {
        #[command(subcommand)]
        word: Option<Update>,
        /// Answer for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show the disks, or put the running release onto another one.
    Install(Install),
    /// Stop everything in order and switch off.
    PowerOff(Power),
    /// Stop everything in order and start again.
    Reboot(Power),
}

/// What is asked about units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceRequest {
    /// All of them.
    List,
    /// One in detail.
    Show(String),
    /// Bring it up.
    Start(String),
    /// Take it down.
    Stop(String),
    /// Take it down and bring it up.
    Restart(String),
}

impl ServiceRequest {
    /// Whether it is more than a question.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        !matches!(self, ServiceRequest::List | ServiceRequest::Show(_))
    }

    fn parse(words: &[String]) -> Result<ServiceRequest, Usage> {
        const VERBS: [&str; 3] = ["restart", "start", "stop"];
        match words {
            [] => Ok(ServiceRequest::List),
            [verb] if VERBS.contains(&verb.as_str()) => {
                Err(Usage::mistake(format!("services {verb} needs the name of a service")))
            }
            [name] => Ok(ServiceRequest::Show(name.clone())),
            [verb, name] => match verb.as_str() {
                "start" => Ok(ServiceRequest::Start(name.clone())),
                "stop" => Ok(ServiceRequest::Stop(name.clone())),
                "restart" => Ok(ServiceRequest::Restart(name.clone())),
                other => Err(Usage::unknown("services", other, &VERBS)),
            },
            [..] => Err(Usage::mistake("services takes one service".to_owned())),
        }
    }
}

/// Which entries of the journal, and how.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Logs {
    /// Go on with entries as they come.
    #[arg(short, long)]
    pub follow: bool,
    /// Only this service.
    #[arg(short, long, value_name = "NAME")]
    pub unit: Option<String>,
    /// Only this container: its name, or the start of its id.
    #[arg(short, long, value_name = "NAME", conflicts_with = "unit")]
    pub container: Option<String>,
    /// Only the kernel's log.
    #[arg(short, long, conflicts_with_all = ["unit", "container"])]
    pub kernel: bool,
    /// Only one boot: `current`, `previous`, `all`, or the id of a boot (`why --history` has them).
    #[arg(short, long, value_name = "BOOT", num_args = 0..=1, default_missing_value = "current")]
    pub boot: Option<String>,
    /// Only this severity and worse: 0 to 7, or emerg, alert, crit, err, warning, notice, info, debug.
    #[arg(short, long, value_name = "LEVEL", value_parser = parse_priority)]
    pub priority: Option<u8>,
    /// Not before: `-1h`, `today`, `yesterday`, `2026-11-24`, `2026-11-24 09:30`, RFC 3339; UTC.
    #[arg(short = 'S', long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<Moment>,
    /// Not after.
    #[arg(short = 'U', long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<Moment>,
    /// Only the last so many entries.
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub lines: Option<usize>,
    /// One JSON object a line, as `journalctl -o json` writes it.
    #[arg(long)]
    pub json: bool,
    /// The journal export format.
    #[arg(long, conflicts_with = "json")]
    pub export: bool,
}

/// The names of syslog's severities, the worst first.
const PRIORITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

fn parse_priority(text: &str) -> Result<u8, String> {
    let named = PRIORITIES.iter().position(|name| *name == text);
    let number = named.or_else(|| text.parse().ok().filter(|number| *number <= 7));
    let number = number.and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| format!("a severity is 0 to 7 or one of {}", PRIORITIES.join(", ")))
}

/// How the timeline is shown.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct BootArguments {
    /// Answer for programs.
    #[arg(long)]
    pub json: bool,
    /// As a picture (SVG).
    #[arg(long, conflicts_with = "json")]
    pub svg: bool,
}

/// How much of the past is told.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Why {
    /// Every boot that is remembered, the newest first.
    #[arg(long)]
    pub history: bool,
    /// Answer for programs.
    #[arg(long)]
    pub json: bool,
}

/// What is asked about configuration.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Config {
    /// What is in force, where it came from, and the generations.
    #[command(skip)]
    Show {
        /// For programs.
        json: bool,
    },
    /// Check documents as a machine would, all mistakes at once.
    ///
    /// Exit code 0: all are valid; 1: one is not; 2: one is of a format that this release does not read;
    /// 4: a file cannot be read.
    Validate {
        /// Documents; `-` is standard input.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<Document>,
        /// The format, instead of what the first bytes tell.
        #[arg(long = "as", value_name = "FORMAT")]
        format: Option<DocumentFormat>,
        /// Answer for programs.
        #[arg(long)]
        json: bool,
        /// Treat warnings as errors.
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Show what a document would change: on a machine against what is in force, elsewhere against nothing.
    Plan {
        /// The document; `-` is standard input.
        #[arg(value_name = "FILE")]
        file: Document,
        /// The format, instead of what the first bytes tell.
        #[arg(long = "as", value_name = "FORMAT")]
        format: Option<DocumentFormat>,
        /// Compare with this one instead: another document, or an effective configuration (JSON).
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// Answer for programs.
        #[arg(long)]
        json: bool,
    },
}

impl Config {
    /// Whether it opens a file by a name that the caller chose.
    #[must_use]
    pub fn reads_a_file(&self) -> bool {
        match self {
            Config::Show { .. } => false,
            Config::Validate { files, .. } => files.iter().any(|file| file.path().is_some()),
            Config::Plan { file, against, .. } => file.path().is_some() || against.is_some(),
        }
    }
}

/// A format that a document can be said to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DocumentFormat {
    /// The system's own.
    Native,
    /// cloud-init's.
    CloudConfig,
    /// An archive with a cloud-config in it.
    Mime,
    /// A network configuration of version 1 or 2.
    Network,
    /// OpenStack's `network_data.json`.
    NetworkData,
}

/// A document to read: a file, or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document(PathBuf);

impl Document {
    /// The file; `None` for standard input.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        (self.0 != Path::new("-")).then_some(&self.0)
    }
}

impl From<std::ffi::OsString> for Document {
    fn from(name: std::ffi::OsString) -> Self {
        Document(name.into())
    }
}

/// Where the running release goes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Install {
    /// The disk: serial number, name or device node. Without it the disks are shown.
    #[arg(long, value_name = "DISK")]
    pub disk: Option<String>,
    /// The disk's word, for which everything on it is erased: its serial number, or its name if it has none.
    #[arg(long, value_name = "SERIAL", requires = "disk")]
    pub erase: Option<String>,
    /// Provisioning document for the new machine; `-` is standard input.
    #[arg(long, value_name = "FILE", requires = "disk")]
    pub config: Option<Document>,
    /// Answer for programs.
    #[arg(long)]
    pub json: bool,
}

/// What is asked about releases.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Update {
    /// What runs, what it still has to prove, and what the other slot holds.
    Status {
        /// Answer for programs.
        #[arg(long)]
        json: bool,
    },
    /// Every release this machine ran, the newest first, and why each was left.
    History {
        /// Answer for programs.
        #[arg(long)]
        json: bool,
    },
    /// Ask the repository now, and say what it offers.
    Check {
        /// Answer for programs.
        #[arg(long)]
        json: bool,
    },
    /// Take what is offered and reboot into it, whatever the document says of automatic updates and of the byte budget.
    Apply {
        /// Answer for programs.
        #[arg(long)]
        json: bool,
    },
    /// Begin no update and end the one under way; `hold off` lets them go on. Outlives reboots.
    Hold {
        /// `on` or `off`.
        #[arg(default_value = "on")]
        word: Hold,
        /// Answer for programs.
        #[arg(long)]
        json: bool,
    },
    /// Give the running release up and reboot into the other slot, settings included.
    Rollback,
}

/// Whether updates are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Hold {
    /// They are.
    On,
    /// They go on.
    Off,
}

impl Update {
    /// Whether it changes something.
    #[must_use]
    pub const fn changes_something(&self) -> bool {
        !matches!(self, Update::Status { .. } | Update::History { .. })
    }
}

/// How the machine goes down.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Power {
    /// The reason, kept for `why`.
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Answer for programs.
    #[arg(long)]
    pub json: bool,
}

impl Word {
    pub(super) fn into_command(self) -> Result<Command, Usage> {
        Ok(match self {
            Word::Help => Command::Overview,
            Word::Status { json } => Command::Status { json },
            Word::Services { words, json } => Command::Services {
                request: ServiceRequest::parse(&words)?,
                json,
            },
            Word::Logs(logs) => Command::Logs(logs),
            Word::Boot(boot) => Command::Boot(boot),
            Word::Why(why) => Command::Why(why),
            Word::Config { word, json } => Command::Config(word.unwrap_or(Config::Show { json })),
            Word::Update { word, json } => Command::Update(word.unwrap_or(Update::Status { json })),
            Word::Install(install) => Command::Install(install),
            Word::PowerOff(power) => Command::PowerOff(power),
            Word::Reboot(power) => Command::Reboot(power),
        })
    }
}
