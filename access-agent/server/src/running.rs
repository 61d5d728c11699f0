//! How many programs of operators run: the end of the server waits for their answers, `reboot`'s above all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A count that everybody shares.
#[derive(Debug, Clone, Default)]
pub struct Running(Arc<AtomicUsize>);

/// A program that runs, as long as this value lives.
#[derive(Debug)]
pub struct Program(Arc<AtomicUsize>);

impl Running {
    /// A program starts.
    #[must_use]
    pub fn start(&self) -> Program {
        self.0.fetch_add(1, Ordering::Relaxed);
        Program(self.0.clone())
    }

    /// Whether some program runs.
    #[must_use]
    pub fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_counted_until_they_end() {
        let running = Running::default();
        let (one, two) = (running.start(), running.clone().start());
        drop(one);
        assert!(running.any());
        drop(two);
        assert!(!running.any());
    }
}
