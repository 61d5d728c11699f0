//! keelson-netd: see the library.

use keelson_netd::run::{World, run};
use std::process::ExitCode;
use tokio::task::LocalSet;

fn main() -> ExitCode {
    keelson_daemon::run("keelson-netd", async {
        // Stopped by being dropped.
        LocalSet::new()
            .run_until(run(World::machine()?, std::future::pending()))
            .await
    })
}
