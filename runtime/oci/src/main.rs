//! `keelson-oci`: the runtime behind runc's command line, for tools and for conformance suites.
//!
//! It parses, calls the library and prints. On failure: one line on stderr (and in `--log`), exit code 1; `run` and `exec`
//! in the foreground end with the program's exit code.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
