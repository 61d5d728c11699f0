//! `keelson-installd`: puts the running release onto another disk. `serve` answers `keelson install` over a socket;
//! `console` asks the person before an installation medium.

mod console;
mod serve;
mod work;

use std::process::ExitCode;

use anyhow::bail;

fn main() -> ExitCode {
    keelson_daemon::init_logging("keelson-installd");
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    keelson_daemon::report(match words.as_slice() {
        ["serve"] => serve::run(),
        ["console"] => console::run(),
        _ => (|| bail!("usage: keelson-installd serve | console"))(),
    })
}
