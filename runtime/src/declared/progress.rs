//! Where each declared container stands, told as one line to the manager and as a file to whoever asks.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use keelson_engine_client::declared::{DeclaredStatus, Failure, Standing};

/// What is known of all of them.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    known: Mutex<DeclaredStatus>,
}

impl Progress {
    /// Nothing was done yet for containers of these names.
    pub fn new(path: PathBuf, names: impl Iterator<Item = String>) -> Self {
        let waiting = || Standing {
            at: "waiting".to_owned(),
            failure: None,
        };
        let known = DeclaredStatus {
            format: 1,
            containers: names.map(|name| (name, waiting())).collect(),
        };
        let progress = Progress {
            path,
            known: Mutex::new(known),
        };
        progress.change(|_| ());
        progress
    }

    /// One is at this; why an attempt before failed is still of interest.
    pub fn at(&self, name: &str, what: &str) {
        self.change(|known| what.clone_into(&mut known.containers.entry(name.to_owned()).or_default().at));
    }

    /// One runs.
    pub fn runs(&self, name: &str) {
        self.change(|known| {
            let standing = Standing {
                at: "runs".to_owned(),
                failure: None,
            };
            known.containers.insert(name.to_owned(), standing);
        });
    }

    /// An attempt failed; the next comes after so many seconds.
    pub fn failed(&self, name: &str, failure: Failure, seconds: u64) {
        self.change(|known| {
            let standing = Standing {
                at: format!("trying again in {seconds} s"),
                failure: Some(failure),
            };
            known.containers.insert(name.to_owned(), standing);
        });
    }

    fn change(&self, change: impl FnOnce(&mut DeclaredStatus)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        if !known.containers.is_empty() {
            keelson_daemon::notify::status(&line(&known));
        }
        let written = serde_json::to_vec_pretty(&*known)
            .map_err(Into::into)
            .and_then(|text| keelson_durable::replace(&self.path, &text, 0o644));
        if let Err(error) = written {
            log::warn!(path:% = self.path.display(), error:%; "where declared containers stand is not written");
        }
    }
}

/// One line for all.
fn line(known: &DeclaredStatus) -> String {
    let each = known.containers.iter().map(|(name, standing)| match &standing.failure {
        Some(failure) => format!("{name}: {}; {}", failure.reason, standing.at),
        None => format!("{name}: {}", standing.at),
    });
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use keelson_engine_client::declared::FailedStep;

    use super::*;

    #[test]
    fn a_failure_is_told_until_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("declared.json");
        let progress = Progress::new(path.clone(), ["db", "web"].into_iter().map(str::to_owned));
        let read = || -> DeclaredStatus { serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap() };
        assert_eq!(read().containers["web"].at, "waiting");
        let failure = Failure {
            step: FailedStep::Pull,
            reason: "cannot pull x: no such image".to_owned(),
        };
        progress.failed("web", failure.clone(), 2);
        progress.at("web", "pulling x");
        assert_eq!(read().containers["web"].failure, Some(failure));
        assert_eq!(
            line(&read()),
            "db: waiting; web: cannot pull x: no such image; pulling x"
        );
        progress.runs("web");
        assert_eq!(line(&read()), "db: waiting; web: runs");
    }
}
