//! From the command line to a created container and a served socket.

use crate::attach::{Held, held, terminal};
use crate::oom::OomWatch;
use crate::process::Process;
use crate::server::Server;
use crate::streams::{Input, Logs};
use crate::wire::{failure, internal};
use anyhow::Context;
use keelson_oci::{Container, CreateOptions, Created};
use keelson_shim_api::config::CONFIG_FILE;
use keelson_shim_api::{Failure, LaunchReport, ShimConfig};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fs::{Mode, OFlags, open};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Creates the container and listens. After a failure nothing is left behind.
pub fn launch(bundle: &Path) -> Result<Server, Failure> {
    let config = read_config(bundle).map_err(|error| internal(&error))?;
    let signals = stand_alone(&config).map_err(|error| internal(&error))?;
    let (created, process) = create(bundle, &config)?;
    let pid = created.state.pid;
    let served = serve(config, signals, created, process);
    let server = served.map_err(|error| internal(&error))?;
    report(&LaunchReport::Created {
        pid,
        shim_pid: i32::try_from(std::process::id()).unwrap_or(0),
    });
    Ok(server)
}

fn read_config(bundle: &Path) -> anyhow::Result<ShimConfig> {
    let path = bundle.join(CONFIG_FILE);
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))
}

/// Cuts the ties to whoever started us: session, directory, cgroup, signals. Orphans of the container come to us.
fn stand_alone(config: &ShimConfig) -> anyhow::Result<SignalFd> {
    // Fails only for the leader of a process group, which has its own already.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).context("cannot become subreaper")?;
    if let Some(cgroup) = &config.shim_cgroup {
        let procs = cgroup.join("cgroup.procs");
        fs::create_dir_all(cgroup).with_context(|| format!("cannot create {}", cgroup.display()))?;
        fs::write(&procs, "0").with_context(|| format!("cannot write {}", procs.display()))?;
    }
    hold_signals()
}

/// Signals come through a descriptor from now on.
pub fn hold_signals() -> anyhow::Result<SignalFd> {
    let mut signals = SigSet::empty();
    // The engine's stopping and the terminal's hanging up are not ours; SIGTERM at shutdown reaches the container itself.
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().context("cannot hold signals")?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).context("cannot read signals")
}

fn create(bundle: &Path, config: &ShimConfig) -> Result<(Created, Process), Failure> {
    let Held { stdio, outputs, input } = held(config.open_stdin)
        .context("cannot make pipes")
        .map_err(|error| internal(&error))?;
    let created = keelson_oci::create(CreateOptions {
        root: config.runtime_root.clone(),
        id: config.id.clone(),
        bundle: bundle.to_owned(),
        stdio: Some(stdio),
        new_keyring: true,
        preserve_fds: 0,
    });
    let mut created = created.map_err(|error| failure(&error))?;
    let master = created.console.take();
    let streams = match &master {
        Some(master) => terminal(master, true),
        None => Ok((outputs, input)),
    };
    let prepared = streams
        .context("cannot set up the terminal")
        .and_then(|(outputs, input)| {
            let pidfd = created.pidfd.try_clone().context("cannot copy a descriptor")?;
            Ok((pidfd, outputs, input))
        });
    let (pidfd, outputs, mut input) = prepared.map_err(|error| {
        forget(config);
        internal(&error)
    })?;
    if !config.open_stdin {
        // A terminal's input is the terminal itself; without stdin nobody may type.
        input = Input::default();
    }
    let process = Process {
        name: None,
        pid: created.state.pid,
        pidfd,
        terminal: master,
        outputs,
        input,
        started_at: None,
        exit: None,
        waiters: Vec::new(),
    };
    Ok((created, process))
}

/// Listens only now, so that the container's process holds no copy of the socket.
fn serve(config: ShimConfig, signals: SignalFd, created: Created, process: Process) -> anyhow::Result<Server> {
    let listening = listen(&config.socket).and_then(|listener| {
        let container = Container::load(&config.runtime_root, &config.id).context("cannot find the new container")?;
        Ok((listener, container))
    });
    let (listener, container) = listening.inspect_err(|_| forget(&config))?;
    let oom = OomWatch::new(container.group());
    let logs = Logs::new(&config);
    Ok(Server::new(
        config, listener, signals, container, created, process, oom, logs,
    ))
}

fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
    listener.set_nonblocking(true).context("cannot listen")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot change the mode of {}", path.display()))?;
    Ok(listener)
}

fn forget(config: &ShimConfig) {
    let _ = Container::load(&config.runtime_root, &config.id).and_then(|container| container.delete(true));
}

/// Says how the launch went, and lets go of stdout: the engine reads to its end.
pub fn report(report: &LaunchReport) {
    if let Ok(line) = serde_json::to_string(report) {
        let _ = writeln!(std::io::stdout(), "{line}");
    }
    if let Ok(null) = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}
