//! What a person sees while something is being built: one line a step, with a bar on a terminal and plain lines
//! elsewhere. Goes to standard error, so that results can be piped.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Where progress goes.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Bars,
    Lines,
    Silent,
}

/// A step under way. Dropping it without [`Step::done`] leaves it marked as not finished.
#[derive(Debug)]
pub struct Step {
    kind: Kind,
    title: String,
    begun: Instant,
    bar: ProgressBar,
    finished: bool,
}

impl Progress {
    /// Bars on a terminal, lines elsewhere.
    #[must_use]
    pub fn to_stderr() -> Progress {
        let kind = if std::io::stderr().is_terminal() {
            Kind::Bars
        } else {
            Kind::Lines
        };
        Progress { kind }
    }

    /// Shows nothing; for tests and libraries.
    #[must_use]
    pub const fn silent() -> Progress {
        Progress { kind: Kind::Silent }
    }

    /// Begins a step.
    #[must_use]
    pub fn step(&self, title: &str) -> Step {
        let bar = match self.kind {
            Kind::Bars => spinner(title),
            Kind::Lines | Kind::Silent => ProgressBar::hidden(),
        };
        Step {
            kind: self.kind,
            title: title.to_owned(),
            begun: Instant::now(),
            bar,
            finished: false,
        }
    }

    /// Says one line between steps.
    pub fn say(&self, text: &str) {
        if !matches!(self.kind, Kind::Silent) {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}

fn spinner(title: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix:<28} {elapsed:>5}  {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(title.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

impl Step {
    /// How far it is.
    pub fn at(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// Ends the step with a word on the result.
    pub fn done(mut self, result: &str) {
        self.finished = true;
        self.end("✓", result);
    }

    fn end(&self, mark: &str, result: &str) {
        self.bar.finish_and_clear();
        if !matches!(self.kind, Kind::Silent) {
            let seconds = self.begun.elapsed().as_secs_f64();
            let _ = writeln!(
                std::io::stderr(),
                "  {mark} {:<28} {seconds:>5.1} s  {result}",
                self.title
            );
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.finished {
            self.end("✗", "");
        }
    }
}

/// Bytes for people: `12.3 MiB`.
#[must_use]
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
