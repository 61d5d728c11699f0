//! What operators ask a machine: the table of commands, which the SSH server and the program `keelson` share, and the
//! answers.

pub mod answer;
pub mod boot;
pub mod command;
pub mod config;
pub mod install;
pub mod logs;
pub mod machine;
pub mod power;
pub mod services;
pub mod status;
pub mod update;
pub mod why;
mod words;

use answer::{exit, say};
use command::{Command, Config, OVERVIEW};
use machine::Machine;
use power::How;

/// Answers a command; gives the code to end with.
///
/// # Errors
/// The machine could not be asked.
pub fn answer(machine: &Machine, command: &Command) -> anyhow::Result<u8> {
    match command {
        Command::Overview => {
            say(OVERVIEW);
            Ok(exit::GOOD)
        }
        Command::Status { json } => status::status(machine, *json),
        Command::Services { request, json } => services::services(machine, request, *json),
        Command::Logs(wanted) => logs::logs(machine, wanted),
        Command::Boot(wanted) => boot::boot(machine, wanted),
        Command::Why(wanted) => why::why(machine, wanted),
        Command::Config(Config::Show { json }) => config::show(machine, *json),
        Command::Config(Config::Validate {
            files,
            format,
            json,
            deny_warnings,
        }) => config::validate(files, *format, *json, *deny_warnings),
        Command::Config(Config::Plan {
            file,
            format,
            against,
            json,
        }) => config::plan(file, *format, against.as_deref(), *json),
        Command::Update(wanted) => update::update(machine, wanted),
        Command::Install(wanted) => install::install(machine, wanted),
        Command::PowerOff(wanted) => power::power(machine, How::PowerOff, wanted),
        Command::Reboot(wanted) => power::power(machine, How::Reboot, wanted),
    }
}
