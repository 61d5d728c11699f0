//! One more process in a running container.

use crate::cgroup::group::Group;
use crate::cgroup::root;
use crate::container::Container;
use crate::create::{await_program, set_limits};
use crate::error::{Error, Result, Step};
use crate::init::finish::{self, Launch, Stdio};
use crate::init::inside::Inside;
use crate::init::report::{Line, Report};
use crate::init::{console, story};
use crate::spawn::{Route, Spawned, spawn};
use crate::spec::namespaces::flag;
use crate::spec::validate::{ProcessPlan, plan_process};
use crate::state::Status;
use crate::userns::reap;
use keelson_sys::exec_attributes::exit_now;
use oci_spec::runtime::{LinuxNamespaceType as Kind, Process};
use rustix::fs::{Mode, OFlags, open, stat};
use rustix::io::Errno;
use rustix::process::{setsid, umask};
use std::cell::Cell;
use std::convert::Infallible;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};

/// What to run.
#[derive(Debug)]
pub struct ExecOptions {
    /// The process.
    pub process: Process,
    /// Its streams; `None`: the caller's own. A terminal replaces them.
    pub stdio: Option<Stdio>,
    /// Descriptors of ours it keeps, beyond 2.
    pub preserve_fds: u32,
}

/// A process that runs.
#[derive(Debug)]
pub struct Executed {
    /// Its number in our pid namespace.
    pub pid: i32,
    /// Its descriptor; it is a child of ours.
    pub pidfd: OwnedFd,
    /// Its terminal, if it has one.
    pub console: Option<OwnedFd>,
}

/// Runs it; returns when its program runs.
pub fn exec(container: &Container, options: ExecOptions) -> Result<Executed> {
    let id = &container.state().id;
    match container.status() {
        Status::Running | Status::Created => {}
        Status::Paused => return Err(Error::state(id, "is paused")),
        Status::Creating | Status::Stopped => return Err(Error::state(id, "is not running")),
    }
    let plan = plan_process(options.process, &container.spec()?)?;
    let first = container.pidfd()?;
    let flags = differing_namespaces(container.state().pid)?;
    let launch = Launch {
        keyring: None,
        preserve_fds: options.preserve_fds,
    };
    let in_user_namespace = flags & flag(Kind::User) != 0;
    let own = Cell::new(options.stdio);
    let live = |line: Line| live(&plan, &line, own.take().as_ref(), &launch, in_user_namespace);
    let route = Route::Following(first.as_fd(), flags);
    let spawned = spawn(&route, 0, pick_cgroup(container)?.as_fd(), live)?;
    let raised = raise(&plan, &spawned);
    match raised {
        Ok(console) => Ok(Executed {
            pid: spawned.pid.as_raw_nonzero().get(),
            pidfd: spawned.pidfd,
            console,
        }),
        Err(error) => {
            let _ = rustix::process::pidfd_send_signal(&spawned.pidfd, rustix::process::Signal::KILL);
            reap(&spawned.pidfd);
            Err(error)
        }
    }
}

/// Flags of the kinds in which a process's namespaces differ from ours.
fn differing_namespaces(pid: i32) -> Result<u64> {
    const KINDS: [(&str, Kind); 8] = [
        ("mnt", Kind::Mount),
        ("cgroup", Kind::Cgroup),
        ("uts", Kind::Uts),
        ("ipc", Kind::Ipc),
        ("user", Kind::User),
        ("pid", Kind::Pid),
        ("net", Kind::Network),
        ("time", Kind::Time),
    ];
    let mut flags = 0;
    for (name, kind) in KINDS {
        let theirs = format!("/proc/{pid}/ns/{name}");
        let ours = format!("/proc/self/ns/{name}");
        let identity = |path: &str| match stat(path) {
            // A kernel without this kind.
            Err(Errno::NOENT) => Ok(None),
            other => other
                .map(|stat| Some((stat.st_dev, stat.st_ino)))
                .step("examine namespace", path),
        };
        if identity(&theirs)? != identity(&ours)? {
            flags |= flag(kind);
        }
    }
    Ok(flags)
}

/// The container's cgroup; or, when the container has made cgroups below it and so may hold no process itself, the one
/// its first process is in now.
fn pick_cgroup(container: &Container) -> Result<OwnedFd> {
    let group = container.group();
    let delegates =
        fs::read_to_string(group.path().join("cgroup.subtree_control")).is_ok_and(|text| !text.trim().is_empty());
    if !delegates {
        return group.open();
    }
    let path = format!("/proc/{}/cgroup", container.state().pid);
    let text = fs::read_to_string(&path).step("read", &path)?;
    let relative = root::parse_own_path(&text)
        .ok_or(Errno::NOENT)
        .step("find the cgroup in", &path)?;
    Group::new(root::find()?, relative).open()
}

fn raise(plan: &ProcessPlan, spawned: &Spawned) -> Result<Option<OwnedFd>> {
    set_limits(spawned.pid, plan)?;
    spawned.line.send_word()?;
    let mut console = None;
    loop {
        match spawned.line.receive()? {
            Some((Report::Console, fd)) => console = fd,
            Some((Report::Ready, _)) => {
                await_program(&spawned.line)?;
                return Ok(console);
            }
            Some((Report::Failed { kind, message }, _)) => return Err(Error::Container { kind, message }),
            _ => return Err(Errno::CHILD).step("set up the process: it died", ""),
        }
    }
}

/// The new process's own part.
fn live(plan: &ProcessPlan, line: &Line, stdio: Option<&Stdio>, launch: &Launch, in_user_namespace: bool) -> ! {
    let Err(error) = run(plan, line, stdio, launch, in_user_namespace);
    let _ = line.send(&Report::failure(&error), None);
    exit_now(1)
}

fn run(
    plan: &ProcessPlan,
    line: &Line,
    stdio: Option<&Stdio>,
    launch: &Launch,
    in_user_namespace: bool,
) -> Result<Infallible> {
    umask(Mode::empty());
    line.await_word()?;
    if in_user_namespace {
        story::become_root()?;
    }
    setsid().step("start a session", "")?;
    let terminal = if plan.process.terminal().unwrap_or(false) {
        Some(open_console(plan, line)?)
    } else {
        None
    };
    if let Some(stdio) = terminal.as_ref().or(stdio) {
        finish::take_stdio(stdio)?;
    }
    if terminal.is_some() {
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()).step("take the terminal", "")?;
    }
    let settled = finish::settle(plan, launch)?;
    line.send(&Report::Ready, None)?;
    Err(finish::execute(&settled, plan))
}

fn open_console(plan: &ProcessPlan, line: &Line) -> Result<Stdio> {
    let root = open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).step("open", "/")?;
    let console = console::open(Inside::new(root.as_fd()), &plan.process)?;
    line.send(&Report::Console, Some(console.master.as_fd()))?;
    story::stdio_of(console.terminal)
}
