//! The start of every asynchronous program of ours: log to the journal, say when ready, stop on request, report an
//! error chain once. It knows nothing of what the program does.

mod follow;
mod logging;
mod readable;

use std::future::Future;
use std::process::ExitCode;

pub use follow::{Follower, changed};
pub use keelson_notify as notify;
pub use keelson_sys::passed_fds;
pub use logging::init as init_logging;
pub use readable::Readable;
use tokio::signal::unix::{SignalKind, signal};

/// Runs `body` on a single-threaded runtime until it returns or the program is asked to stop; then the body is dropped.
///
/// An error is logged once, its causes joined by ": ".
pub fn run<F>(name: &'static str, body: F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    run_to_end(name, async {
        tokio::select! {
            outcome = body => outcome,
            () = termination() => Ok(()),
        }
    })
}

/// As [`run`], for a body that has something to do when the program is asked to stop: it waits for [`termination`]
/// itself, and its return is the end.
pub fn run_to_end<F>(name: &'static str, body: F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    init_logging(name);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            log::error!("cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let watchdog = tokio::spawn(feed_watchdog());
        let outcome = body.await;
        watchdog.abort();
        notify::stopping();
        outcome
    });
    // Blocking work still under way must not hold up the exit.
    runtime.shutdown_background();
    report(outcome)
}

/// Reports twice per watchdog interval, as long as the runtime turns. Ends at once if nobody asks.
async fn feed_watchdog() {
    let Some(interval) = notify::watchdog_interval() else {
        return;
    };
    let mut ticks = tokio::time::interval(interval / 2);
    loop {
        ticks.tick().await;
        notify::watchdog();
    }
}

/// Ends when the program is asked to stop (SIGTERM or SIGINT).
pub async fn termination() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        log::error!("cannot listen for signals");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Turns a program's outcome into its exit code, logging the error chain.
#[must_use]
pub fn report(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
