//! Limits → the resources section of the OCI spec. Pure.

use oci_spec::runtime::{
    LinuxCpu, LinuxCpuBuilder, LinuxDeviceCgroup, LinuxMemory, LinuxMemoryBuilder, LinuxPids, LinuxPidsBuilder,
    LinuxResources, LinuxResourcesBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};

use crate::engine::request::{Limits, Ulimit};

/// Processes a container may have unless it asks for another number: enough for any server, too few
/// to use up the machine's process ids.
pub const DEFAULT_PIDS: i64 = 4096;

/// Length of a period of the processor's scheduler, in microseconds.
const CPU_PERIOD: u64 = 100_000;

/// A limit that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid ulimit type: {0}")]
pub struct UnknownUlimit(pub String);

/// The section of one container. `can_bound_pids` says whether the kernel can bound processes at
/// all; without it, only a bound that was asked for is in the section (and the start then fails).
pub fn plan_resources(limits: &Limits, devices: Vec<LinuxDeviceCgroup>, can_bound_pids: bool) -> LinuxResources {
    let mut builder = LinuxResourcesBuilder::default().devices(devices);
    if can_bound_pids || limits.pids.is_some_and(|limit| limit > 0) {
        builder = builder.pids(plan_pids(limits));
    }
    if let Some(memory) = plan_memory(limits) {
        builder = builder.memory(memory);
    }
    if let Some(cpu) = plan_cpu(limits) {
        builder = builder.cpu(cpu);
    }
    builder.build().unwrap_or_default()
}

fn plan_pids(limits: &Limits) -> LinuxPids {
    let limit = match limits.pids {
        None => DEFAULT_PIDS,
        Some(count) if count > 0 => count,
        Some(_) => -1,
    };
    LinuxPidsBuilder::default().limit(limit).build().unwrap_or_default()
}

/// Memory and swap as the spec counts them: swap includes memory.
fn plan_memory(limits: &Limits) -> Option<LinuxMemory> {
    if limits.memory == 0 && limits.memory_reservation == 0 {
        return None;
    }
    let mut builder = LinuxMemoryBuilder::default();
    if limits.memory > 0 {
        let memory = signed(limits.memory);
        let swap = match limits.memory_swap {
            0 => memory.saturating_mul(2),
            given => given,
        };
        builder = builder.limit(memory).swap(swap);
    }
    if limits.memory_reservation > 0 {
        builder = builder.reservation(signed(limits.memory_reservation));
    }
    builder.build().ok()
}

fn plan_cpu(limits: &Limits) -> Option<LinuxCpu> {
    let mut builder = LinuxCpuBuilder::default();
    let mut any = false;
    if limits.nano_cpus > 0 {
        // One processor is 1e9 billionths and 100,000 microseconds of each period.
        builder = builder.period(CPU_PERIOD).quota(signed(limits.nano_cpus / 10_000));
        any = true;
    } else if limits.cpu_quota > 0 {
        let period = if limits.cpu_period == 0 {
            CPU_PERIOD
        } else {
            limits.cpu_period
        };
        builder = builder.period(period).quota(limits.cpu_quota);
        any = true;
    }
    if limits.cpu_shares > 0 {
        builder = builder.shares(limits.cpu_shares);
        any = true;
    }
    if !limits.cpuset_cpus.is_empty() {
        builder = builder.cpus(limits.cpuset_cpus.clone());
        any = true;
    }
    any.then(|| builder.build().ok()).flatten()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Resource limits of the process.
///
/// # Errors
/// A name is unknown.
pub fn plan_rlimits(ulimits: &[Ulimit]) -> Result<Vec<PosixRlimit>, UnknownUlimit> {
    ulimits.iter().map(plan_rlimit).collect()
}

fn plan_rlimit(ulimit: &Ulimit) -> Result<PosixRlimit, UnknownUlimit> {
    let unknown = || UnknownUlimit(ulimit.name.clone());
    let name = format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase());
    let kind: PosixRlimitType = serde_json::from_value(serde_json::Value::String(name)).map_err(|_| unknown())?;
    let value = |given: i64| u64::try_from(given).unwrap_or(u64::MAX);
    PosixRlimitBuilder::default()
        .typ(kind)
        .soft(value(ulimit.soft))
        .hard(value(ulimit.hard))
        .build()
        .map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_bounded_unless_told_otherwise() {
        let table = [(None, 4096), (Some(100), 100), (Some(0), -1), (Some(-1), -1)];
        for (asked, want) in table {
            let limits = Limits {
                pids: asked,
                ..Limits::default()
            };
            assert_eq!(plan_pids(&limits).limit(), want, "{asked:?}");
        }
    }

    #[test]
    fn a_kernel_that_cannot_bound_processes_is_not_asked_to_by_default() {
        let asked = Limits {
            pids: Some(5),
            ..Limits::default()
        };
        let plain = Limits::default();
        for (limits, can, bounds) in [(&plain, true, true), (&plain, false, false), (&asked, false, true)] {
            assert_eq!(plan_resources(limits, vec![], can).pids().is_some(), bounds);
        }
    }

    #[test]
    fn swap_includes_memory() {
        let table = [(0, 200), (150, 150), (-1, -1)];
        for (asked, want) in table {
            let limits = Limits {
                memory: 100,
                memory_swap: asked,
                ..Limits::default()
            };
            assert_eq!(plan_memory(&limits).unwrap().swap(), Some(want), "{asked}");
        }
    }

    #[test]
    fn half_a_processor_is_half_a_period() {
        let limits = Limits {
            nano_cpus: 500_000_000,
            ..Limits::default()
        };
        let cpu = plan_cpu(&limits).unwrap();
        assert_eq!((cpu.quota(), cpu.period()), (Some(50_000), Some(100_000)));
        assert!(plan_cpu(&Limits::default()).is_none());
    }

    #[test]
    fn ulimits_by_name() {
        let limit = |name: &str| Ulimit {
            name: name.to_owned(),
            soft: -1,
            hard: 5,
        };
        let got = plan_rlimits(&[limit("nofile")]).unwrap();
        assert_eq!((got[0].soft(), got[0].hard()), (u64::MAX, 5));
        assert!(plan_rlimits(&[limit("flights")]).is_err());
    }
}
