//! Whether somebody has logged in on a connection: told by the connection, asked by the server.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The state of logging in.
#[derive(Debug, Default)]
pub struct Login {
    refused: AtomicBool,
    welcome: AtomicBool,
    changed: Notify,
}

impl Login {
    /// A key or a password was refused.
    pub fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Somebody is logged in.
    pub fn welcome(&self) {
        self.welcome.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Whether somebody is logged in.
    #[must_use]
    pub fn is_welcome(&self) -> bool {
        self.welcome.load(Ordering::Relaxed)
    }

    /// Whether something was refused.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Ends when somebody is logged in.
    pub async fn wait(&self) {
        while !self.is_welcome() {
            self.changed.notified().await;
        }
    }
}
