//! The first process of a container, from its birth to its program, as one list of steps.

use crate::error::{Error, Result, Step};
use crate::hooks;
use crate::init::finish::{self, Launch, Stdio};
use crate::init::inside::Inside;
use crate::init::join::{self, Joinable};
use crate::init::report::{Line, Report};
use crate::init::{console, root};
use crate::prepare::Prepared;
use crate::spec::validate::Plan;
use keelson_sys::exec_attributes::{exit_now, set_personality};
use oci_spec::runtime::LinuxNamespaceType as Kind;
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior, setsid, umask};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// All the first process is given.
#[derive(Debug)]
pub struct Birth<'a> {
    /// What to become.
    pub plan: &'a Plan,
    /// Mounts opened by the parent.
    pub prepared: &'a Prepared,
    /// Our end of the line to the parent.
    pub line: Line,
    /// The FIFO whose opening for reading starts the program.
    pub fifo: OwnedFd,
    /// Streams; none with a terminal, or to keep the caller's.
    pub stdio: Option<Stdio>,
    /// Namespaces to join, unless an intermediate process has done so.
    pub joinable: Vec<Joinable>,
    /// Directory of the container's cgroup.
    pub cgroup: PathBuf,
    /// About the program start.
    pub launch: Launch,
    /// State document for hooks.
    pub state: Vec<u8>,
}

/// Lives it. Ends in the program or, the failure reported, in exit code 1.
pub fn live(birth: &Birth<'_>) -> ! {
    let Err(error) = run(birth);
    if birth.line.send(&Report::failure(&error), None).is_err() {
        // Nobody listens any more (the program was started later): the container's own error output is what is left.
        let words = format!("keelson: {}\n", error.chain());
        let _ = rustix::io::write(rustix::stdio::stderr(), words.as_bytes());
    }
    exit_now(match error.kind() {
        crate::Kind::NotFound => 127,
        crate::Kind::NotExecutable => 126,
        _ => 1,
    })
}

fn run(birth: &Birth<'_>) -> Result<Infallible> {
    let plan = birth.plan;
    umask(Mode::empty());
    finish::hide()?;
    join::join(&birth.joinable)?;
    birth.line.await_word()?;
    if plan.namespaces.has(Kind::User) {
        become_root()?;
    }
    if plan.namespaces.is_new(Kind::Cgroup) {
        join::unshare(Kind::Cgroup)?;
    }
    if plan.namespaces.is_new(Kind::Time) {
        enter_time(&plan.time_offsets)?;
    }
    setsid().step("start a session", "")?;
    let proc = open_proc()?;
    root::build(plan, birth.prepared, &birth.cgroup)?;
    let console = set_up_console(birth)?;
    birth.line.send(&Report::Mounted, None)?;
    birth.line.await_word()?;
    hooks::run_all("createContainer", hooks::create_container(&plan.spec), &birth.state)?;
    set_names(plan)?;
    root::seal(plan, birth.prepared)?;
    root::enter(plan, birth.prepared)?;
    for (path, value) in &plan.sysctls {
        write_below(proc.as_fd(), &format!("sys/{path}"), value).step("set kernel setting", path)?;
    }
    if let Some(domain) = plan.personality {
        set_personality(domain).step("set the execution domain", "")?;
    }
    if let Some(stdio) = console.as_ref().or(birth.stdio.as_ref()) {
        finish::take_stdio(stdio)?;
    }
    if console.is_some() {
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()).step("take the terminal", "")?;
    }
    let settled = finish::settle(&plan.process, &birth.launch)?;
    birth.line.send(&Report::Ready, None)?;
    let start = await_start(proc.as_fd(), birth.fifo.as_fd())?;
    hooks::run_all("startContainer", hooks::start_container(&plan.spec), &birth.state)?;
    rustix::io::write(&start, b"0").step("answer the start", "")?;
    drop(start);
    Err(finish::execute(&settled, &plan.process))
}

/// In a user namespace: id 0, to which its capabilities belong.
pub fn become_root() -> Result<()> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    let _ = set_thread_groups(&[]);
    set_thread_res_gid(gid, gid, gid).step("become group 0 of the user namespace", "")?;
    set_thread_res_uid(uid, uid, uid).step("become user 0 of the user namespace", "")
}

/// Makes a time namespace, sets its offsets while nobody is in it, and enters it.
fn enter_time(offsets: &[(String, i64, u32)]) -> Result<()> {
    join::unshare(Kind::Time)?;
    let text: String = offsets
        .iter()
        .map(|(clock, seconds, nanoseconds)| format!("{clock} {seconds} {nanoseconds}\n"))
        .collect();
    if !text.is_empty() {
        // Hidden processes cannot write to themselves in a user namespace.
        set_dumpable_behavior(DumpableBehavior::Dumpable).step("show the new process", "")?;
        let path = "/proc/self/timens_offsets";
        std::fs::write(path, text).step("write", path)?;
        finish::hide()?;
    }
    let path = Path::new("/proc/self/ns/time_for_children");
    let fd = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).step("open", path)?;
    join::join(&[Joinable {
        kind: Kind::Time,
        path: path.to_owned(),
        fd,
    }])
}

/// The host's /proc, for what is written through it after the root has changed; it shows this process as itself.
pub fn open_proc() -> Result<OwnedFd> {
    let path = "/proc";
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = open(path, flags, Mode::empty()).step("open", path)?;
    let found = rustix::fs::fstatfs(&proc).step("examine", path)?;
    if found.f_type == rustix::fs::PROC_SUPER_MAGIC {
        return Ok(proc);
    }
    Err(Error::spec("", "/proc of the host is no proc file system"))
}

fn set_up_console(birth: &Birth<'_>) -> Result<Option<Stdio>> {
    let process = &birth.plan.process.process;
    if !process.terminal().unwrap_or(false) {
        return Ok(None);
    }
    let inside = Inside::new(birth.prepared.root.as_fd());
    let console = console::open(inside, process)?;
    console::bind(inside, console.terminal.as_fd())?;
    birth.line.send(&Report::Console, Some(console.master.as_fd()))?;
    stdio_of(console.terminal).map(Some)
}

/// The terminal three times.
pub fn stdio_of(terminal: OwnedFd) -> Result<Stdio> {
    let again = || terminal.try_clone().step("copy the terminal", "");
    Ok(Stdio {
        stdin: again()?,
        stdout: again()?,
        stderr: terminal,
    })
}

fn set_names(plan: &Plan) -> Result<()> {
    if let Some(name) = plan.spec.hostname().as_deref().filter(|name| !name.is_empty()) {
        rustix::system::sethostname(name.as_bytes()).step("set host name", name)?;
    }
    if let Some(name) = plan.spec.domainname().as_deref().filter(|name| !name.is_empty()) {
        rustix::system::setdomainname(name.as_bytes()).step("set domain name", name)?;
    }
    Ok(())
}

fn write_below(directory: BorrowedFd<'_>, path: &str, value: &str) -> Result<(), rustix::io::Errno> {
    let file = openat(directory, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, value.as_bytes()).map(drop)
}

/// Blocks until someone opens the FIFO for reading; who did waits for one byte.
fn await_start(proc: BorrowedFd<'_>, fifo: BorrowedFd<'_>) -> Result<OwnedFd> {
    let link = format!("self/fd/{}", fifo.as_raw_fd());
    loop {
        match openat(proc, link.as_str(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.step("wait for the start", ""),
        }
    }
}
