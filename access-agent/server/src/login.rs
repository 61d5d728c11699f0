//! Whether somebody has logged in on a connection: told by the connection, asked by the server.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The state of logging in.
#[derive(Debug, Default)]
pub struct Login {
    refused: AtomicBool,
    welcome: AtomicBool,
    changed: Notify,
    asked: OnceLock<String>,
}

impl Login {
    /// A key or a password was refused.
    pub fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Somebody asked how to log in, under this name.
    pub fn ask(&self, user: String) {
        let _ = self.asked.set(user);
    }

    /// Who asked how to log in and then offered nothing that could have been refused: a client that has only a password,
    /// or only algorithms that are not accepted.
    #[must_use]
    pub fn left_without_offer(&self) -> Option<&str> {
        let silent = !self.was_refused() && !self.is_welcome();
        self.asked.get().map(String::as_str).filter(|_| silent)
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
