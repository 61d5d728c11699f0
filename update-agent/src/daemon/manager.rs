//! PID 1: hearing when the running slot is committed, and asking for what only it does. Blocks, each call on a thread of
//! its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keelson_manager_api::{Client, ClientError, Notice, Refusal, Reply, Request, UnitState, UnitStatus};

use crate::agent::Failure;
use crate::words::chain;

/// The unit that commits, and the one that goes back.
const JUDGE: &str = "mark-good";
const ROLLBACK: &str = "rollback";
/// Record and entry are written, then PID 1 begins to stop everything.
const LEFT_WITHIN: Duration = Duration::from_secs(90);
/// PID 1 never leaves; if it seems to have, it is asked again after this.
const PAUSE: Duration = Duration::from_secs(5);

/// Calls `committed` when the running slot is; ends after that, or when it says that nobody listens any more.
pub fn follow(control: PathBuf, committed: impl Fn() -> bool + Send + 'static) {
    std::thread::spawn(move || {
        loop {
            match wait(&control) {
                Ok(()) => {
                    committed();
                    return;
                }
                Err(error) => log::warn!(error:% = chain(&error); "PID 1 does not tell of the commit"),
            }
            std::thread::sleep(PAUSE);
        }
    });
}

fn wait(control: &Path) -> Result<(), ClientError> {
    let mut client = Client::connect(control)?;
    client.request(Request::Subscribe)?;
    let unit = JUDGE.to_owned();
    if let Reply::Unit { unit } = client.request(Request::Status { unit })?
        && is_committed(&unit)
    {
        return Ok(());
    }
    loop {
        if let Notice::UnitChanged { unit } = client.next_notice()?
            && is_committed(&unit)
        {
            return Ok(());
        }
    }
}

fn is_committed(unit: &UnitStatus) -> bool {
    unit.name == JUDGE && unit.state == UnitState::Done
}

/// Has the running slot given up; PID 1 reboots then.
///
/// # Errors
/// It cannot be gone back.
pub fn go_back(control: &Path) -> Result<(), Failure> {
    let machine = |what: String| Failure::Machine { what };
    let asked = Client::connect(control).and_then(|mut client| {
        client.set_timeout(Some(LEFT_WITHIN))?;
        let unit = ROLLBACK.to_owned();
        client.request(Request::Start { unit })
    });
    match asked {
        Ok(Reply::Refused { refusal, message }) if refusal != Refusal::ShuttingDown => {
            Err(machine(format!("{message}; `logs --unit {ROLLBACK}` says why")))
        }
        Ok(_) | Err(ClientError::Closed) => Ok(()),
        Err(error) => Err(machine(chain(&error))),
    }
}
