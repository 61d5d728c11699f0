//! exec.

use crate::cli::arguments::ExecArguments;
use crate::cli::lifecycle::write_pid;
use crate::cli::{console, foreground};
use anyhow::Context;
use keelson_oci::{Container, ExecOptions, Kind};
use oci_spec::runtime::{Capability, Process, User};
use std::fs;
use std::path::Path;

pub fn exec(root: &Path, arguments: &ExecArguments) -> anyhow::Result<u8> {
    let container = Container::load(root, &arguments.id)?;
    let process = read_process(&container, arguments)?;
    let signals = foreground::hold_signals(arguments.detach)?;
    let options = ExecOptions {
        process,
        stdio: None,
        preserve_fds: arguments.preserve_fds,
    };
    let mut executed = match keelson_oci::exec(&container, options) {
        // As docker and runc end when the program cannot be run.
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::NotExecutable) => {
            let code = if error.kind() == Kind::NotFound { 127 } else { 126 };
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "keelson-oci: {}", error.chain());
            return Ok(code);
        }
        other => other?,
    };
    if let (Some(master), Some(socket)) = (&executed.console, &arguments.console_socket) {
        console::send(socket, master)?;
        executed.console = None;
    }
    write_pid(arguments.pid_file.as_deref(), executed.pid)?;
    if arguments.detach {
        return Ok(0);
    }
    foreground::wait(&executed.pidfd, executed.console.as_ref(), signals)
}

/// The process of a file; or the container's own, changed by the arguments.
fn read_process(container: &Container, arguments: &ExecArguments) -> anyhow::Result<Process> {
    if let Some(path) = &arguments.process {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        return serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()));
    }
    let mut process = container
        .spec()?
        .process()
        .clone()
        .context("the container's specification has no process")?;
    process
        .set_args(Some(arguments.command.clone()))
        .set_terminal(Some(arguments.tty));
    if let Some(cwd) = &arguments.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut environment = process.env().clone().unwrap_or_default();
    environment.extend(arguments.env.iter().cloned());
    process.set_env(Some(environment));
    if let Some(user) = &arguments.user {
        process.set_user(parse_user(user, process.user())?);
    }
    if !arguments.additional_gids.is_empty() {
        let mut user = process.user().clone();
        user.set_additional_gids(Some(arguments.additional_gids.clone()));
        process.set_user(user);
    }
    if arguments.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    for name in &arguments.cap {
        add_capability(&mut process, name)?;
    }
    Ok(process)
}

fn parse_user(word: &str, present: &User) -> anyhow::Result<User> {
    let (uid, gid) = match word.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (word, None),
    };
    let number = |text: &str| {
        text.parse::<u32>()
            .with_context(|| format!("{text} is no number of a user or group"))
    };
    let mut user = present.clone();
    user.set_uid(number(uid)?);
    if let Some(gid) = gid {
        user.set_gid(number(gid)?);
    }
    Ok(user)
}

fn add_capability(process: &mut Process, name: &str) -> anyhow::Result<()> {
    let capability: Capability =
        serde_json::from_value(name.into()).with_context(|| format!("{name} is no capability"))?;
    let mut sets = process.capabilities().clone().unwrap_or_default();
    let with = |set: &Option<oci_spec::runtime::Capabilities>| {
        let mut set = set.clone().unwrap_or_default();
        set.insert(capability);
        Some(set)
    };
    let (bounding, effective, permitted) = (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
    sets.set_bounding(bounding)
        .set_effective(effective)
        .set_permitted(permitted);
    process.set_capabilities(Some(sets));
    Ok(())
}
