//! Log records go to the journal with their key-values as fields; without a journal (on a developer's machine, in
//! tests) they go to standard error, one line each.

use std::io::Write;

use log::kv::{Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};

/// Installs the logger for a program. `KEELSON_LOG` sets the level (`error` … `trace`; `info` unless set).
pub fn init(name: &'static str) {
    let level = std::env::var("KEELSON_LOG")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(LevelFilter::Info);
    log::set_max_level(level);
    let journal = systemd_journal_logger::JournalLog::new()
        .map(|journal| journal.with_syslog_identifier(name.to_owned()))
        .and_then(|journal| journal.install().map_err(std::io::Error::other));
    if journal.is_err() {
        // A second installation (in tests) keeps the first logger.
        let _ = log::set_boxed_logger(Box::new(StandardError { name }));
    }
}

struct StandardError {
    name: &'static str,
}

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut line = format!(
            "{}: {}: {}",
            self.name,
            record.level().as_str().to_lowercase(),
            record.args()
        );
        let _ = record.key_values().visit(&mut Fields(&mut line));
        line.push('\n');
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

struct Fields<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        use std::fmt::Write as _;
        write!(self.0, " {key}={value}").map_err(|_| log::kv::Error::msg("line not written"))
    }
}
