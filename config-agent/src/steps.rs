//! Names of the points at which a power cut may come, so that a test can let one come there.

use std::io;

/// Told before each step that changes something; an error stands for a cut.
#[derive(Clone, Copy)]
pub struct Steps<'a>(&'a dyn Fn(&str) -> io::Result<()>);

impl std::fmt::Debug for Steps<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Steps")
    }
}

impl Steps<'static> {
    /// Every step is taken.
    #[must_use]
    pub fn all() -> Self {
        Self(&|_| Ok(()))
    }
}

impl<'a> Steps<'a> {
    /// `ahead` is asked before each step.
    pub fn watched(ahead: &'a dyn Fn(&str) -> io::Result<()>) -> Self {
        Self(ahead)
    }

    /// About to take a step.
    ///
    /// # Errors
    /// The cut comes here.
    pub fn ahead(&self, step: &str) -> io::Result<()> {
        (self.0)(step)
    }
}
