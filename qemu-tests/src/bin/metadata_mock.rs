//! One connection to the mock of EC2's metadata service on standard input and output, for QEMU's `guestfwd`.
//!
//! Words: the file with the document, and `hang` for a service that takes connections and says nothing.

use std::process::ExitCode;

use keelson_qemu_tests::metadata::{Fault, Instance, Misbehaviour, serve_stdio};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (path, faults) = match words.as_slice() {
        [path] => (path, Vec::new()),
        [path, fault] if fault == "hang" => (path, vec![Fault::always("/", Misbehaviour::Hang)]),
        _ => {
            eprintln!("usage: metadata-mock DOCUMENT [hang]");
            return ExitCode::from(2);
        }
    };
    match std::fs::read(path) {
        Ok(document) => {
            serve_stdio(Instance::with_document(document), faults);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
