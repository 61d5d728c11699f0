//! `keelson-runtimed`: the container engine's daemon. Arguments in, library started; nothing else.

use std::process::ExitCode;

use anyhow::Context as _;
use keelson_runtimed::{options, start};

fn main() -> ExitCode {
    keelson_daemon::run_to_end("keelson-runtimed", async {
        let arguments = std::env::args_os().skip(1);
        let options = options::parse_options(arguments).context("read the arguments")?;
        start::run(options).await
    })
}
