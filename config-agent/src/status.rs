//! What became of the configuration on this boot: for programs as JSON, for people as a few lines on the console.

use std::path::Path;

use anyhow::Context as _;
use keelson_machine_config::Report;
use serde::Serialize;

use crate::generation::{self, Kept};
use crate::places::Places;

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A new document is in force.
    Applied,
    /// The document in force is the one from before.
    Unchanged,
    /// A document was refused; what was in force before stays, if anything.
    Rejected,
    /// There is no document.
    None,
    /// A document was found that the policy in force does not allow.
    Reported,
    /// There is none on the machine, and the network is being asked.
    Asking,
    /// There is none on the machine, and the network gave none in time; it is asked further.
    Unreachable,
}

/// `status.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Version of this file, 1.
    pub format: u32,
    /// How it went.
    pub state: State,
    /// What keeps the machine from being as its document says, a sentence each.
    pub degraded: Vec<String>,
    /// The generation in force.
    pub generation: Option<String>,
    /// Those that are kept, this one included.
    pub generations: Vec<Kept>,
    /// Where its document came from.
    pub source: Option<String>,
    /// What was looked at.
    pub looked_at: Vec<String>,
    /// How long looking took, milliseconds.
    pub looking_ms: u64,
    /// What else there is to know, a sentence each.
    pub notes: Vec<String>,
    /// What is wrong, or noteworthy, in the document that was found.
    pub report: Option<Report>,
}

/// The most diagnostics the console shows.
const SHOWN: usize = 3;

impl Status {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self {
            format: 1,
            state,
            degraded: Vec::new(),
            generation: None,
            generations: Vec::new(),
            source: None,
            looked_at: Vec::new(),
            looking_ms: 0,
            notes: Vec::new(),
            report: None,
        }
    }

    /// The lines for the console.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.headline()];
        if self.state == State::Rejected
            && let Some(report) = &self.report
        {
            lines.extend(report.lines().take(SHOWN));
            let more = report.errors().saturating_sub(SHOWN);
            if more > 0 {
                lines.push(format!(
                    "… and {more} more; keelson config validate FILE shows them all"
                ));
            }
        }
        if self.generation.is_none() {
            lines.push("in force: network by DHCP, nothing open, no containers".to_owned());
        } else if matches!(self.state, State::Rejected | State::Reported) {
            lines.push("in force: the configuration from before".to_owned());
        }
        if matches!(self.state, State::None | State::Unreachable) {
            let (looked_at, ms) = (self.looked_at.join(", "), self.looking_ms);
            lines.push(format!("looked at: {looked_at} ({ms} ms)"));
            lines.push("to give one: attach a volume labelled cidata with the file user-data".to_owned());
        }
        lines.extend(self.notes.iter().cloned());
        lines.extend(self.degraded.iter().map(|what| format!("degraded: {what}")));
        lines
    }

    /// A service of the network is being asked. A machine without a document waits for it; another does not.
    pub fn asks(&mut self, service: &str) {
        if self.state == State::None {
            self.state = State::Asking;
        }
        self.notes.push(format!("asking {service}"));
    }

    fn headline(&self) -> String {
        let generation = self
            .generation
            .as_deref()
            .and_then(|id| id.get(..12))
            .unwrap_or_default();
        let source = self.source.as_deref().unwrap_or("nowhere");
        match self.state {
            State::Applied => format!("applied {generation} from {source}"),
            State::Unchanged => format!("unchanged, {generation} from {source}"),
            State::Rejected => match self.report.as_ref().map(Report::errors) {
                Some(1) => "the document is refused, nothing of it is applied: 1 error".to_owned(),
                Some(n) => format!("the document is refused, nothing of it is applied: {n} errors"),
                None => "no document is applied".to_owned(),
            },
            State::None => "there is no document".to_owned(),
            State::Asking => "there is no document on the machine".to_owned(),
            State::Unreachable => "there is no document on the machine, and the network gives none yet".to_owned(),
            State::Reported => "a document was found and not applied".to_owned(),
        }
    }
}

/// Says what became of the configuration: on the console, in the journal and as `status.json`.
///
/// # Errors
/// The file cannot be written.
pub fn publish(status: &Status, places: &Places) -> anyhow::Result<()> {
    let lines = status.lines();
    print(&lines, &places.dev.join("console"));
    for line in &lines {
        log::info!("{line}");
    }
    let json = generation::json(status).context("write the status as JSON")?;
    keelson_durable::replace(&places.run.join("config/status.json"), &json, 0o644).context("write the status")
}

/// Prints lines where the operator looks, or to standard error where there is no console.
pub fn print(lines: &[String], console: &Path) {
    use std::io::Write as _;
    let text: String = lines
        .iter()
        .map(|line| format!("keelson: config: {line}\r\n"))
        .collect();
    let opened = std::fs::OpenOptions::new().write(true).open(console);
    let printed = opened.and_then(|mut console| console.write_all(text.as_bytes()));
    if printed.is_err() {
        let _ = std::io::stderr().write_all(text.replace('\r', "").as_bytes());
    }
}
