//! create, run, start, kill, delete, pause, resume, update.

use crate::cli::arguments::{CreateArguments, UpdateArguments};
use crate::cli::{console, foreground, signals};
use anyhow::Context;
use keelson_oci::{Container, CreateOptions, Created, Kind, Status};
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::path::Path;

pub fn create(root: &Path, arguments: &CreateArguments) -> anyhow::Result<()> {
    let created = make(root, arguments)?;
    hand_over(root, arguments, created).map(drop)
}

/// Gives away the terminal and writes the pid file; a failure takes the container with it.
fn hand_over(root: &Path, arguments: &CreateArguments, mut created: Created) -> anyhow::Result<Created> {
    let given = (|| {
        if let (Some(console), Some(socket)) = (&created.console, &arguments.console_socket) {
            console::send(socket, console)?;
            created.console = None;
        }
        write_pid(arguments.pid_file.as_deref(), created.state.pid)
    })();
    if let Err(error) = given {
        let _ = Container::load(root, &arguments.id).and_then(|container| container.delete(true));
        return Err(error);
    }
    Ok(created)
}

fn make(root: &Path, arguments: &CreateArguments) -> anyhow::Result<Created> {
    let created = keelson_oci::create(CreateOptions {
        root: root.to_owned(),
        id: arguments.id.clone(),
        bundle: arguments.bundle.clone(),
        stdio: None,
        new_keyring: !arguments.no_new_keyring,
        preserve_fds: arguments.preserve_fds,
    })?;
    Ok(created)
}

pub fn run(root: &Path, arguments: &CreateArguments) -> anyhow::Result<u8> {
    let signals = foreground::hold_signals(arguments.detach)?;
    let created = make(root, arguments)?;
    let created = hand_over(root, arguments, created)?;
    let container = Container::load(root, &arguments.id)?;
    let started = container.start().and_then(|()| created.await_program());
    if let Err(error) = started {
        let _ = container.delete(true);
        return Err(error.into());
    }
    if arguments.detach {
        return Ok(0);
    }
    let code = foreground::wait(&created.pidfd, created.console.as_ref(), signals)?;
    if !arguments.keep {
        container.delete(true)?;
    }
    Ok(code)
}

pub fn start(root: &Path, id: &str) -> anyhow::Result<()> {
    Ok(Container::load(root, id)?.start()?)
}

pub fn kill(root: &Path, id: &str, signal: &str, all: bool) -> anyhow::Result<()> {
    Ok(Container::load(root, id)?.kill(signals::parse(signal)?, all)?)
}

pub fn delete(root: &Path, id: &str, force: bool) -> anyhow::Result<()> {
    match Container::load(root, id) {
        Ok(container) => Ok(container.delete(force)?),
        // Nothing, or what a crash left before there was a state.
        Err(error) if force && error.kind() != Kind::Failed => Ok(keelson_oci::clear(root, id)?),
        Err(error) => Err(error.into()),
    }
}

pub fn pause(root: &Path, id: &str) -> anyhow::Result<()> {
    Ok(Container::load(root, id)?.pause()?)
}

pub fn resume(root: &Path, id: &str) -> anyhow::Result<()> {
    Ok(Container::load(root, id)?.resume()?)
}

pub fn update(root: &Path, arguments: &UpdateArguments) -> anyhow::Result<()> {
    let container = Container::load(root, &arguments.id)?;
    anyhow::ensure!(
        container.status() != Status::Stopped,
        "container {} is stopped",
        arguments.id
    );
    let resources = match &arguments.resources {
        Some(path) => read_resources(path)?,
        None => serde_json::from_value(plan_resources(arguments))?,
    };
    Ok(container.update(&resources)?)
}

fn read_resources(path: &Path) -> anyhow::Result<LinuxResources> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
    } else {
        text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
}

/// The arguments as the document they stand for.
fn plan_resources(arguments: &UpdateArguments) -> Value {
    let mut document = json!({
        "memory": {"limit": arguments.memory, "swap": arguments.memory_swap, "reservation": arguments.memory_reservation},
        "cpu": {"shares": arguments.cpu_share, "quota": arguments.cpu_quota, "period": arguments.cpu_period,
                "cpus": arguments.cpuset_cpus, "mems": arguments.cpuset_mems},
        "blockIO": {"weight": arguments.blkio_weight},
    });
    if let (Some(limit), Some(members)) = (arguments.pids_limit, document.as_object_mut()) {
        members.insert("pids".to_owned(), json!({"limit": limit}));
    }
    document
}

/// Complete or not there: whoever waits for the file may read it at once.
pub fn write_pid(path: Option<&Path>, pid: i32) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let fresh = path.with_extension("new");
    fs::write(&fresh, pid.to_string())
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
