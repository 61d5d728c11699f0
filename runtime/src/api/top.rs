//! `docker top`: the processes of a container as `ps` would show them. There is no `ps` on the machine: the usual
//! layouts are made here, others are refused.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::App;
use super::query::Query;
use super::reply::{Reply, ok};
use super::time::rfc3339;
use crate::engine::error::EngineError;
use crate::procfs::{ProcessInfo, TICKS, group_processes, read_process};

/// What one column shows.
type Show = fn(&ProcessInfo, Present) -> String;

/// The moment it is shown at.
#[derive(Debug, Clone, Copy)]
struct Present {
    now: Timestamp,
    /// Ticks since the boot.
    uptime: u64,
}

impl App {
    pub(super) async fn container_top(&self, name: String, query: &Query) -> Result<Reply, EngineError> {
        let columns = plan_columns(query.filled("ps_args").unwrap_or("-ef"))?;
        let record = self.reach(name).await?.record;
        let group = self.world.payload_group(&record.id);
        let present = Present {
            now: Timestamp::now(),
            uptime: uptime(),
        };
        let rows: Vec<Vec<String>> = group_processes(&group)
            .into_iter()
            .filter_map(read_process)
            .map(|process| columns.iter().map(|(_, show)| show(&process, present)).collect())
            .collect();
        let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
        self.engine.note(&record.id, "top", vec![]).await;
        Ok(ok(&json!({"Titles": titles, "Processes": rows})))
    }
}

fn uptime() -> u64 {
    let text = crate::procfs::text(Path::new("/proc/uptime"));
    let seconds = text.split('.').next().and_then(|seconds| seconds.parse::<u64>().ok());
    seconds.unwrap_or_default().saturating_mul(TICKS)
}

/// Columns by `ps`'s names, with their titles.
const COLUMNS: [(&str, &str, Show); 20] = [
    ("uid", "UID", |p, _| p.uid.to_string()),
    ("user", "USER", |p, _| user_name(p.uid)),
    ("pid", "PID", |p, _| p.pid.to_string()),
    ("ppid", "PPID", |p, _| p.parent.to_string()),
    ("c", "C", |p, at| share(p, at, 1)),
    ("%cpu", "%CPU", |p, at| decimal(share(p, at, 10))),
    ("pcpu", "%CPU", |p, at| decimal(share(p, at, 10))),
    ("%mem", "%MEM", |_, _| "0.0".to_owned()),
    ("vsz", "VSZ", |p, _| (p.virtual_bytes / 1024).to_string()),
    ("rss", "RSS", |p, _| (p.resident_bytes / 1024).to_string()),
    ("stime", "STIME", |p, at| start(p, at)),
    ("start", "START", |p, at| start(p, at)),
    ("tty", "TTY", |p, _| terminal(p)),
    ("stat", "STAT", |p, _| p.state.to_string()),
    ("time", "TIME", |p, _| clock(p.ticks / TICKS)),
    ("etime", "ELAPSED", |p, at| clock(age(p, at) / TICKS)),
    ("comm", "COMMAND", |p, _| p.name.clone()),
    ("args", "COMMAND", |p, _| p.command.clone()),
    ("command", "COMMAND", |p, _| p.command.clone()),
    ("cmd", "CMD", |p, _| p.command.clone()),
];

const FULL: &str = "uid,pid,ppid,c,stime,tty,time,cmd";
const USERS: &str = "user,pid,%cpu,%mem,vsz,rss,tty,stat,start,time,command";

/// `-ef`, `aux` and `-o LIST`, in their usual spellings.
fn plan_columns(arguments: &str) -> Result<Vec<(&'static str, Show)>, EngineError> {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let list = match words.as_slice() {
        ["-ef" | "-f" | "-e" | "ef" | "-fe"] => FULL,
        ["aux" | "-aux" | "axu"] => USERS,
        ["-o" | "-eo" | "o" | "-e -o", list] => list,
        [word] => word
            .strip_prefix("-o")
            .or_else(|| word.strip_prefix("-eo"))
            .unwrap_or_default(),
        _ => "",
    };
    let column = |name: &str| {
        let found = COLUMNS.iter().find(|(known, ..)| *known == name.trim());
        let unknown = || EngineError::NotSupported(format!("ps arguments {arguments:?}: only -ef, aux and -o LIST"));
        found.map(|(_, title, show)| (*title, *show)).ok_or_else(unknown)
    };
    list.split(',').map(column).collect()
}

fn user_name(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { uid.to_string() }
}

fn age(process: &ProcessInfo, at: Present) -> u64 {
    at.uptime.saturating_sub(process.started)
}

/// Processor time in hundredths of its life, times `scale`.
fn share(process: &ProcessInfo, at: Present, scale: u64) -> String {
    let used = process.ticks.saturating_mul(100).saturating_mul(scale);
    used.checked_div(age(process, at)).unwrap_or_default().to_string()
}

/// `123` tenths as `12.3`.
fn decimal(tenths: String) -> String {
    let padded = format!("{tenths:0>2}");
    let (whole, last) = padded.split_at(padded.len().saturating_sub(1));
    format!("{whole}.{last}")
}

fn start(process: &ProcessInfo, at: Present) -> String {
    let seconds = i64::try_from(age(process, at) / TICKS).unwrap_or_default();
    let started = at
        .now
        .saturating_sub(SignedDuration::from_secs(seconds))
        .unwrap_or(at.now);
    let text = rfc3339(started);
    // Of `2026-01-02T03:04:05Z`, the minute, or the day of what is older.
    let part = if seconds < 86_400 { 11..16 } else { 5..10 };
    text.get(part).unwrap_or_default().to_owned()
}

fn terminal(process: &ProcessInfo) -> String {
    // Unix98 terminals have the numbers 136 to 143 (Documentation/admin-guide/devices.txt).
    match (process.terminal >> 8, process.terminal & 0xff) {
        (major @ 136..=143, minor) => format!("pts/{}", (major - 136) * 256 + minor),
        _ => "?".to_owned(),
    }
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_layouts() {
        let titles = |arguments: &str| -> Vec<&str> {
            plan_columns(arguments)
                .unwrap()
                .iter()
                .map(|(title, _)| *title)
                .collect()
        };
        assert_eq!(
            titles("-ef"),
            ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
        );
        assert_eq!(titles("aux").last(), Some(&"COMMAND"));
        assert_eq!(titles("-o pid,args"), ["PID", "COMMAND"]);
        for bad in ["--forest", "-o pid,nothing", "-ef extra"] {
            assert!(plan_columns(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_and_shares() {
        let process = ProcessInfo {
            ticks: 150,
            started: 1000,
            terminal: 136 << 8 | 3,
            ..ProcessInfo::default()
        };
        let at = Present {
            now: Timestamp::UNIX_EPOCH,
            uptime: 2000,
        };
        assert_eq!(
            (
                share(&process, at, 1).as_str(),
                decimal(share(&process, at, 10)).as_str()
            ),
            ("15", "15.0")
        );
        assert_eq!(
            (decimal("5".into()).as_str(), clock(3661).as_str()),
            ("0.5", "01:01:01")
        );
        assert_eq!(
            (terminal(&process).as_str(), start(&process, at).as_str()),
            ("pts/3", "23:59")
        );
    }
}
