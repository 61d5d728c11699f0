//! What each request does.

use crate::attach;
use crate::clock::now;
use crate::process::{Process, Waiter};
use crate::server::Server;
use crate::wire::{conflict, failure, internal};
use anyhow::Context;
use keelson_oci::{Container, ExecOptions, Status};
use keelson_shim_api::{ExitRecord, Failure, FailureKind, Notice, Outcome, Phase, RequestBody, ShimState, Streams};
use keelson_sys::pidfd_signal;
use rustix::termios::{Winsize, tcsetwinsize};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::os::fd::{AsFd, OwnedFd};

type Answer = Result<(Outcome, Vec<OwnedFd>), Failure>;

impl Server {
    /// Does what a request asks. `None`: the answer comes later.
    pub(crate) fn decide(&mut self, client: u64, request: u64, body: RequestBody) -> Option<(Outcome, Vec<OwnedFd>)> {
        let answer = match body {
            RequestBody::Wait { process } => match self.await_end(Waiter { client, request }, process.as_deref()) {
                Ok(None) => return None,
                Ok(Some(exit)) => Ok((Outcome::Exited { exit }, Vec::new())),
                Err(failure) => Err(failure),
            },
            RequestBody::Subscribe => {
                self.subscribe(client);
                done()
            }
            RequestBody::Start => self.start().and_then(|()| done()),
            RequestBody::Kill { process, signal, all } => {
                self.kill(process.as_deref(), signal, all).and_then(|()| done())
            }
            RequestBody::State => self.state().map(|state| (Outcome::State { state }, Vec::new())),
            RequestBody::Exec { exec, process, streams } => self.exec(exec, process, streams),
            RequestBody::Resize { process, rows, columns } => {
                self.resize(process.as_deref(), rows, columns).and_then(|()| done())
            }
            RequestBody::Attach { streams, close_stdin } => self.attach(streams, close_stdin),
            RequestBody::Update { resources } => self.update(resources).and_then(|()| done()),
            RequestBody::Pause => self
                .container()
                .and_then(|it| it.pause().map_err(|e| failure(&e)))
                .and_then(|()| done()),
            RequestBody::Resume => self
                .container()
                .and_then(|it| it.resume().map_err(|e| failure(&e)))
                .and_then(|()| done()),
            RequestBody::Reexec { program } => Err(self.reexec(Waiter { client, request }, &program)),
            RequestBody::Delete { force } => self.delete(force).and_then(|()| done()),
        };
        Some(answer.unwrap_or_else(|failure| (Outcome::Failed { failure }, Vec::new())))
    }

    fn container(&self) -> Result<&Container, Failure> {
        self.container
            .as_ref()
            .ok_or_else(|| conflict("the container is deleted"))
    }

    fn find(&mut self, name: Option<&str>) -> Result<&mut Process, Failure> {
        let found = self
            .processes
            .iter_mut()
            .find(|process| process.name.as_deref() == name);
        found.ok_or_else(|| conflict(format!("there is no exec {}", name.unwrap_or_default())))
    }

    fn start(&mut self) -> Result<(), Failure> {
        let container = self.container()?;
        container.start().map_err(|error| failure(&error))?;
        let created = self.created.take();
        let started_at = Some(now());
        if let Some(first) = self.processes.first_mut() {
            first.started_at = started_at;
        }
        match created {
            Some(created) => created.await_program().map_err(|error| failure(&error)),
            None => Ok(()),
        }
    }

    fn kill(&mut self, name: Option<&str>, signal: i32, all: bool) -> Result<(), Failure> {
        if name.is_none() {
            return self.container()?.kill(signal, all).map_err(|error| failure(&error));
        }
        let process = self.find(name)?;
        if process.exit.is_some() {
            return Err(conflict("the process has ended"));
        }
        let sent = pidfd_signal::send(process.pidfd.as_fd(), signal).context("cannot send the signal");
        sent.map_err(|error| internal(&error))
    }

    fn state(&self) -> Result<ShimState, Failure> {
        let container = self.container()?;
        let first = self.processes.first();
        let exit = first.and_then(|first| first.exit.clone());
        let phase = match container.status() {
            _ if exit.is_some() => Phase::Stopped,
            Status::Creating | Status::Created => Phase::Created,
            Status::Running => Phase::Running,
            Status::Paused => Phase::Paused,
            Status::Stopped => Phase::Stopped,
        };
        let running = self.processes.iter().skip(1).filter(|process| process.exit.is_none());
        Ok(ShimState {
            id: self.config.id.clone(),
            phase,
            pid: container.state().pid,
            shim_pid: i32::try_from(std::process::id()).unwrap_or(0),
            cgroup: container.state().cgroup.to_string_lossy().into_owned(),
            started_at: first.and_then(|first| first.started_at),
            exit,
            execs: running
                .filter_map(|process| Some((process.name.clone()?, process.pid)))
                .collect(),
        })
    }

    fn exec(&mut self, name: String, process: Value, wanted: Streams) -> Answer {
        if self
            .processes
            .iter()
            .any(|process| process.name.as_ref() == Some(&name))
        {
            return Err(conflict(format!("exec {name} exists already")));
        }
        let process: oci_spec::runtime::Process = read("process", process)?;
        let has_terminal = process.terminal().unwrap_or(false);
        let piped = if has_terminal { Streams::default() } else { wanted };
        let (stdio, ends) = attach::direct(piped)
            .context("cannot make pipes")
            .map_err(|error| internal(&error))?;
        let options = ExecOptions {
            process,
            stdio: Some(stdio),
            preserve_fds: 0,
        };
        let executed = keelson_oci::exec(self.container()?, options).map_err(|error| failure(&error))?;
        let pid = executed.pid;
        let mut process = Process {
            name: Some(name),
            pid,
            pidfd: executed.pidfd,
            terminal: executed.console,
            outputs: Vec::new(),
            input: Default::default(),
            started_at: Some(now()),
            exit: None,
            waiters: Vec::new(),
        };
        let joined = if has_terminal {
            show_terminal(&mut process, wanted)
        } else {
            Ok(ends)
        };
        self.processes.push(process);
        joined
            .map(|ends| (Outcome::Started { pid }, ends))
            .map_err(|error| internal(&error))
    }

    fn resize(&mut self, name: Option<&str>, rows: u16, columns: u16) -> Result<(), Failure> {
        let process = self.find(name)?;
        let terminal = process
            .terminal
            .as_ref()
            .ok_or_else(|| conflict("the process has no terminal"))?;
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(terminal, size)
            .context("cannot set the terminal's size")
            .map_err(|error| internal(&error))
    }

    fn attach(&mut self, streams: Streams, close_stdin: bool) -> Answer {
        let first = self.find(None)?;
        let ends = attach::attach(first, streams, close_stdin).context("cannot make pipes");
        ends.map(|ends| (Outcome::Attached, ends))
            .map_err(|error| internal(&error))
    }

    fn await_end(&mut self, waiter: Waiter, name: Option<&str>) -> Result<Option<ExitRecord>, Failure> {
        let process = self.find(name)?;
        if process.exit.is_none() {
            process.waiters.push(waiter);
        }
        Ok(process.exit.clone())
    }

    fn update(&mut self, resources: Value) -> Result<(), Failure> {
        let resources: oci_spec::runtime::LinuxResources = read("resources", resources)?;
        self.container()?.update(&resources).map_err(|error| failure(&error))
    }

    /// A running one is killed first, and its end recorded like any other.
    fn delete(&mut self, force: bool) -> Result<(), Failure> {
        let status = self.container()?.status();
        if matches!(status, Status::Running | Status::Paused) && !force {
            return Err(conflict(
                "the container is running; stop it first, or delete it by force",
            ));
        }
        if self.processes.first().is_some_and(|first| first.exit.is_none()) {
            self.end_first()?;
        }
        let Some(container) = self.container.take() else {
            return Err(conflict("the container is deleted"));
        };
        if let Err(error) = container.delete(true) {
            self.container = Container::load(&self.config.runtime_root, &self.config.id).ok();
            return Err(failure(&error));
        }
        self.is_done = true;
        Ok(())
    }

    fn end_first(&mut self) -> Result<(), Failure> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        self.container()?.kill(9, true).map_err(|error| failure(&error))?;
        let first = self.find(None)?;
        let _ = pidfd_signal::send(first.pidfd.as_fd(), 9);
        let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&first.pidfd, PollFlags::IN)], Some(&patience));
        if !matches!(ended, Ok(1)) {
            return Err(Failure {
                kind: FailureKind::Internal,
                message: "the container does not die".to_owned(),
            });
        }
        self.collect();
        Ok(())
    }

    /// Records the end of a process, durably if it is the first, and only then answers those who wait.
    pub(crate) fn attend_end(&mut self, index: usize, code: Option<i32>, signal: Option<i32>) {
        if self.oom.check() {
            self.notify(&Notice::Oom);
        }
        let is_oom_killed = self.oom.happened;
        let Some(process) = self.processes.get_mut(index) else {
            return;
        };
        let mut exit = ExitRecord::new(code, signal, now());
        exit.oom_killed = is_oom_killed;
        exit.started_at = process.started_at;
        process.exit = Some(exit.clone());
        process.input.close();
        let name = process.name.clone();
        let waiters = std::mem::take(&mut process.waiters);
        if index == 0 {
            self.write_exit(&exit);
        }
        for waiter in waiters {
            self.answer(
                waiter.client,
                waiter.request,
                Outcome::Exited { exit: exit.clone() },
                &[],
            );
        }
        self.notify(&Notice::Exited { process: name, exit });
    }

    fn write_exit(&self, exit: &ExitRecord) {
        use std::io::Write;
        let path = &self.config.exit_file;
        let written = serde_json::to_vec(exit)
            .map_err(std::io::Error::other)
            .and_then(|bytes| keelson_durable::replace(path, &bytes, 0o600));
        if let Err(error) = written {
            // The engine still learns it from us; only after a crash of both it would be lost.
            let _ = writeln!(
                std::io::stderr(),
                "keelson-shim: cannot write {}: {error}",
                path.display()
            );
        }
    }
}

fn done() -> Answer {
    Ok((Outcome::Done, Vec::new()))
}

fn read<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| Failure {
        kind: FailureKind::Invalid,
        message: format!("cannot read {what}: {error}"),
    })
}

/// Shows an exec's terminal to the client that asked for it. It is not logged.
fn show_terminal(process: &mut Process, wanted: Streams) -> anyhow::Result<Vec<OwnedFd>> {
    let master = process.terminal.as_ref().context("the process has no terminal")?;
    let (outputs, input) = attach::terminal(master, false).context("cannot set up the terminal")?;
    process.outputs = outputs;
    process.input = input;
    attach::attach(process, wanted, false).context("cannot make pipes")
}
