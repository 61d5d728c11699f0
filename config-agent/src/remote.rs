//! Configuration from a metadata service: whether to ask for it, and applying what another program was told.
//!
//! The first pass of a boot looks at local sources only. Where none has a document and the firmware names a cloud, it has
//! PID 1 start the units `config-metadata` and `metadata`; what waits for the configuration waits for them too, until there
//! is an answer or the time is up. A machine that has a configuration from before waits for nothing.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use keelson_daemon::notify;
use keelson_image_layout::metadata::{MAX_MESSAGE, Message, Outcome as Answered};
use keelson_image_layout::paths;
use keelson_machine_config::Reapply;
use keelson_manager_api::{Client, Request};

use crate::generation::Provenance;
use crate::places::Places;
use crate::run::{self, Outcome};
use crate::source::{Kind, Looked, ec2};
use crate::status::{self, State, Status};
use crate::steps::Steps;

/// The unit that waits.
const UNIT: &str = "config-metadata";
/// A little more than the asking program's own budget.
const BUDGET: Duration = Duration::from_secs(32);
/// How long a message may take once somebody is connected.
const MESSAGE: Duration = Duration::from_secs(5);
/// How long a unit may take to start anew.
const RESTART: Duration = Duration::from_secs(20);

/// Whether the service is asked: firmware names it, nothing local was found, and what is in force allows a change.
#[must_use]
pub fn decide(detected: bool, state: State, in_force: Option<(&Provenance, Reapply)>) -> bool {
    detected
        && match (state, in_force) {
            (State::None, None) => true,
            (State::Unchanged | State::Applied, Some((provenance, _))) if provenance.metadata_only => true,
            (State::Unchanged, Some((_, Reapply::Any))) => true,
            (State::Unchanged, Some((provenance, Reapply::SameSource))) => provenance.origin.kind == Kind::Ec2,
            _ => false,
        }
}

/// Has PID 1 start the units. When this returns, it has taken the order: what is ordered behind them waits.
///
/// # Errors
/// PID 1 cannot be asked.
pub fn start() -> anyhow::Result<()> {
    let mut manager = Client::connect(paths::CONTROL.as_ref())?;
    manager.set_timeout(Some(MESSAGE))?;
    let unit = || UNIT.to_owned();
    manager.order(Request::Start { unit: unit() })?;
    manager.request(Request::Status { unit: unit() })?;
    Ok(())
}

/// Waits for the answer and applies it. Says that it is ready when others need not wait any longer.
///
/// # Errors
/// What other programs read cannot be written, or the socket failed.
pub fn apply(places: &Places, listener: &UnixListener) -> anyhow::Result<()> {
    let mut deadline = Some(Instant::now() + BUDGET);
    if run::provenance_in_force(places).is_ok_and(|provenance| provenance.is_some()) {
        notify::ready();
        deadline = None;
    }
    loop {
        let message = next(listener, deadline).context("wait for the metadata service")?;
        let late = deadline.is_none();
        let (looked, found) = match message {
            Some(message) => (
                ec2::looked(message.clone()),
                matches!(message.outcome, Answered::Found(_)),
            ),
            None => (nothing_said(), false),
        };
        let before = sections(places);
        let status = take(places, looked)?;
        status::publish(&status, places)?;
        if found {
            restart(&before, &sections(places), late);
        }
        notify::ready();
        deadline = None;
        if found {
            return Ok(());
        }
    }
}

fn nothing_said() -> Looked {
    Looked {
        notes: vec!["the program that asks the metadata service says nothing: see `keelson logs metadata`".to_owned()],
        ..Looked::default()
    }
}

fn take(places: &Places, looked: Looked) -> anyhow::Result<Status> {
    let Outcome { mut status, .. } = run::run(places, looked, Steps::all())?;
    if status.state == State::None {
        status.state = State::Unreachable;
    }
    Ok(status)
}

/// The next message that can be read; `None` when the deadline passes. Who sends nonsense is not answered.
fn next(listener: &UnixListener, deadline: Option<Instant>) -> io::Result<Option<Message>> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(listener, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => return Ok(None),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        match listener.accept() {
            Ok((stream, _)) => match read(&stream) {
                Ok(message) => return Ok(Some(message)),
                Err(error) => log::warn!("a message about the metadata service is not readable: {error}"),
            },
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

fn read(stream: &std::os::unix::net::UnixStream) -> io::Result<Message> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(MESSAGE))?;
    let mut bytes = Vec::new();
    stream.take(MAX_MESSAGE as u64).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// The parts of the configuration that the network service reads at its start.
fn sections(places: &Places) -> Option<serde_json::Value> {
    let bytes = fs::read(places.run.join("config/machine.json")).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let sections = ["time", "network"].map(|name| config.get(name).cloned().unwrap_or_default());
    Some(sections.into_iter().collect())
}

/// Starts anew what has read an earlier configuration: the network if its part changed, and what else is up when the
/// answer came too late for it to wait.
fn restart(before: &Option<serde_json::Value>, after: &Option<serde_json::Value>, late: bool) {
    let network = (before != after).then_some("netd");
    let others = ["runtimed", "access"].into_iter().filter(|_| late);
    for unit in network.into_iter().chain(others) {
        if let Err(error) = restart_unit(unit) {
            log::warn!(unit; "cannot be started anew with the configuration that was found: {error:#}");
        }
    }
}

fn restart_unit(unit: &str) -> anyhow::Result<()> {
    let mut manager = Client::connect(paths::CONTROL.as_ref())?;
    manager.set_timeout(Some(RESTART))?;
    let unit = unit.to_owned();
    let reply = manager.request(Request::Restart { unit })?;
    log::debug!(reply:? = reply; "unit started anew");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Origin;

    #[test]
    fn asks_only_where_nothing_else_counts() {
        let provenance = |kind, metadata_only| Provenance {
            format: 1,
            origin: Origin::only(kind, "x"),
            instance_id: None,
            metadata_only,
            fingerprint: String::new(),
            release: None,
            previous: None,
            agent: String::new(),
        };
        let (ec2, seed) = (provenance(Kind::Ec2, false), provenance(Kind::Nocloud, false));
        let name = provenance(Kind::Serial, true);
        for (detected, state, in_force, expected) in [
            (false, State::None, None, false),
            (true, State::None, None, true),
            (true, State::Rejected, None, false),
            (true, State::Applied, Some((&seed, Reapply::SameSource)), false),
            (true, State::Unchanged, Some((&seed, Reapply::SameSource)), false),
            (true, State::Unchanged, Some((&seed, Reapply::Any)), true),
            (true, State::Unchanged, Some((&ec2, Reapply::SameSource)), true),
            (true, State::Unchanged, Some((&ec2, Reapply::Never)), false),
            (true, State::Reported, Some((&ec2, Reapply::SameSource)), false),
            (true, State::Applied, Some((&name, Reapply::SameSource)), true),
        ] {
            assert_eq!(decide(detected, state, in_force), expected, "{state:?} {in_force:?}");
        }
    }
}
