//! Keeps pulls and sweeps apart: a pull relies on objects that are there, a sweep deletes those that no
//! record names yet; a removal enters as a pull does, for a moment. Pulls share, a sweep is alone and stops early when a pull comes; what it leaves is
//! owed and done after the last pull.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Pulls at work, pulls at the door, and whether a sweep is owed.
#[derive(Debug, Default)]
pub struct Gate {
    pulls: Mutex<usize>,
    waiting: AtomicUsize,
    owed: AtomicBool,
}

/// One pull at work.
#[derive(Debug)]
pub struct Entered<'a>(&'a Gate);

/// Whether a sweep got through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything was looked at.
    Whole,
    /// A pull came.
    Part,
}

impl Gate {
    /// Begins a pull; a sweep under way stops for it.
    pub fn enter(&self) -> Entered<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        *self.lock() += 1;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Entered(self)
    }

    /// Says that something may be there to delete.
    pub fn owe(&self) {
        self.owed.store(true, Ordering::SeqCst);
    }

    /// Runs a sweep if one is owed and no pull is at work; `None` otherwise. The sweep asks now and then
    /// whether to stop, and says how far it came; a failed one is owed no more.
    pub fn sweep<E>(&self, sweep: impl FnOnce(&dyn Fn() -> bool) -> Result<Extent, E>) -> Option<Result<Extent, E>> {
        let pulls = self.lock();
        if *pulls > 0 || !self.owed.swap(false, Ordering::SeqCst) {
            return None;
        }
        let swept = sweep(&|| self.waiting.load(Ordering::SeqCst) > 0);
        if matches!(swept, Ok(Extent::Part)) {
            self.owe();
        }
        Some(swept)
    }

    /// Whether a sweep is owed.
    pub fn is_owed(&self) -> bool {
        self.owed.load(Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut pulls = self.0.lock();
        *pulls = pulls.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn whole(_: &dyn Fn() -> bool) -> Result<Extent, ()> {
        Ok(Extent::Whole)
    }

    #[test]
    fn a_sweep_waits_for_the_last_pull_and_runs_once() {
        let gate = Gate::default();
        assert_eq!(gate.sweep(whole), None);
        gate.owe();
        let (first, second) = (gate.enter(), gate.enter());
        drop(first);
        assert_eq!(gate.sweep(whole), None);
        drop(second);
        assert_eq!(gate.sweep(whole), Some(Ok(Extent::Whole)));
        assert_eq!(gate.sweep(whole), None);
    }

    #[test]
    fn a_sweep_stops_for_a_pull_and_stays_owed() {
        let gate = Gate::default();
        gate.owe();
        let (started, start) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let swept = gate.sweep(|stop| {
                    started.send(()).unwrap();
                    while !stop() {
                        std::thread::yield_now();
                    }
                    Ok::<_, ()>(Extent::Part)
                });
                assert_eq!(swept, Some(Ok(Extent::Part)));
            });
            start.recv().unwrap();
            drop(gate.enter());
        });
        assert!(gate.is_owed());
    }
}
