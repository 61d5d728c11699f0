//! What the kernel has booked: processor time on the control group, proportional memory on the processes.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};

const ROOT: &str = "/sys/fs/cgroup";

/// Moves this process into a leaf, so that engines may hand controllers down from the root they see.
pub fn settle_group() -> Result<()> {
    fs::create_dir_all(format!("{ROOT}/bench"))?;
    let here = fs::read_to_string(format!("{ROOT}/cgroup.procs"))?;
    for pid in here.split_whitespace() {
        // A process that has ended meanwhile needs no move.
        let _ = fs::write(format!("{ROOT}/bench/cgroup.procs"), pid);
    }
    for controller in fs::read_to_string(format!("{ROOT}/cgroup.controllers"))?.split_whitespace() {
        let _ = fs::write(format!("{ROOT}/cgroup.subtree_control"), format!("+{controller}"));
    }
    Ok(())
}

/// Whether the hierarchy bounds the number of processes; a host that has given this to version 1 cannot.
pub fn can_bound_pids() -> Result<bool> {
    let controllers = fs::read_to_string(format!("{ROOT}/cgroup.controllers"))?;
    Ok(controllers.split_whitespace().any(|name| name == "pids"))
}

/// Processor seconds of everything in the group so far.
pub fn cpu_seconds() -> Result<f64> {
    let text = fs::read_to_string(format!("{ROOT}/cpu.stat"))?;
    let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
    Ok(used.context("cpu.stat has no usage_usec")?.trim().parse::<f64>()? / 1e6)
}

/// Processor and wall seconds that something takes.
pub fn taken(work: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
    let (cpu, wall) = (cpu_seconds()?, Instant::now());
    work()?;
    Ok((cpu_seconds()? - cpu, wall.elapsed().as_secs_f64()))
}

/// Proportional memory of every process of these namespaces, in MB; each page counts once.
pub fn memory() -> Result<f64> {
    let mut kilobytes = 0.0;
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(text) = fs::read_to_string(entry.path().join("smaps_rollup")) else {
            continue; // no process, or one that has just ended
        };
        let pss = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        kilobytes += pss
            .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
            .unwrap_or_default();
    }
    Ok(kilobytes * 1024.0 / 1e6)
}
