//! Ctrl-C and SIGTERM as a flag that every wait looks at, so that the machine is always powered off in order. A second
//! one ends this program at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whether somebody asked for an end.
#[derive(Debug, Clone)]
pub struct Interrupt {
    seen: Arc<AtomicBool>,
}

impl Interrupt {
    /// Starts watching, in a thread of its own: the waits of a machine block.
    ///
    /// # Errors
    /// The signals cannot be caught.
    pub fn watch() -> io::Result<Interrupt> {
        let seen = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (interrupt, terminate) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let flag = Arc::clone(&seen);
        std::thread::spawn(move || runtime.block_on(count(interrupt, terminate, &flag)));
        Ok(Interrupt { seen })
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    /// Ends the step under way.
    ///
    /// # Errors
    /// An end was asked for.
    pub fn check(&self) -> Result<()> {
        if self.seen() {
            bail!("powering off as asked");
        }
        Ok(())
    }
}

#[allow(clippy::exit, reason = "the second Ctrl-C says: at once")]
async fn count(mut interrupt: Signal, mut terminate: Signal, seen: &AtomicBool) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    }
}
