//! Keeps pulls and sweeps apart: a pull relies on objects that are there, a sweep deletes those that no
//! record names yet. Pulls share, a sweep is alone; a sweep that finds pulls is owed.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Pulls at work, and whether a sweep is owed.
#[derive(Debug, Default)]
pub struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pulls: usize,
    owed: bool,
}

/// One pull at work.
#[derive(Debug)]
pub struct Entered<'a>(&'a Gate);

impl Gate {
    /// Begins a pull; waits for a sweep to end.
    pub fn enter(&self) -> Entered<'_> {
        self.lock().pulls += 1;
        Entered(self)
    }

    /// Runs a sweep if no pull is at work, otherwise leaves it to the last one; `None` then.
    pub fn sweep<T>(&self, sweep: impl FnOnce() -> T) -> Option<T> {
        let mut state = self.lock();
        if state.pulls > 0 {
            state.owed = true;
            return None;
        }
        state.owed = false;
        Some(sweep())
    }

    /// Whether a sweep is owed and may run.
    pub fn is_owed(&self) -> bool {
        let state = self.lock();
        state.owed && state.pulls == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.pulls = state.pulls.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_waits_for_the_last_pull() {
        let gate = Gate::default();
        let (first, second) = (gate.enter(), gate.enter());
        assert_eq!(gate.sweep(|| ()), None);
        drop(first);
        assert!(!gate.is_owed());
        drop(second);
        assert!(gate.is_owed());
        assert_eq!(gate.sweep(|| 5), Some(5));
        assert!(!gate.is_owed());
    }
}
