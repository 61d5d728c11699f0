//! The command line: arguments, and one file per group of commands.

mod arguments;
mod console;
mod features;
mod foreground;
mod lifecycle;
mod log;
mod processes;
mod report;
mod signals;

use arguments::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

/// Runs the command; the program's whole `main`.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log::failure(&arguments, &error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let root = arguments.root.as_path();
    if arguments.systemd_cgroup {
        anyhow::bail!("--systemd-cgroup is not supported: there is no systemd here");
    }
    match &arguments.command {
        Command::Create(options) => lifecycle::create(root, options).map(|()| 0),
        Command::Run(options) => lifecycle::run(root, options),
        Command::Start { id } => lifecycle::start(root, id).map(|()| 0),
        Command::Kill { all, id, signal } => lifecycle::kill(root, id, signal, *all).map(|()| 0),
        Command::Delete { force, id } => lifecycle::delete(root, id, *force).map(|()| 0),
        Command::Pause { id } => lifecycle::pause(root, id).map(|()| 0),
        Command::Resume { id } => lifecycle::resume(root, id).map(|()| 0),
        Command::Update(options) => lifecycle::update(root, options).map(|()| 0),
        Command::Exec(options) => processes::exec(root, options),
        Command::State { id } => report::state(root, id).map(|()| 0),
        Command::List { format, quiet } => report::list(root, format, *quiet).map(|()| 0),
        Command::Ps { format, id } => report::processes(root, id, format).map(|()| 0),
        Command::Features => features::print().map(|()| 0),
    }
}
