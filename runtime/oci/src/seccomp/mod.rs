//! System call filters: the specification's rules (or the default profile) compiled to a classic BPF program.
//!
//! Everything here is pure. [`Filter::load`] is the one call that acts.

pub mod bpf;
pub mod conditions;
#[cfg(test)]
mod interpret;
#[cfg(test)]
mod model_test;
pub mod profile;
pub mod rules;

use crate::error::{Error, Result};
use keelson_sys::seccomp_filter::Instruction;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag as Flag};

const FLAG_LOG: u32 = 2;
const FLAG_SPEC_ALLOW: u32 = 4;

/// A program ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The program.
    pub program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

impl Filter {
    /// Puts it in force for this thread and what it starts.
    pub fn load(&self) -> Result<(), rustix::io::Errno> {
        keelson_sys::seccomp_filter::load(&self.program, self.flags)
    }
}

/// Compiles a specification's `linux.seccomp`.
pub fn compile(seccomp: &LinuxSeccomp) -> Result<Filter> {
    if seccomp.listener_path().is_some() {
        return Err(Error::spec(
            "linux.seccomp.listenerPath",
            "notification to another process is not supported",
        ));
    }
    let policy = rules::plan_policy(seccomp)?;
    Ok(Filter {
        program: bpf::assemble(&policy)?,
        flags: plan_flags(seccomp.flags().as_deref()),
    })
}

/// Without flags speculation is not mitigated, as runtimes have done since kernels stopped to by themselves.
fn plan_flags(flags: Option<&[Flag]>) -> u32 {
    let Some(flags) = flags else { return FLAG_SPEC_ALLOW };
    flags.iter().fold(0, |bits, flag| match flag {
        Flag::SeccompFilterFlagLog => bits | FLAG_LOG,
        Flag::SeccompFilterFlagSpecAllow => bits | FLAG_SPEC_ALLOW,
        // One thread at this point; and without a listener nobody waits.
        Flag::SeccompFilterFlagTsync | Flag::SeccompFilterFlagWaitKillableRecv => bits,
    })
}

/// The compiled default profile for a bounding set.
pub fn default_filter(capabilities: u64) -> Result<Filter> {
    let profile = profile::default_profile(capabilities);
    compile(&profile.map_err(|error| Error::spec("linux.seccomp", error.to_string()))?)
}
