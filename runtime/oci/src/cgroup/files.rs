//! `linux.resources` as files of a cgroup and what to write into them, in order. Pure.

use crate::error::{Error, Result};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

/// One file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupFile {
    /// Its name in the cgroup's directory.
    pub name: String,
    /// What to write.
    pub value: String,
    /// Other files that mean the same, tried if the first does not exist.
    pub instead: Option<(String, String)>,
}

impl CgroupFile {
    fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            instead: None,
        }
    }
}

/// Files to write for these resources; what is not asked for is not written.
pub fn plan_files(resources: &LinuxResources) -> Result<Vec<CgroupFile>> {
    let mut files = Vec::new();
    if let Some(cpu) = resources.cpu() {
        plan_cpu(cpu, &mut files)?;
    }
    if let Some(memory) = resources.memory() {
        plan_memory(memory, &mut files)?;
    }
    if let Some(pids) = resources.pids() {
        files.push(CgroupFile::new("pids.max", limit_or_max(pids.limit())));
    }
    if let Some(io) = resources.block_io() {
        plan_io(io, &mut files)?;
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        let name = format!("hugetlb.{}.max", limit.page_size());
        files.push(CgroupFile::new(name, limit.limit().to_string()));
        files.push(CgroupFile::new(
            format!("hugetlb.{}.rsvd.max", limit.page_size()),
            limit.limit().to_string(),
        ));
    }
    for (device, limit) in resources.rdma().iter().flatten() {
        let count = |limit: Option<u32>| limit.map_or("max".to_owned(), |limit| limit.to_string());
        let value = format!(
            "{device} hca_handle={} hca_object={}",
            count(limit.hca_handles()),
            count(limit.hca_objects())
        );
        files.push(CgroupFile::new("rdma.max", value));
    }
    plan_unified(resources, &mut files)?;
    Ok(files)
}

fn plan_cpu(cpu: &LinuxCpu, files: &mut Vec<CgroupFile>) -> Result<()> {
    for (member, given) in [
        ("realtimeRuntime", cpu.realtime_runtime().unwrap_or(0) != 0),
        ("realtimePeriod", cpu.realtime_period().unwrap_or(0) != 0),
    ] {
        if given {
            return Err(Error::spec(
                format!("linux.resources.cpu.{member}"),
                "does not exist in cgroup version 2",
            ));
        }
    }
    if let Some(idle) = cpu.idle() {
        files.push(CgroupFile::new("cpu.idle", idle.to_string()));
    }
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        files.push(CgroupFile::new("cpu.weight", cpu_weight(shares).to_string()));
    }
    let period = cpu.period().filter(|period| *period != 0);
    if cpu.quota().is_some() || period.is_some() {
        let quota = cpu
            .quota()
            .filter(|quota| *quota > 0)
            .map_or("max".to_owned(), |quota| quota.to_string());
        files.push(CgroupFile::new(
            "cpu.max",
            format!("{quota} {}", period.unwrap_or(100_000)),
        ));
    }
    if let Some(burst) = cpu.burst() {
        files.push(CgroupFile::new("cpu.max.burst", burst.to_string()));
    }
    for (name, list) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            files.push(CgroupFile::new(name, list));
        }
    }
    Ok(())
}

/// Docker's CPU shares (2–262144, default 1024) as a weight (1–10000, default 100): a curve through (2, 1), (1024, 100) and
/// (262144, 10000), linear in the logarithms squared.
fn cpu_weight(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    // Precision of f64 is far beyond the sixteen bits that matter.
    #[allow(clippy::cast_precision_loss)]
    let l = (shares as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let weight = 10_f64.powf(exponent).ceil() as u64;
    weight.clamp(1, 10_000)
}

fn plan_memory(memory: &LinuxMemory, files: &mut Vec<CgroupFile>) -> Result<()> {
    let limit = memory.limit().filter(|limit| *limit != 0);
    let swap = memory.swap().filter(|swap| *swap != 0);
    if let Some(swap) = plan_swap(limit, swap)? {
        files.push(CgroupFile::new("memory.swap.max", swap));
    }
    if let Some(limit) = limit {
        files.push(CgroupFile::new("memory.max", limit_or_max(limit)));
    }
    if let Some(reservation) = memory.reservation().filter(|reservation| *reservation != 0) {
        files.push(CgroupFile::new("memory.low", limit_or_max(reservation)));
    }
    Ok(())
}

/// The specification's swap counts memory and swap together; the kernel's counts swap alone.
fn plan_swap(limit: Option<i64>, swap: Option<i64>) -> Result<Option<String>> {
    match (limit, swap) {
        (_, None) => Ok(None),
        (_, Some(swap)) if swap < 0 => Ok(Some("max".to_owned())),
        (Some(limit), Some(swap)) if limit > 0 && swap >= limit => Ok(Some(swap.saturating_sub(limit).to_string())),
        (Some(limit), Some(_)) if limit > 0 => Err(Error::spec(
            "linux.resources.memory.swap",
            "is below the memory limit, which it includes",
        )),
        _ => Err(Error::spec(
            "linux.resources.memory.swap",
            "needs a memory limit, which it includes",
        )),
    }
}

fn plan_io(io: &LinuxBlockIo, files: &mut Vec<CgroupFile>) -> Result<()> {
    if io.leaf_weight().unwrap_or(0) != 0 {
        return Err(Error::spec(
            "linux.resources.blockIO.leafWeight",
            "does not exist in cgroup version 2",
        ));
    }
    if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
        let mut file = CgroupFile::new("io.weight", format!("default {}", io_weight(weight)));
        file.instead = Some(("io.bfq.weight".to_owned(), weight.to_string()));
        files.push(file);
    }
    for device in io.weight_device().iter().flatten() {
        if let Some(weight) = device.weight().filter(|weight| *weight != 0) {
            let number = format!("{}:{}", device.major(), device.minor());
            let mut file = CgroupFile::new("io.weight", format!("{number} {}", io_weight(weight)));
            file.instead = Some(("io.bfq.weight".to_owned(), format!("{number} {weight}")));
            files.push(file);
        }
    }
    for (word, devices) in [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ] {
        files.extend(
            devices
                .iter()
                .flatten()
                .map(|device| CgroupFile::new("io.max", throttle(word, device))),
        );
    }
    Ok(())
}

/// blkio's weight (10–1000) as io's (1–10000).
fn io_weight(weight: u16) -> u64 {
    let weight = u64::from(weight.clamp(10, 1000));
    1 + (weight - 10) * 9999 / 990
}

fn throttle(word: &str, device: &LinuxThrottleDevice) -> String {
    let rate = if device.rate() == 0 {
        "max".to_owned()
    } else {
        device.rate().to_string()
    };
    format!("{}:{} {word}={rate}", device.major(), device.minor())
}

fn plan_unified(resources: &LinuxResources, files: &mut Vec<CgroupFile>) -> Result<()> {
    let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
    unified.sort();
    for (name, value) in unified {
        if name.contains('/') || !name.contains('.') {
            return Err(Error::spec(
                format!("linux.resources.unified.{name}"),
                "is no cgroup file's name",
            ));
        }
        files.extend(value.lines().map(|line| CgroupFile::new(name.as_str(), line)));
    }
    Ok(())
}

/// Negative means no limit.
fn limit_or_max(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

/// Controllers these files need, each once.
pub fn controllers(files: &[CgroupFile]) -> Vec<&str> {
    let mut names: Vec<&str> = files
        .iter()
        .filter_map(|file| file.name.split_once('.').map(|(controller, _)| controller))
        .filter(|controller| *controller != "cgroup")
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str) -> Result<String> {
        let files = plan_files(&serde_json::from_str(json).unwrap())?;
        Ok(files
            .iter()
            .map(|file| format!("{}={}", file.name, file.value))
            .collect::<Vec<_>>()
            .join("; "))
    }

    #[test]
    fn limits_become_files() {
        for (json, expected) in [
            ("{}", ""),
            (
                r#"{"memory":{"limit":100,"swap":300,"reservation":50}}"#,
                "memory.swap.max=200; memory.max=100; memory.low=50",
            ),
            (
                r#"{"memory":{"limit":100,"swap":100}}"#,
                "memory.swap.max=0; memory.max=100",
            ),
            (
                r#"{"memory":{"limit":-1,"swap":-1}}"#,
                "memory.swap.max=max; memory.max=max",
            ),
            (
                r#"{"cpu":{"shares":1024,"quota":50000,"period":100000}}"#,
                "cpu.weight=100; cpu.max=50000 100000",
            ),
            (r#"{"cpu":{"quota":-1}}"#, "cpu.max=max 100000"),
            (
                r#"{"cpu":{"period":5000,"cpus":"0-1","mems":""}}"#,
                "cpu.max=max 5000; cpuset.cpus=0-1",
            ),
            (r#"{"pids":{"limit":0}}"#, "pids.max=0"),
            (r#"{"pids":{"limit":-1}}"#, "pids.max=max"),
            (r#"{"blockIO":{"weight":500}}"#, "io.weight=default 4950"),
            (
                r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1024}],
                    "throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":0}]}}"#,
                "io.max=8:0 rbps=1024; io.max=8:0 wiops=max",
            ),
            (
                r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4096}]}"#,
                "hugetlb.2MB.max=4096; hugetlb.2MB.rsvd.max=4096",
            ),
            (
                r#"{"unified":{"memory.high":"7","cpu.weight":"9"}}"#,
                "cpu.weight=9; memory.high=7",
            ),
        ] {
            assert_eq!(plan(json).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for json in [
            r#"{"memory":{"limit":100,"swap":50}}"#,
            r#"{"memory":{"swap":50}}"#,
            r#"{"cpu":{"realtimeRuntime":5}}"#,
            r#"{"unified":{"../x.y":"1"}}"#,
        ] {
            assert!(plan(json).is_err(), "{json}");
        }
    }

    #[test]
    fn weights_are_monotone_and_in_range() {
        assert_eq!(
            (cpu_weight(2), cpu_weight(1024), cpu_weight(262_144), cpu_weight(0)),
            (1, 100, 10_000, 1)
        );
        assert!((2..5000).all(|shares| cpu_weight(shares) <= cpu_weight(shares + 1)));
        assert_eq!((io_weight(10), io_weight(1000), io_weight(0)), (1, 10_000, 1));
    }

    #[test]
    fn controllers_are_named_once() {
        let files = plan_files(
            &serde_json::from_str(r#"{"memory":{"limit":1,"swap":2},"unified":{"cgroup.type":"x"}}"#).unwrap(),
        );
        assert_eq!(controllers(&files.unwrap()), ["memory"]);
    }
}
