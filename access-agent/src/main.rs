//! `keelson`, the operator's command: on a machine it answers what there is to know, and on any computer it checks
//! documents as a machine would.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

mod config;
mod status;

/// Exit codes, the same for every command.
mod exit {
    /// Asked for and true.
    pub const GOOD: u8 = 0;
    /// Asked for and false: the document is invalid, the machine is not well.
    pub const BAD: u8 = 1;
    /// The document is of a kind that this release does not read.
    pub const UNSUPPORTED: u8 = 2;
    /// Nothing could be asked: a file or a socket is missing.
    pub const FAILED: u8 = 4;
}

/// Looks at a Keelson machine and checks its documents.
#[derive(Debug, Parser)]
#[command(name = "keelson", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check documents, or show what one would change.
    #[command(subcommand)]
    Config(Config),
    /// Show the machine's configuration and services.
    Status {
        /// How to answer.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
enum Config {
    /// Check documents as a machine would, all mistakes at once.
    ///
    /// Exit code 0: all are valid; 1: one is not; 2: one is of a format that this release does not read;
    /// 4: a file cannot be read.
    Validate {
        /// Documents; `-` is standard input.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// How to answer.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
        /// Treat warnings as errors.
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Show what a document would change: on a machine against what is in force, elsewhere against nothing.
    Plan {
        /// The document; `-` is standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Compare with this effective configuration instead (JSON).
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// How to answer.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
}

/// For whom an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// For programs, one JSON document.
    Json,
}

fn main() -> ExitCode {
    // Clap answers wrong usage itself, with code 2; here that means something else.
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(3)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let answered = match arguments.command {
        Command::Config(Config::Validate {
            files,
            format,
            deny_warnings,
        }) => config::validate(&files, format, deny_warnings),
        Command::Config(Config::Plan { file, against, format }) => config::plan(&file, against.as_deref(), format),
        Command::Status { format } => status::status(format),
    };
    answered.map_or_else(
        |error| {
            complain(&format!("keelson: {error:#}\n"));
            ExitCode::from(exit::FAILED)
        },
        ExitCode::from,
    )
}

/// Writes an answer. A reader that has gone away is no failure.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn complain(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(text.as_bytes());
}
