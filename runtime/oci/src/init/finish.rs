//! The last steps to a program: descriptors, limits of the thread, identity, capabilities, filter, execve.
//!
//! Shared by a container's first process and by exec. The order matters: what needs privileges comes before they go, and
//! the filter comes last, so that it has to allow nothing but execve.

use crate::error::{Error, Result, Step};
use crate::init::program;
use crate::init::user::read_home;
use crate::spec::capabilities::{CapabilitySets, SYS_ADMIN};
use crate::spec::validate::ProcessPlan;
use keelson_sys::exec_attributes::{
    SchedAttr, close_on_exec_from, join_session_keyring, reset_signals, set_io_priority, set_scheduler,
};
use oci_spec::runtime::{IOPriorityClass, LinuxIOPriority, LinuxSchedulerPolicy, Scheduler, User};
use rustix::fs::{Gid, Mode, Uid, fchown, fstat, makedev};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, getcwd, set_dumpable_behavior, umask};
use rustix::thread::{
    CapabilitySet, capabilities, clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Highest capability there may be a bounding bit for.
const CAPABILITIES: u32 = 63;

/// What the new process gets as descriptors 0, 1 and 2.
#[derive(Debug)]
pub struct Stdio {
    /// Input.
    pub stdin: OwnedFd,
    /// Output.
    pub stdout: OwnedFd,
    /// Error output.
    pub stderr: OwnedFd,
}

/// What one program start needs to know beside the process itself.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// Name of the new session keyring; none: the caller's is kept.
    pub keyring: Option<String>,
    /// Descriptors kept beyond 2.
    pub preserve_fds: u32,
}

/// A program ready to be executed.
#[derive(Debug)]
pub struct Settled {
    path: PathBuf,
    name: String,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

/// Hides this process from others in the namespaces it is about to enter: its memory and its executable are the host's.
pub fn hide() -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step("hide the new process", "")
}

/// Puts descriptors in place.
pub fn take_stdio(stdio: &Stdio) -> Result<()> {
    rustix::stdio::dup2_stdin(&stdio.stdin).step("set up standard input", "")?;
    rustix::stdio::dup2_stdout(&stdio.stdout).step("set up standard output", "")?;
    rustix::stdio::dup2_stderr(&stdio.stderr).step("set up standard error", "")
}

/// The streams become the user's, so that /dev/stdout can be opened again by its name. As good as it goes: a descriptor
/// of a read-only or foreign file system stays whose it is.
fn give_away_streams(user: &User) {
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let is_null = fstat(fd).is_ok_and(|stat| stat.st_rdev == makedev(1, 3));
        if user.uid() != 0 && !is_null {
            let _ = fchown(fd, Some(Uid::from_raw(user.uid())), None::<Gid>);
        }
    }
}

/// Becomes what the process is to be, up to execve.
pub fn settle(plan: &ProcessPlan, launch: &Launch) -> Result<Settled> {
    let process = &plan.process;
    if let Some(name) = &launch.keyring {
        join_keyring(name)?;
    }
    if let Some(scheduler) = process.scheduler() {
        set_scheduler(&plan_scheduler(scheduler)).step("set the scheduling policy", "")?;
    }
    if let Some(priority) = process.io_priority() {
        set_io_priority(plan_io_priority(priority)).step("set the I/O priority", "")?;
    }
    give_away_streams(process.user());
    close_on_exec_from(launch.preserve_fds.saturating_add(3)).step("mark descriptors", "")?;
    // A directory that only root may enter, or only the user: either will do.
    let entered = rustix::process::chdir(process.cwd());
    let own = capabilities(None).step("read capabilities", "")?.permitted.bits();
    let sets = within(plan.capabilities, own);
    drop_bounding(sets.bounding)?;
    let no_new_privileges = process.no_new_privileges().unwrap_or(false);
    become_user(process.user())?;
    let for_filter = if plan.filter.is_some() && !no_new_privileges {
        SYS_ADMIN & own
    } else {
        0
    };
    take_capabilities(sets, for_filter)?;
    if entered.is_err() {
        rustix::process::chdir(process.cwd()).step("enter working directory", process.cwd())?;
    }
    check_directory(process.cwd())?;
    let mut environment = process.env().clone().unwrap_or_default();
    if program::variable(&environment, "HOME").is_none() {
        environment.push(format!("HOME={}", read_home(process.user().uid())));
    }
    let name = plan.args.first().cloned().unwrap_or_default();
    let path = program::find(&name, &environment)?;
    if no_new_privileges {
        set_no_new_privs(true).step("set no_new_privs", "")?;
    }
    reset_signals();
    Ok(Settled {
        path,
        name,
        arguments: c_strings(&plan.args)?,
        environment: c_strings(&environment)?,
    })
}

/// Puts the filter in force and executes the program. Returns only the failure.
pub fn execute(settled: &Settled, plan: &ProcessPlan) -> Error {
    let Ok(path) = CString::new(settled.path.as_os_str().as_bytes()) else {
        return Error::spec("process.args", "contains a NUL");
    };
    if let Some(filter) = &plan.filter
        && let Err(error) = filter.load().step("load the system call filter", "")
    {
        return error;
    }
    match nix::unistd::execve(&path, &settled.arguments, &settled.environment) {
        Ok(never) => match never {},
        Err(errno) => {
            let (kind, reason) = program::refusal(Errno::from_raw_os_error(errno as i32));
            Error::Program {
                program: settled.name.clone(),
                kind,
                reason,
            }
        }
    }
}

fn join_keyring(name: &str) -> Result<()> {
    let name = CString::new(name)
        .map_err(std::io::Error::other)
        .step("join session keyring", "")?;
    match join_session_keyring(&name) {
        // A kernel without keyrings has nothing to keep apart.
        Err(Errno::NOSYS) => Ok(()),
        other => other.step("join session keyring", ""),
    }
}

fn within(sets: CapabilitySets, own: u64) -> CapabilitySets {
    let permitted = sets.permitted & own;
    let inheritable = sets.inheritable & own;
    CapabilitySets {
        bounding: sets.bounding & own,
        effective: sets.effective & permitted,
        inheritable,
        permitted,
        ambient: sets.ambient & permitted & inheritable,
    }
}

fn drop_bounding(kept: u64) -> Result<()> {
    for number in 0..CAPABILITIES {
        let bit = 1_u64 << number;
        if kept & bit != 0 {
            continue;
        }
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit)) {
            Ok(()) => {}
            // Beyond the kernel's last.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno).step("drop capabilities from the bounding set", ""),
        }
    }
    Ok(())
}

fn become_user(user: &User) -> Result<()> {
    set_keep_capabilities(true).step("keep capabilities", "")?;
    let groups: Vec<Gid> = user
        .additional_gids()
        .iter()
        .flatten()
        .map(|gid| Gid::from_raw(*gid))
        .collect();
    match set_thread_groups(&groups) {
        // A user namespace may forbid it; then there are none to shed either.
        Err(Errno::PERM) if groups.is_empty() => {}
        other => other.step("set additional groups", "")?,
    }
    let (uid, gid) = (Uid::from_raw(user.uid()), Gid::from_raw(user.gid()));
    set_thread_res_gid(gid, gid, gid).step("set group", user.gid().to_string())?;
    set_thread_res_uid(uid, uid, uid).step("set user", user.uid().to_string())?;
    // Uid changes reset it; and the user's own processes may look only after execve.
    hide()?;
    umask(Mode::from_raw_mode(user.umask().unwrap_or(0o022)));
    Ok(())
}

/// `extra` is kept up to execve, which drops it: it is neither in the bounding nor in the inheritable or ambient set.
fn take_capabilities(sets: CapabilitySets, extra: u64) -> Result<()> {
    let bits = CapabilitySet::from_bits_retain;
    let wanted = rustix::thread::CapabilitySets {
        effective: bits(sets.effective | extra),
        permitted: bits(sets.permitted | extra),
        inheritable: bits(sets.inheritable),
    };
    set_capabilities(None, wanted).step("set capabilities", "")?;
    clear_ambient_capability_set().step("clear ambient capabilities", "")?;
    for number in (0..CAPABILITIES).filter(|number| sets.ambient & 1 << number != 0) {
        configure_capability_in_ambient_set(bits(1 << number), true).step("raise ambient capabilities", "")?;
    }
    Ok(())
}

/// A working directory outside the root would be a way out (it shows as "(unreachable)").
fn check_directory(path: &Path) -> Result<()> {
    let current = getcwd(Vec::new()).step("find out the working directory", path)?;
    if current.to_bytes().first() == Some(&b'/') {
        Ok(())
    } else {
        Err(Errno::XDEV).step("enter working directory", path)
    }
}

fn c_strings(texts: &[String]) -> Result<Vec<CString>> {
    texts
        .iter()
        .map(|text| CString::new(text.as_str()).map_err(|_| Error::spec("process", format!("{text:?} contains a NUL"))))
        .collect()
}

fn plan_io_priority(priority: &LinuxIOPriority) -> u32 {
    let class: u32 = match priority.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    class << 13 | u32::try_from(priority.priority().clamp(0, 7)).unwrap_or(0)
}

fn plan_scheduler(scheduler: &Scheduler) -> SchedAttr {
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    // The kernel's flags are numbered in the order of the specification's.
    let flags = scheduler
        .flags()
        .iter()
        .flatten()
        .fold(0_u64, |bits, flag| bits | 1 << (*flag as u32));
    SchedAttr {
        size: 0,
        policy,
        flags,
        nice: scheduler.nice().unwrap_or(0),
        priority: u32::try_from(scheduler.priority().unwrap_or(0)).unwrap_or(0),
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    }
}
