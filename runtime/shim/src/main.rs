//! `keelson-shim BUNDLE`: one process beside each container. It creates the container, holds its streams, collects its end
//! and serves the engine, whose death it does not notice (`docs/formats/shim.md`).
//!
//! One thread, one loop around poll; nothing in it waits for a client, a disk's queue or the journal.

mod attach;
mod client;
mod clock;
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
    let mut arguments = std::env::args_os().skip(1);
    let (Some(bundle), None) = (arguments.next(), arguments.next()) else {
        let _ = writeln!(std::io::stderr(), "usage: keelson-shim BUNDLE");
        return ExitCode::from(2);
    };
    match launch::launch(Path::new(&bundle)) {
        Ok(server) => match server.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "keelson-shim: {error:#}");
                ExitCode::FAILURE
            }
        },
        Err(failure) => {
            launch::report(&LaunchReport::Failed { failure });
            ExitCode::FAILURE
        }
    }
}
