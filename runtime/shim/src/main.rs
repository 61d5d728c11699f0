//! `keelson-shim BUNDLE`: one process beside each container. It creates the container, holds its streams, collects its end
//! and serves the engine, whose death it does not notice (`docs/formats/shim.md`).
//!
//! Under the name `docker-init` it is process 1 of a container that asked for one (`init.rs`).
//!
//! One thread, one loop around poll; nothing in it waits for a client, a disk's queue or the journal.

mod attach;
mod client;
mod clock;
mod handover;
mod init;
mod journal;
mod launch;
mod lines;
mod log_file;
mod oom;
mod process;
mod requests;
mod server;
mod sink;
mod streams;
mod wire;

use keelson_shim_api::LaunchReport;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    if Path::new(&name).file_name().is_some_and(|name| name == init::NAME) {
        return init::run(arguments.collect());
    }
    let server = match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(flag), Some(number), None) if flag == handover::FLAG => handover::resume(&number),
        (Some(bundle), None, None) => match launch::launch(Path::new(&bundle)) {
            Ok(server) => Ok(server),
            Err(failure) => {
                launch::report(&LaunchReport::Failed { failure });
                return ExitCode::FAILURE;
            }
        },
        _ => {
            let _ = writeln!(std::io::stderr(), "usage: keelson-shim BUNDLE");
            return ExitCode::from(2);
        }
    };
    match server.and_then(server::Server::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "keelson-shim: {error:#}");
            ExitCode::FAILURE
        }
    }
}
