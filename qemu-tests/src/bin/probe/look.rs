//! What can be seen from inside.

use std::fmt::Write as _;
use std::fs;
use std::io;

/// A line per process: pid, name, uid, effective capabilities, no_new_privs, seccomp mode, control group.
pub fn processes() -> io::Result<String> {
    let mut out = String::new();
    for pid in pids()? {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        let field = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default()
                .split_whitespace()
                .next()
                .unwrap_or("-")
                .to_owned()
        };
        let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let group = group.trim().trim_start_matches("0::");
        let (name, uid, caps) = (field("Name"), field("Uid"), field("CapEff"));
        let (locked, filter) = (field("NoNewPrivs"), field("Seccomp"));
        let _ = writeln!(out, "{pid} {name} {uid} {caps} {locked} {filter} {group}");
    }
    Ok(out)
}

/// A line per process of user space: name and proportional set size in kB.
pub fn memory() -> io::Result<String> {
    let mut out = String::new();
    for pid in pids()? {
        let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
            continue;
        };
        let pss = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss:"))
            .unwrap_or_default();
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if let Some(kilobytes) = pss.split_whitespace().next() {
            let _ = writeln!(out, "{} {kilobytes}", name.trim_end());
        }
    }
    Ok(out)
}

/// Number of dead processes nobody has collected.
pub fn zombies() -> io::Result<String> {
    let is_zombie = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    };
    Ok(format!("{}\n", pids()?.iter().filter(|pid| is_zombie(pid)).count()))
}

/// Tries to write a file; says how that went.
pub fn write(path: &str, text: &[u8]) -> io::Result<String> {
    Ok(match fs::write(path, text) {
        Ok(()) => "written\n".into(),
        Err(error) => format!("refused: {error}\n"),
    })
}

/// Writes a text: `PATH=TEXT`.
pub fn put(argument: &str) -> io::Result<String> {
    let (path, text) = argument
        .split_once('=')
        .ok_or_else(|| io::Error::other("PATH=TEXT is expected"))?;
    write(path, text.as_bytes())
}

/// How full the file system of a path is, in percent of its blocks.
pub fn disk(path: &str) -> io::Result<String> {
    let stat = rustix::fs::statvfs(path)?;
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    Ok(format!("{}\n", used * 100 / stat.f_blocks.max(1)))
}

/// Every process that can be seen.
pub fn pids() -> io::Result<Vec<u32>> {
    Ok(fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect())
}

/// Writes a line to a terminal, so that the outside sees when this program ran.
pub fn mark(device: &str, text: &str) -> io::Result<()> {
    let mut terminal = std::fs::File::options().write(true).open(device)?;
    io::Write::write_all(&mut terminal, format!("\r\n{text}\r\n").as_bytes())
}
