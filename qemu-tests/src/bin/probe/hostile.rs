//! What a container should not get away with.

use std::fs::File;
use std::io::{self, Write};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::mount::{MountFlags, mount_remount};
use rustix::process::{Pid, Signal, kill_process};

use crate::look::pids;

/// Starts copies of itself for ever, each of which does the same.
pub fn fork_bomb() -> io::Result<()> {
    let own = std::env::current_exe()?;
    println!("fork bomb");
    loop {
        if Command::new(&own).arg("fork-bomb").spawn().is_err() {
            // The limit is reached; keep pressing.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Takes and touches memory for ever.
pub fn memory_hog() -> io::Result<()> {
    println!("memory hog");
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(vec![taken.len() as u8 | 1; 1 << 20]);
    }
}

/// Writes until the disk refuses, then holds on to what it has.
pub fn disk_hog(path: &str) -> io::Result<()> {
    println!("disk hog");
    let mut file = File::create(path)?;
    let block = vec![0xa5; 1 << 20];
    let mut written = 0_u64;
    let refused = loop {
        match file.write_all(&block).and_then(|()| file.sync_data()) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    println!("disk hog stopped after {written} MiB: {refused}");
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Says something once a second.
pub fn say(text: &str) -> io::Result<()> {
    loop {
        println!("{text}");
        thread::sleep(Duration::from_secs(1));
    }
}

/// Kills every process of a name at once.
pub fn kill_by_name(name: &str) -> io::Result<String> {
    let mut killed = 0;
    for pid in pids()? {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // The kernel keeps 15 characters of a name.
        let same = comm.trim_end() == name.get(..15).unwrap_or(name);
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            continue;
        };
        if same && kill_process(pid, Signal::KILL).is_ok() {
            killed += 1;
        }
    }
    Ok(format!("{killed}\n"))
}

/// Leaves so many processes behind whose parent is gone before they end.
pub fn orphans(count: &str) -> io::Result<String> {
    let count: u32 = count.parse().map_err(io::Error::other)?;
    let own = std::env::current_exe()?;
    for _ in 0..count {
        // The child of the child is handed to PID 1 when the child ends.
        let child = Command::new(&own).arg("orphan-parent").spawn();
        if let Ok(mut child) = child {
            child.wait()?;
        }
    }
    Ok(format!("{count}\n"))
}

/// Starts a process and ends before it does.
pub fn orphan_parent() -> io::Result<()> {
    Command::new(std::env::current_exe()?).arg("orphan").spawn().map(drop)
}

/// Tries to make a mount of the host writable.
pub fn remount_writable(path: &str) -> io::Result<String> {
    Ok(match mount_remount(path, MountFlags::empty(), "") {
        Ok(()) => "remounted\n".into(),
        Err(error) => format!("refused: {error}\n"),
    })
}
