//! One connection to the mock of EC2's metadata service on standard input and output, for QEMU's `guestfwd`.
//!
//! Words: the file with the document.

use std::process::ExitCode;

use keelson_qemu_tests::metadata::{Instance, serve_stdio};

fn main() -> ExitCode {
    let Some(document) = std::env::args_os()
        .nth(1)
        .and_then(|path| std::fs::read_to_string(path).ok())
    else {
        eprintln!("usage: metadata-mock DOCUMENT");
        return ExitCode::from(2);
    };
    serve_stdio(Instance::with_document(&document));
    ExitCode::SUCCESS
}
