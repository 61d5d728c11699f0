//! Lines for people: few and calm on the console, everything in the kernel log.

use crate::kmsg;
use crate::manager::{Level, Report};

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// The machine's console and the kernel log.
    Machine,
    /// Standard error: PID 1 of a container.
    StandardError,
}

impl Console {
    /// Shows a report to those it is for.
    pub fn report(self, report: &Report) {
        match (self, report.level) {
            (Console::Machine, Level::Failure) => kmsg::say_failure(&report.text),
            (Console::Machine, Level::Milestone) => kmsg::say(&report.text),
            (Console::Machine, Level::Detail) => log::info!("{}", report.text),
            (Console::StandardError, _) => {
                use std::io::Write as _;
                let _ = std::io::stderr().write_all(format!("keelson: {}\n", report.text).as_bytes());
            }
        }
    }

    /// A milestone of the machine itself.
    pub fn say(self, text: impl Into<String>) {
        self.report(&Report {
            level: Level::Milestone,
            text: text.into(),
        });
    }

    /// A failure of the machine itself.
    pub fn complain(self, text: impl Into<String>) {
        self.report(&Report {
            level: Level::Failure,
            text: text.into(),
        });
    }
}
