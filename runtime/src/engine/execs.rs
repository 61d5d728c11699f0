//! Commands run in containers beside their own process (`docker exec`), from their making until some time after their
//! end. A table without I/O; a daemon that starts anew knows none of them, as the streams of those that run are gone.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::id::ContainerId;

/// How long an ended exec can still be inspected.
const KEPT: Duration = Duration::from_secs(300);

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecRequest {
    /// The command line; never empty.
    pub args: Vec<String>,
    /// `KEY=value`, beside the container's own.
    pub env: Vec<String>,
    /// `user[:group]`; empty is the container's.
    pub user: String,
    /// Empty is the container's.
    pub workdir: String,
    /// With every capability.
    pub privileged: bool,
    /// On a terminal.
    pub tty: bool,
    /// The terminal's first size: rows, columns.
    pub console_size: Option<[u16; 2]>,
    /// The client types.
    pub stdin: bool,
    /// The client reads.
    pub stdout: bool,
    /// The client reads errors.
    pub stderr: bool,
    /// Keys by which the client leaves, as it wrote them.
    pub detach_keys: String,
}

/// Where one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecState {
    /// Made.
    Created,
    /// Being started, or running since its process id is known.
    Running {
        /// On the host.
        pid: Option<i32>,
    },
    /// Over.
    Ended {
        /// Exit code; 126 or 127 when it could not be started.
        code: i32,
        /// When.
        at: Timestamp,
    },
}

/// One exec.
#[derive(Debug, Clone, PartialEq)]
pub struct Exec {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Where it runs.
    pub container: ContainerId,
    /// What was asked for.
    pub request: ExecRequest,
    /// The OCI process it became.
    pub process: Value,
    /// Where it stands.
    pub state: ExecState,
}

/// All of them.
#[derive(Debug, Default)]
pub struct ExecTable {
    all: BTreeMap<String, Exec>,
}

/// Why one cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecRefusal {
    /// There is none of that id.
    #[error("No such exec instance: {0}")]
    Unknown(String),
    /// It runs or ran.
    #[error("Error: Exec command {0} is already running")]
    AlreadyRun(String),
}

impl ExecTable {
    /// Adds one; forgets those that ended long ago.
    pub fn add(&mut self, exec: Exec, now: Timestamp) {
        let is_old = |exec: &Exec| matches!(exec.state, ExecState::Ended { at, .. } if at.checked_add(KEPT).is_ok_and(|end| end < now));
        self.all.retain(|_, exec| !is_old(exec));
        self.all.insert(exec.id.clone(), exec);
    }

    /// The exec of an id, or of the only id that begins so.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, id: &str) -> Result<&Exec, ExecRefusal> {
        let unknown = || ExecRefusal::Unknown(id.to_owned());
        if let Some(exec) = self.all.get(id) {
            return Ok(exec);
        }
        let mut fitting = self.all.values().filter(|exec| exec.id.starts_with(id));
        match (fitting.next(), fitting.next()) {
            (Some(exec), None) if !id.is_empty() => Ok(exec),
            _ => Err(unknown()),
        }
    }

    /// Claims one for a start: only the first succeeds.
    ///
    /// # Errors
    /// There is none, or it was started before.
    pub fn begin(&mut self, id: &str) -> Result<Exec, ExecRefusal> {
        let exec = self
            .all
            .get_mut(id)
            .ok_or_else(|| ExecRefusal::Unknown(id.to_owned()))?;
        if exec.state != ExecState::Created {
            return Err(ExecRefusal::AlreadyRun(id.to_owned()));
        }
        exec.state = ExecState::Running { pid: None };
        Ok(exec.clone())
    }

    /// Its process runs.
    pub fn started(&mut self, id: &str, pid: i32) {
        if let Some(exec) = self.all.get_mut(id) {
            exec.state = ExecState::Running { pid: Some(pid) };
        }
    }

    /// It is over.
    pub fn ended(&mut self, id: &str, code: i32, at: Timestamp) {
        if let Some(exec) = self.all.get_mut(id) {
            exec.state = ExecState::Ended { code, at };
        }
    }

    /// Ids of those that run in a container.
    pub fn running(&self, container: &ContainerId) -> Vec<String> {
        let runs = |exec: &&Exec| &exec.container == container && matches!(exec.state, ExecState::Running { .. });
        self.all.values().filter(runs).map(|exec| exec.id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(id: &str) -> Exec {
        Exec {
            id: id.to_owned(),
            container: ContainerId::try_from("a".repeat(64)).unwrap(),
            request: ExecRequest::default(),
            process: Value::Null,
            state: ExecState::Created,
        }
    }

    #[test]
    fn one_is_started_once_and_remembered_for_a_while() {
        let now = Timestamp::UNIX_EPOCH;
        let mut table = ExecTable::default();
        table.add(exec("abc"), now);
        assert_eq!(table.begin("x"), Err(ExecRefusal::Unknown("x".into())));
        assert!(table.begin("abc").is_ok());
        assert_eq!(table.begin("abc"), Err(ExecRefusal::AlreadyRun("abc".into())));
        table.started("abc", 7);
        assert_eq!(table.running(&exec("abc").container), ["abc"]);
        table.ended("abc", 3, now);
        table.add(exec("abd"), now);
        assert!(table.find("ab").is_err() && table.find("abc").is_ok());
        table.add(exec("abe"), now + jiff::SignedDuration::from_secs(301));
        assert!(table.find("abc").is_err() && table.find("abd").is_ok());
    }
}
