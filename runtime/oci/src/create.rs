//! Making a container: everything up to the moment its program could run.

use crate::cgroup::group::Group;
use crate::cgroup::root;
use crate::error::{Error, Result, Step};
use crate::hooks;
use crate::init::finish::{Launch, Stdio};
use crate::init::join::Joinable;
use crate::init::report::{Line, Report};
use crate::init::story::{self, Birth};
use crate::prepare::{Prepared, prepare};
use crate::spawn::{Route, Spawned, spawn};
use crate::spec::load::load;
use crate::spec::rlimits::Limit;
use crate::spec::validate::{Plan, ProcessPlan};
use crate::state::{State, StateDirectory, Status, read_stat};
use crate::userns::{reap, write_maps};
use oci_spec::runtime::LinuxNamespaceType as Kind;
use rustix::fs::{CWD, FileType, Mode, OFlags, chmod, mknodat, open};
use rustix::io::Errno;
use rustix::process::{Pid, prlimit};
use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What to make.
#[derive(Debug)]
pub struct CreateOptions {
    /// Where states are kept.
    pub root: PathBuf,
    /// Container id.
    pub id: String,
    /// Directory of config.json.
    pub bundle: PathBuf,
    /// The first process's streams; `None`: the caller's own. A terminal in the specification replaces them.
    pub stdio: Option<Stdio>,
    /// Give it a session keyring of its own.
    pub new_keyring: bool,
    /// Descriptors of ours it keeps, beyond 2.
    pub preserve_fds: u32,
}

/// A container made.
#[derive(Debug)]
pub struct Created {
    /// Its state.
    pub state: State,
    /// Its first process, a child of ours.
    pub pidfd: OwnedFd,
    /// Its terminal, if it has one.
    pub console: Option<OwnedFd>,
    line: Line,
}

impl Created {
    /// After the start: waits until the program runs, or says why it does not.
    pub fn await_program(&self) -> Result<()> {
        await_program(&self.line)
    }
}

/// Waits for execve, which closes the other end.
pub(crate) fn await_program(line: &Line) -> Result<()> {
    match line.receive()? {
        Some((Report::Failed { kind, message }, _)) => Err(Error::Container { kind, message }),
        _ => Ok(()),
    }
}

/// Makes a container. After a failure nothing of it is left.
pub fn create(options: CreateOptions) -> Result<Created> {
    let directory = StateDirectory::new(&options.root, &options.id)?;
    let plan = load(&options.bundle)?;
    directory.create()?;
    create_in(&directory, &plan, options).inspect_err(|_| {
        let _ = directory.remove();
    })
}

fn create_in(directory: &StateDirectory, plan: &Plan, options: CreateOptions) -> Result<Created> {
    let relative = plan
        .cgroup
        .clone()
        .unwrap_or_else(|| Path::new("keelson-oci").join(&options.id));
    let group = Group::new(root::find()?, &relative);
    let existed = group.create(&plan.cgroup_files);
    let owns_cgroup = !matches!(existed, Ok(true));
    let made = existed.and_then(|_| {
        group.apply(&plan.cgroup_files)?;
        group.restrict_devices(&plan.device_rules)?;
        create_process(directory, plan, &group, owns_cgroup, options)
    });
    if made.is_err() && owns_cgroup {
        let _ = group.remove();
    }
    made
}

fn create_process(
    directory: &StateDirectory,
    plan: &Plan,
    group: &Group,
    owns_cgroup: bool,
    options: CreateOptions,
) -> Result<Created> {
    let prepared = prepare(plan)?;
    let fifo = make_fifo(&directory.fifo())?;
    directory.write_config(&plan.spec)?;
    let mut state = new_state(plan, group, owns_cgroup, &options);
    let spawned = bear(plan, &prepared, group, fifo, &state, options)?;
    state.pid = spawned.pid.as_raw_nonzero().get();
    let settled = read_stat(state.pid)
        .ok_or(Errno::CHILD)
        .step("find the new process", "")
        .and_then(|stat| {
            state.pid_start = stat.start;
            directory.write(&state)?;
            raise(plan, &spawned, &state)
        });
    match settled {
        Ok(console) => Ok(Created {
            state,
            pidfd: spawned.pidfd,
            console,
            line: spawned.line,
        }),
        Err(error) => {
            let _ = rustix::process::pidfd_send_signal(&spawned.pidfd, rustix::process::Signal::KILL);
            reap(&spawned.pidfd);
            Err(error)
        }
    }
}

fn new_state(plan: &Plan, group: &Group, owns_cgroup: bool, options: &CreateOptions) -> State {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    State {
        format: 1,
        id: options.id.clone(),
        pid: 0,
        pid_start: 0,
        bundle: plan.bundle.clone(),
        rootfs: plan.rootfs.clone(),
        cgroup: group.path().to_owned(),
        owns_cgroup,
        created: now.as_secs(),
        annotations: plan
            .spec
            .annotations()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect(),
        version: plan.spec.version().clone(),
    }
}

/// Makes the first process; it waits for our word.
fn bear(
    plan: &Plan,
    prepared: &Prepared,
    group: &Group,
    fifo: OwnedFd,
    state: &State,
    options: CreateOptions,
) -> Result<Spawned> {
    let is_staged = plan.namespaces.needs_stage();
    let joinable = open_namespaces(plan)?;
    let (by_intermediate, by_itself) = if is_staged {
        (joinable, Vec::new())
    } else {
        (Vec::new(), joinable)
    };
    let cgroup = group.open()?;
    let launch = Launch {
        keyring: options.new_keyring.then(|| format!("_ses.{}", options.id)),
        preserve_fds: options.preserve_fds,
    };
    let state = state.document(Status::Creating).to_string().into_bytes();
    // Taken out by the one process that lives the story.
    let own = Cell::new(Some((options.stdio, fifo, by_itself)));
    let live = |line: Line| {
        let Some((stdio, fifo, joinable)) = own.take() else {
            keelson_sys::exec_attributes::exit_now(1)
        };
        let birth = Birth {
            plan,
            prepared,
            line,
            fifo,
            stdio,
            joinable,
            cgroup: group.path().to_owned(),
            launch,
            state,
        };
        story::live(&birth)
    };
    let route = if is_staged {
        Route::Joining(&by_intermediate)
    } else {
        Route::Direct
    };
    spawn(&route, plan.namespaces.clone_flags(), cgroup.as_fd(), live)
}

fn open_namespaces(plan: &Plan) -> Result<Vec<Joinable>> {
    plan.namespaces
        .joined
        .iter()
        .map(|(kind, path)| {
            let fd = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).step("open namespace", path)?;
            Ok(Joinable {
                kind: *kind,
                path: path.clone(),
                fd,
            })
        })
        .collect()
}

/// The parent's part of the story: maps, limits, hooks; until the process is ready. Returns the terminal.
fn raise(plan: &Plan, spawned: &Spawned, state: &State) -> Result<Option<OwnedFd>> {
    if plan.namespaces.is_new(Kind::User) {
        write_maps(spawned.pid, &plan.uid_mappings, &plan.gid_mappings)?;
    }
    set_limits(spawned.pid, &plan.process)?;
    spawned.line.send_word()?;
    let mut console = None;
    loop {
        match spawned.line.receive()? {
            Some((Report::Console, fd)) => console = fd,
            Some((Report::Mounted, _)) => {
                let document = state.document(Status::Creating).to_string().into_bytes();
                hooks::run_all("createRuntime", hooks::create_runtime(&plan.spec), &document)?;
                spawned.line.send_word()?;
            }
            Some((Report::Ready, _)) => return Ok(console),
            Some((Report::Failed { kind, message }, _)) => return Err(Error::Container { kind, message }),
            Some((Report::Staged { .. }, _)) | None => {
                return Err(Errno::CHILD).step("set up the container: its first process died", "");
            }
        }
    }
}

/// What only the host's root may set.
pub(crate) fn set_limits(pid: Pid, process: &ProcessPlan) -> Result<()> {
    for Limit { resource, value, name } in &process.rlimits {
        prlimit(Some(pid), *resource, *value).step("set limit", name)?;
    }
    if let Some(score) = process.process.oom_score_adj() {
        let path = format!("/proc/{}/oom_score_adj", pid.as_raw_nonzero());
        std::fs::write(&path, score.to_string()).step("write", &path)?;
    }
    Ok(())
}

fn make_fifo(path: &Path) -> Result<OwnedFd> {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).step("make", path)?;
    // The process writes to it as the container's user, and can reach it only by the descriptor it was born with.
    chmod(path, Mode::from_raw_mode(0o622)).step("change mode of", path)?;
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step("open", path)
}
