//! The named system call filters, compiled here and not at build time, so that the unit's name for them is all that
//! is stored. What a filter does not know answers `EPERM`; another architecture's calls kill the process.

use std::collections::BTreeMap;
use std::io;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::unit::Seccomp;

/// Namespace flags of clone(2); a service makes no namespaces.
const NEW_NAMESPACES: u64 = 0x7e02_0080;

/// Installs the filter for everything this process executes.
///
/// # Errors
/// What the kernel says.
pub fn install(name: Seccomp) -> io::Result<()> {
    for program in compile(name).map_err(io::Error::other)? {
        seccompiler::apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

/// The programs of a named filter, in the order they are installed.
fn compile(name: Seccomp) -> Result<Vec<BpfProgram>, seccompiler::Error> {
    let (more, families): (&[i64], &[i32]) = match name {
        Seccomp::None => return Ok(Vec::new()),
        Seccomp::Service => (&[], &[]),
        Seccomp::Network => (NETWORK, &[libc::AF_NETLINK, libc::AF_PACKET]),
        Seccomp::Modules => (MODULES, &[libc::AF_NETLINK]),
        Seccomp::Mounts => (MOUNTS, &[]),
    };
    let mut rules = BTreeMap::new();
    allow(&mut rules, &[SERVICE, more].concat(), &[EVERYBODY, families].concat())?;
    let allowed = build(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)?;
    // Its flags lie in memory, where no filter can look; without it the C library takes clone, which can be checked.
    let no_clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let hidden = build(
        no_clone3,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
    )?;
    // Where two filters answer with an error, the one installed last wins.
    Ok(vec![allowed, hidden])
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn allow(rules: &mut Rules, calls: &[i64], families: &[i32]) -> Result<(), seccompiler::Error> {
    rules.extend(calls.iter().map(|number| (*number, Vec::new())));
    let family = |family: &i32| condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, *family as u64);
    rules.insert(libc::SYS_socket, families.iter().map(family).collect::<Result<_, _>>()?);
    let no_namespaces = SeccompCmpOp::MaskedEq(NEW_NAMESPACES);
    rules.insert(
        libc::SYS_clone,
        vec![condition(0, SeccompCmpArgLen::Qword, no_namespaces, 0)?],
    );
    Ok(())
}

fn condition(
    argument: u8,
    length: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::Error> {
    let condition = SeccompCondition::new(argument, length, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

fn build(rules: Rules, mismatch: SeccompAction, on_match: SeccompAction) -> Result<BpfProgram, seccompiler::Error> {
    Ok(SeccompFilter::new(rules, mismatch, on_match, TargetArch::x86_64)?.try_into()?)
}

/// Families of sockets that every filter lets through.
const EVERYBODY: &[i32] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// What a loader of kernel modules may call beyond [`SERVICE`].
const MODULES: &[i64] = &[libc::SYS_init_module, libc::SYS_finit_module];

/// What mounts a file system for itself alone beyond [`SERVICE`]. Without `move_mount` and `mount` it cannot put it
/// anywhere.
const MOUNTS: &[i64] = &[libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount];

/// What a network daemon may call beyond [`SERVICE`].
const NETWORK: &[i64] = &[
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
];

/// What a daemon may call: files, memory, threads, processes, sockets, waiting, time. Not: mounts, namespaces, modules,
/// keys, tracing, bpf, performance counters, reboot, swap, clock setting, userfaultfd, io_uring.
const SERVICE: &[i64] = &[
    // Files.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_creat,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_stat,
    libc::SYS_fstat,
    libc::SYS_lstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_sync_file_range,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_getdents,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_rmdir,
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_chmod,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_chown,
    libc::SYS_fchown,
    libc::SYS_lchown,
    libc::SYS_fchownat,
    libc::SYS_umask,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_utimensat,
    libc::SYS_futimesat,
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_ioctl,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_vmsplice,
    libc::SYS_copy_file_range,
    libc::SYS_readahead,
    libc::SYS_inotify_init,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    libc::SYS_memfd_create,
    libc::SYS_pipe,
    libc::SYS_pipe2,
    libc::SYS_eventfd,
    libc::SYS_eventfd2,
    // Memory.
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_munlock,
    libc::SYS_mlockall,
    libc::SYS_munlockall,
    libc::SYS_msync,
    libc::SYS_mincore,
    libc::SYS_membarrier,
    // Waiting.
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_select,
    libc::SYS_pselect6,
    libc::SYS_epoll_create,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_restart_syscall,
    // Sockets; socket itself is limited to families.
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    // Processes and threads; clone is limited to no namespaces, clone3 answers ENOSYS.
    libc::SYS_clone3,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getpgid,
    libc::SYS_getpgrp,
    libc::SYS_setpgid,
    libc::SYS_getsid,
    libc::SYS_setsid,
    libc::SYS_prctl,
    libc::SYS_arch_prctl,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_setparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_getpriority,
    libc::SYS_setpriority,
    libc::SYS_ioprio_get,
    libc::SYS_ioprio_set,
    libc::SYS_getcpu,
    libc::SYS_getrlimit,
    libc::SYS_setrlimit,
    libc::SYS_prlimit64,
    libc::SYS_getrusage,
    libc::SYS_times,
    // Identity: dropping privileges is fine, and capabilities bound what else it can do.
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_seccomp,
    // Signals and time.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_rt_sigsuspend,
    libc::SYS_sigaltstack,
    libc::SYS_signalfd,
    libc::SYS_signalfd4,
    libc::SYS_alarm,
    libc::SYS_pause,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_time,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_delete,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    // The machine, read only.
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_filter_compiles() {
        assert_eq!(compile(Seccomp::None).unwrap().len(), 0);
        for name in [Seccomp::Service, Seccomp::Network, Seccomp::Modules, Seccomp::Mounts] {
            let programs = compile(name).unwrap();
            assert_eq!(programs.len(), 2);
            assert!(programs.iter().all(|program| (3..4096).contains(&program.len())));
        }
    }

    #[test]
    fn what_would_reach_beyond_the_service_is_not_listed() {
        let dangerous = [
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_ptrace,
            libc::SYS_bpf,
            libc::SYS_reboot,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_keyctl,
            libc::SYS_io_uring_setup,
            libc::SYS_process_vm_writev,
            libc::SYS_open_by_handle_at,
            libc::SYS_socket,
            libc::SYS_clone,
        ];
        for number in dangerous {
            assert!(!SERVICE.contains(&number) && !NETWORK.contains(&number), "{number}");
            assert!(!MOUNTS.contains(&number), "{number}");
            let of_modules = [libc::SYS_init_module, libc::SYS_finit_module];
            assert_eq!(MODULES.contains(&number), of_modules.contains(&number), "{number}");
        }
    }
}
