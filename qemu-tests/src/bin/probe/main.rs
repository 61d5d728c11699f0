//! The program of the test containers: does one thing a container may do to its host, and reports what came of it.
//!
//! `probe serve PORT` answers HTTP requests, one action per path; the other words are hostile workloads.

#![allow(clippy::print_stdout, reason = "what this program prints is what it is for")]

use std::process::ExitCode;

mod hostile;
mod http;
mod look;
mod reach;
mod run;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["serve", port] => http::serve(port, answer),
        ["fork-bomb"] => hostile::fork_bomb(),
        ["memory-hog"] => hostile::memory_hog(),
        ["disk-hog", path] => hostile::disk_hog(path),
        ["scan", address] => reach::scan(address),
        ["ask-name", server] => reach::ask_name(server),
        ["say", text] => hostile::say(text),
        ["mark", device, text] => look::mark(device, text),
        ["orphan-parent"] => hostile::orphan_parent(),
        ["orphan"] => Ok(()),
        _ => Err(std::io::Error::other(
            "serve PORT | fork-bomb | memory-hog | disk-hog PATH | say TEXT",
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One action per path; what follows `?` is its argument.
fn answer(path: &str, argument: &str) -> std::io::Result<String> {
    match path {
        "/ok" => Ok("ok\n".into()),
        "/processes" => look::processes(),
        "/memory" => look::memory(),
        "/zombies" => look::zombies(),
        "/read" => std::fs::read_to_string(argument),
        "/write" => look::write(argument, b"probe\n"),
        "/put" => look::put(argument),
        "/disk" => look::disk(argument),
        "/kill" => hostile::kill_by_name(argument),
        "/orphans" => hostile::orphans(argument),
        "/connect" => reach::connect(argument),
        "/socket" => reach::ask_socket(argument),
        "/resolve" => reach::resolve(argument),
        "/run" => run::run(argument),
        "/remount" => hostile::remount_writable(argument),
        _ => Err(std::io::Error::other(format!("no action {path}"))),
    }
}
