//! keelson-sshd: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    keelson_daemon::run_to_end("keelson-sshd", keelson_sshd::run::run())
}
