//! What PID 1 says: log records into the kernel's ring buffer, and a few calm lines on the console.
//!
//! Never blocks and never fails: a record that cannot be written is dropped. The journal reads the ring buffer later,
//! so nothing said before it runs is lost.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};

const DEVICE: &str = "/dev/kmsg";
const CONSOLE: &str = "console";
/// Names of the consoles in use, for instance `tty0 ttyS0`: a screen and a serial port may each have its reader.
const CONSOLES: &str = "/sys/class/tty/console/active";
/// Without this the kernel drops all but ten records in five seconds.
const RATE_LIMIT: &str = "/proc/sys/kernel/printk_devkmsg";
/// The kernel cuts longer records.
const RECORD_BYTES: usize = 960;

struct Kmsg(File);

/// Sends the records of the `log` facade to the kernel. Needs `/dev` and `/proc`; a second call changes nothing.
pub fn install() {
    let _ = std::fs::write(RATE_LIMIT, "on");
    let Ok(file) = File::options().write(true).open(DEVICE) else {
        return;
    };
    if log::set_boxed_logger(Box::new(Kmsg(file))).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// A line for a person at the console, and the same for the log.
pub fn say(line: impl fmt::Display) {
    log::info!("{line}");
    show(&line);
}

/// A line for a person at the console about something that went wrong, and the same for the log. The kernel shows
/// errors on the console by itself, so this goes to the log as a warning.
pub fn say_failure(line: impl fmt::Display) {
    log::warn!("{line}");
    show(&line);
}

fn show(line: &dyn fmt::Display) {
    let text = format!("keelson: {line}\n");
    let active = std::fs::read_to_string(CONSOLES).unwrap_or_default();
    let written = active.split_whitespace().filter(|name| write_to(name, &text)).count();
    if written == 0 {
        write_to(CONSOLE, &text);
    }
}

/// Whether the console took it.
fn write_to(console: &str, text: &str) -> bool {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let opened = File::options()
        .write(true)
        .custom_flags(flags.bits() as i32)
        .open(Path::new("/dev").join(console));
    opened.and_then(|mut device| device.write_all(text.as_bytes())).is_ok()
}

/// One record in the form the kernel takes: priority, text, fields.
#[must_use]
pub fn format_record(level: Level, message: &fmt::Arguments<'_>, fields: &dyn log::kv::Source) -> String {
    let priority = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    let mut text = format!("<{priority}>keelson: {message}");
    let _ = fields.visit(&mut Fields(&mut text));
    let mut text = text.replace('\n', " ");
    let mut end = RECORD_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push('\n');
    text
}

struct Fields<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        write!(self.0, " {key}={value}").map_err(|_| Error::msg("field does not format"))
    }
}

impl Log for Kmsg {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = format_record(record.level(), record.args(), record.key_values());
        let _ = (&self.0).write_all(text.as_bytes());
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_one_line_with_priority_and_fields() {
        let fields = [("slot", "a"), ("tries", "2")];
        let text = format_record(Level::Warn, &format_args!("odd\nbut handled"), &fields);
        assert_eq!(text, "<4>keelson: odd but handled slot=a tries=2\n");
    }

    #[test]
    fn long_records_are_cut_between_characters() {
        let text = format_record(Level::Info, &format_args!("{}", "é".repeat(1000)), &[("k", "v"); 0]);
        assert!(text.len() <= RECORD_BYTES + 1);
        assert!(text.ends_with("é\n"));
    }
}
