//! `keelson`, the operator's command: on a machine it answers what there is to know, and on any computer it checks
//! documents as a machine would.

use std::process::ExitCode;

use keelson_access::answer::{complain, exit, say};
use keelson_access::command::{Command, Config, OVERVIEW};
use keelson_access::{config, status};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match Command::parse(&words) {
        Ok(command) => answer(&command).map_or_else(
            |error| {
                complain(&format!("keelson: {error:#}\n"));
                ExitCode::from(exit::FAILED)
            },
            ExitCode::from,
        ),
        Err(usage) if usage.asked => {
            say(&usage.text);
            ExitCode::SUCCESS
        }
        Err(usage) => {
            complain(&usage.text);
            ExitCode::from(exit::USAGE)
        }
    }
}

fn answer(command: &Command) -> anyhow::Result<u8> {
    match command {
        Command::Overview => {
            say(OVERVIEW);
            Ok(exit::GOOD)
        }
        Command::Status { json } => status::status(*json),
        Command::Config(Config::Validate {
            files,
            json,
            deny_warnings,
        }) => config::validate(files, *json, *deny_warnings),
        Command::Config(Config::Plan { file, against, json }) => config::plan(file, against.as_deref(), *json),
        _ => anyhow::bail!("this release does not answer that yet"),
    }
}
