//! What the kernel tells of processes and their use of the machine: `/proc` and control groups, read and taken apart.
//! Absent files (a controller that is not there) are zero.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The kernel's clock ticks of user space: always 100 a second on this architecture.
pub const TICKS: u64 = 100;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessInfo {
    /// On the host.
    pub pid: u32,
    /// Its parent, on the host.
    pub parent: u32,
    /// Effective user.
    pub uid: u32,
    /// One letter.
    pub state: char,
    /// Processor time, in ticks.
    pub ticks: u64,
    /// Start, in ticks since the boot.
    pub started: u64,
    /// Its terminal's device number; 0 without.
    pub terminal: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// Bytes of memory.
    pub resident_bytes: u64,
    /// Short name.
    pub name: String,
    /// Command line; the short name in brackets when there is none.
    pub command: String,
}

/// A process, unless it has gone.
pub fn read_process(pid: u32) -> Option<ProcessInfo> {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).ok();
    let stat = String::from_utf8_lossy(&read("stat")?).into_owned();
    let mut info = parse_stat(&stat)?;
    let status = String::from_utf8_lossy(&read("status")?).into_owned();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    info.uid = uid
        .and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or_default();
    info.command = shown_command(&read("cmdline").unwrap_or_default(), &info.name);
    Some(info)
}

/// `PID (NAME) STATE PPID …` (proc_pid_stat(5)); the name may hold anything.
fn parse_stat(text: &str) -> Option<ProcessInfo> {
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Counted from the state, which the manual calls field 3.
    let number = |field: usize| -> u64 {
        fields
            .get(field.saturating_sub(3))
            .and_then(|f| f.parse().ok())
            .unwrap_or(0)
    };
    Some(ProcessInfo {
        pid: pid.parse().ok()?,
        parent: u32::try_from(number(4)).ok()?,
        uid: 0,
        state: fields.first()?.chars().next()?,
        ticks: number(14).saturating_add(number(15)),
        started: number(22),
        terminal: number(7),
        virtual_bytes: number(23),
        resident_bytes: number(24).saturating_mul(4096),
        name: name.to_owned(),
        command: String::new(),
    })
}

fn shown_command(line: &[u8], name: &str) -> String {
    let words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let text = words.collect::<Vec<_>>().join(" ").trim_end().to_owned();
    if text.is_empty() { format!("[{name}]") } else { text }
}

/// Every process of a control group and those below it, by number.
pub fn group_processes(group: &Path) -> Vec<u32> {
    let mut all: Vec<u32> = text(&group.join("cgroup.procs"))
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        all.extend(group_processes(&entry.path()));
    }
    all.sort_unstable();
    all
}

/// A file of `KEY NUMBER` lines.
pub fn keyed(path: &Path) -> BTreeMap<String, u64> {
    text(path)
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?)))
        .collect()
}

/// A file of one number; `None` for `max` or an absent one.
pub fn single(path: &Path) -> Option<u64> {
    text(path).trim().parse().ok()
}

/// Bytes and operations of one device (`io.stat`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceUse {
    /// Device numbers.
    pub device: (u64, u64),
    /// `rbytes`, `wbytes`, `rios`, `wios`, ….
    pub counts: BTreeMap<String, u64>,
}

/// `MAJOR:MINOR KEY=NUMBER …` lines.
pub fn parse_io(text: &str) -> Vec<DeviceUse> {
    let line = |line: &str| {
        let (device, counts) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let pairs = counts.split_whitespace().filter_map(|pair| pair.split_once('='));
        Some(DeviceUse {
            device: (major.parse().ok()?, minor.parse().ok()?),
            counts: pairs
                .filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)))
                .collect(),
        })
    };
    text.lines().filter_map(line).collect()
}

/// What went over one network link: received then sent, each bytes, packets, errors, drops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkUse {
    /// Its name.
    pub name: String,
    /// Received.
    pub received: [u64; 4],
    /// Sent.
    pub sent: [u64; 4],
}

/// `/proc/PID/net/dev`, without the loopback.
pub fn parse_links(text: &str) -> Vec<LinkUse> {
    let line = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        let counts: Vec<u64> = counts
            .split_whitespace()
            .filter_map(|count| count.parse().ok())
            .collect();
        let four = |at: usize| counts.get(at..at.saturating_add(4))?.try_into().ok();
        Some(LinkUse {
            name: name.trim().to_owned(),
            received: four(0)?,
            sent: four(8)?,
        })
    };
    text.lines().filter_map(line).filter(|link| link.name != "lo").collect()
}

/// Processor time of the whole machine in nanoseconds, and how many processors there are (`/proc/stat`).
pub fn parse_machine(text: &str) -> (u64, u64) {
    let total = text.lines().find_map(|line| line.strip_prefix("cpu "));
    // Guest time is part of user time already.
    let ticks: u64 = total
        .into_iter()
        .flat_map(|line| line.split_whitespace().take(8))
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    let processors = text.lines().filter(|line| {
        line.strip_prefix("cpu")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    let count = u64::try_from(processors.count()).unwrap_or(1);
    (ticks.saturating_mul(1_000_000_000 / TICKS), count)
}

/// A file's text; nothing when it cannot be read.
pub fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_an_odd_name() {
        let text = "12 (a) b (c) S 1 12 12 34816 12 4194560 1 2 3 4 5 6 7 8 20 0 1 0 999 4096 10 18446744073709551615";
        let info = parse_stat(text).unwrap();
        assert_eq!((info.pid, info.parent, info.state), (12, 1, 'S'));
        assert_eq!((info.name.as_str(), info.ticks, info.started), ("a) b (c", 11, 999));
        assert_eq!(
            (info.virtual_bytes, info.resident_bytes, info.terminal),
            (4096, 40_960, 34_816)
        );
        assert_eq!(shown_command(b"sh\0-c\0x y\0", "sh"), "sh -c x y");
        assert_eq!(shown_command(b"", "kthread"), "[kthread]");
        assert!(read_process(std::process::id()).is_some_and(|own| !own.command.is_empty()));
    }

    #[test]
    fn counters_of_groups_links_and_the_machine() {
        let io = parse_io("8:0 rbytes=10 wbytes=20 rios=1 wios=2\nbad\n");
        assert_eq!((io[0].device, io[0].counts["wbytes"]), ((8, 0), 20));
        let links = parse_links(
            "Inter-| Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 5 2 1 0 0 0 0 0 7 3 0 4 0 0 0 0\n",
        );
        assert_eq!(links.len(), 1);
        assert_eq!((links[0].received, links[0].sent), ([5, 2, 1, 0], [7, 3, 0, 4]));
        let (time, count) = parse_machine("cpu  1 2 3 4 5 6 7 8 9 9\ncpu0 1 2\ncpu1 1 2\nintr 5\n");
        assert_eq!((time, count), (360_000_000, 2));
    }

    proptest::proptest! {
        #[test]
        fn anything_is_read_without_a_panic(text in ".{0,200}") {
            let _ = (parse_stat(&text), parse_io(&text), parse_links(&text), parse_machine(&text));
        }
    }
}
