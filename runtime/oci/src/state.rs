//! What is known of a container between two calls: `ROOT/ID/state.json`, written durably, and the copy of its
//! specification beside it.

use crate::error::{Error, Result, Step};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Name of the state document.
const STATE: &str = "state.json";
/// Name of the specification's copy.
const CONFIG: &str = "config.json";
/// Name of the FIFO that starts the program.
const FIFO: &str = "exec.fifo";

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Format of this document; readers refuse what they do not know.
    pub format: u32,
    /// Container id.
    pub id: String,
    /// First process, in the host's pid namespace; 0 while it is being made.
    pub pid: i32,
    /// Its start time in ticks since boot (field 22 of /proc/PID/stat): with the pid it names one process for ever.
    pub pid_start: u64,
    /// The bundle.
    pub bundle: PathBuf,
    /// The root file system.
    pub rootfs: PathBuf,
    /// Directory of the cgroup.
    pub cgroup: PathBuf,
    /// Whether the runtime made the cgroup.
    pub owns_cgroup: bool,
    /// Seconds since 1970.
    pub created: u64,
    /// The specification's.
    pub annotations: BTreeMap<String, String>,
    /// The specification's version.
    pub version: String,
}

/// Where it stands, in the specification's words; `paused` is runc's addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being made.
    Creating,
    /// Made, its program not yet run.
    Created,
    /// Its program runs.
    Running,
    /// Frozen.
    Paused,
    /// Its first process is gone.
    Stopped,
}

impl Status {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A container's directory below the runtime's root.
#[derive(Debug, Clone)]
pub struct StateDirectory {
    path: PathBuf,
    id: String,
}

impl StateDirectory {
    /// The directory of an id.
    pub fn new(root: &Path, id: &str) -> Result<Self> {
        check_id(id)?;
        Ok(Self {
            path: root.join(id),
            id: id.to_owned(),
        })
    }

    /// Makes it; an id in use is a conflict.
    pub fn create(&self) -> Result<()> {
        if let Some(root) = self.path.parent() {
            fs::create_dir_all(root).step("create", root)?;
        }
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::state(&self.id, "exists already"))
            }
            other => other.step("create", &self.path),
        }
    }

    /// The FIFO.
    pub fn fifo(&self) -> PathBuf {
        self.path.join(FIFO)
    }

    /// The specification's copy.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// Writes the document.
    pub fn write(&self, state: &State) -> Result<()> {
        let path = self.path.join(STATE);
        let bytes = serde_json::to_vec(state).map_err(|source| Error::Json {
            path: path.clone(),
            source,
        })?;
        keelson_durable::replace(&path, &bytes, 0o600).step("write", &path)
    }

    /// Keeps the specification as it was when the container was made.
    pub fn write_config(&self, spec: &oci_spec::runtime::Spec) -> Result<()> {
        let path = self.config();
        let bytes = serde_json::to_vec(spec).map_err(|source| Error::Json {
            path: path.clone(),
            source,
        })?;
        fs::write(&path, bytes).step("write", &path)
    }

    /// Reads the document.
    pub fn read(&self) -> Result<State> {
        let path = self.path.join(STATE);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::state(&self.id, "does not exist"));
            }
            other => other.step("read", &path)?,
        };
        let state: State = serde_json::from_slice(&bytes).map_err(|source| Error::Json {
            path: path.clone(),
            source,
        })?;
        if state.format != 1 {
            return Err(Error::state(
                &self.id,
                format!(
                    "has a state of format {}, which this runtime does not know",
                    state.format
                ),
            ));
        }
        Ok(state)
    }

    /// Removes everything.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.step("remove", &self.path),
        }
    }

    /// Whether anything is there.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }
}

impl State {
    /// The specification's state document, as hooks get it and `state` prints it.
    pub fn document(&self, status: Status) -> serde_json::Value {
        let mut document = json!({
            "ociVersion": "1.2.0",
            "id": self.id,
            "status": status.word(),
            "bundle": self.bundle,
            "rootfs": self.rootfs,
            "created": rfc3339(self.created),
            "annotations": self.annotations,
        });
        let pid = if status == Status::Stopped { 0 } else { self.pid };
        if let Some(members) = document.as_object_mut() {
            members.insert("pid".to_owned(), pid.into());
        }
        document
    }

    /// Whether the first process is still there (a zombie is not).
    pub fn is_alive(&self) -> bool {
        read_stat(self.pid).is_some_and(|stat| stat.start == self.pid_start && !matches!(stat.letter, 'Z' | 'X'))
    }
}

/// What is read of /proc/PID/stat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// State letter.
    pub letter: char,
    /// Start in ticks since boot.
    pub start: u64,
}

/// Reads a process's stat; `None` if it is gone.
pub fn read_stat(pid: i32) -> Option<ProcessStat> {
    if pid <= 0 {
        return None;
    }
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 3 and 22; field 2 may hold anything, so count from its closing parenthesis.
fn parse_stat(text: &str) -> Option<ProcessStat> {
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let letter = fields.next()?.chars().next()?;
    Some(ProcessStat {
        letter,
        start: fields.nth(18)?.parse().ok()?,
    })
}

/// Ids name directories and cgroups.
pub fn check_id(id: &str) -> Result<()> {
    let fine = |character: char| character.is_ascii_alphanumeric() || "_+-.".contains(character);
    if id.is_empty() || id.len() > 128 || !id.chars().all(fine) || id == "." || id == ".." {
        return Err(Error::spec(
            "",
            format!("{id:?} is no container id: letters, digits, _ + - . and at most 128 of them"),
        ));
    }
    Ok(())
}

/// Seconds since 1970 as RFC 3339 text (civil calendar from a day count).
pub fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for good in ["a", "A_b-1.2+3", "0123"] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\0"] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (1_795_507_200, "2026-11-24T08:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn stat_lines() {
        let line = "7 (a) Z) S 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4242 5 6";
        assert_eq!(
            parse_stat(line),
            Some(ProcessStat {
                letter: 'S',
                start: 4242
            })
        );
        assert!(read_stat(1).is_some() && read_stat(0).is_none());
    }
}
