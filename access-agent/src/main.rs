//! `keelson`, the operator's command: on a machine it answers what there is to know, and on any computer it checks
//! documents as a machine would.

use std::process::ExitCode;

use keelson_access::answer::{complain, exit, say};
use keelson_access::command::Command;
use keelson_access::machine::Machine;

fn main() -> ExitCode {
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    match Command::parse(&words) {
        Ok(command) => keelson_access::answer(&Machine::here(), &command).map_or_else(
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
