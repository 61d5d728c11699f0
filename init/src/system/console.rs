//! Lines for people: few and calm on the console, everything in the kernel log.

use std::io::Write as _;

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

/// Sends log records to standard error; for the init of a container, which has no kernel log of its own.
pub fn log_to_standard_error() {
    if log::set_logger(&StandardError).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}

struct StandardError;

impl log::Log for StandardError {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = kmsg::format_record(record.level(), record.args(), record.key_values());
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    fn flush(&self) {}
}
