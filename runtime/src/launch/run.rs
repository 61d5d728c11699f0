//! Starts a shim, and sees a container's run through to its end.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use keelson_shim_api::{Failure, FailureKind, LaunchReport, Phase, RequestBody, ShimState};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::World;
use super::bundle::prepare;
use crate::engine::container::Ending;
use crate::engine::error::chain;
use crate::engine::record::ContainerRecord;
use crate::shim::{Joining, Shim, ShimError, ending, read_exit_file, timestamp};

/// A shim that has not reported after this long never will.
const LAUNCH_PATIENCE: Duration = Duration::from_secs(60);

/// Exit code shown for a container that the engine could not start.
const NOT_STARTED: i32 = 128;

/// Exit code shown for a container whose end nobody saw.
const UNSEEN: i32 = 255;

/// A container that runs.
#[derive(Debug)]
pub struct Launched {
    /// Its first process, on the host.
    pub pid: u32,
    /// Its shim.
    pub shim: Shim,
    /// Since when.
    pub at: Timestamp,
}

/// A container that could not be started.
#[derive(Debug)]
pub struct LaunchFailure {
    /// Exit code to show.
    pub code: i32,
    /// Why, ready to be shown.
    pub message: String,
}

impl LaunchFailure {
    fn of(failure: Failure) -> LaunchFailure {
        LaunchFailure {
            code: failure.kind.exit_code(),
            message: failure.message,
        }
    }

    /// The engine itself failed.
    pub fn internal(message: String) -> LaunchFailure {
        LaunchFailure {
            code: NOT_STARTED,
            message,
        }
    }
}

/// Starts a container, to whose streams those in `attaching` are joined before its program runs.
///
/// # Errors
/// Why not; nothing of the run is left.
pub async fn launch(
    world: &Arc<World>,
    record: &ContainerRecord,
    attaching: Vec<Joining>,
) -> Result<Launched, LaunchFailure> {
    let prepared = blocking(world, record, |world, record| {
        prepare(world, record).map_err(|error| LaunchFailure::internal(chain(&error)))
    })
    .await;
    let bundle = match prepared {
        Ok(done) => done?,
        Err(error) => return Err(LaunchFailure::internal(error.to_string())),
    };
    let started = start(world, record, &bundle, attaching).await;
    if started.is_err() {
        clear(world, record).await;
    }
    started
}

async fn start(
    world: &World,
    record: &ContainerRecord,
    bundle: &Path,
    attaching: Vec<Joining>,
) -> Result<Launched, LaunchFailure> {
    let internal = |error: anyhow::Error| LaunchFailure::internal(format!("{error:#}"));
    let pid = match spawn_shim(&world.shim, bundle).await.map_err(internal)? {
        LaunchReport::Created { pid, .. } => u32::try_from(pid).unwrap_or_default(),
        LaunchReport::Failed { failure } => return Err(LaunchFailure::of(failure)),
    };
    let lost = |error: ShimError| LaunchFailure::internal(chain(&error));
    let shim = Shim::connect(&world.shim_socket(&record.id)).await.map_err(lost)?;
    for joining in attaching {
        shim.join(joining).await;
    }
    match shim.call(RequestBody::Start).await {
        Ok(_) => Ok(Launched {
            pid,
            shim,
            at: Timestamp::now(),
        }),
        Err(error) => {
            // The shim ends with the container; the failure to be shown is the first one.
            let _ = shim.call(RequestBody::Delete { force: true }).await;
            Err(match error {
                ShimError::Failed(failure) => LaunchFailure::of(failure),
                other => lost(other),
            })
        }
    }
}

async fn spawn_shim(program: &Path, bundle: &Path) -> anyhow::Result<LaunchReport> {
    let mut child = Command::new(program)
        .arg(bundle)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let output = child.stdout.take().ok_or_else(|| anyhow!("the shim has no output"))?;
    // Dropping the handle leaves the process alone; the runtime reaps it when it ends.
    drop(child);
    let mut line = String::new();
    let mut reader = BufReader::new(output);
    let read = tokio::time::timeout(LAUNCH_PATIENCE, reader.read_line(&mut line)).await;
    read.context("the shim said nothing in time")?
        .context("read the shim's report")?;
    if line.is_empty() {
        let message = "the shim ended without a report".to_owned();
        return Ok(LaunchReport::Failed {
            failure: Failure {
                kind: FailureKind::Internal,
                message,
            },
        });
    }
    serde_json::from_str(&line).context("the shim's report makes no sense")
}

/// Waits for the end of a run, then takes away what belonged to it.
pub async fn watch(world: &Arc<World>, record: &ContainerRecord, shim: &Shim) -> Ending {
    let end = match shim.wait(None).await {
        Ok(exit) => ending(&exit),
        Err(error) => {
            let error = chain(&error);
            log::warn!(container = record.id.as_str(), error = error; "a shim is gone");
            unseen_end(world, record)
        }
    };
    // A shim that is gone cannot; then clearing the run takes away what it would have.
    let _ = shim.call(RequestBody::Delete { force: true }).await;
    clear(world, record).await;
    end
}

fn unseen_end(world: &World, record: &ContainerRecord) -> Ending {
    let written = read_exit_file(&world.exit_file(&record.id));
    written.as_ref().map(ending).unwrap_or_else(|| Ending {
        code: UNSEEN,
        oom_killed: false,
        at: Timestamp::now(),
    })
}

/// What became of a container that ran when the engine was last alive.
///
/// # Errors
/// It has ended; how is in the error. What belonged to the run is taken away.
pub async fn reattach(world: &Arc<World>, record: &ContainerRecord) -> Result<Launched, Ending> {
    match find_running(world, record).await {
        Ok(launched) => Ok(launched),
        Err(error) => {
            log::info!(container = record.id.as_str(), reason = error; "container has ended meanwhile");
            let end = unseen_end(world, record);
            clear(world, record).await;
            Err(end)
        }
    }
}

async fn find_running(world: &World, record: &ContainerRecord) -> Result<Launched, String> {
    let socket = world.shim_socket(&record.id);
    let shim = Shim::connect(&socket).await.map_err(|error| chain(&error))?;
    let state = shim.state().await.map_err(|error| chain(&error))?;
    if state.phase == Phase::Created {
        // The engine died between the two steps of a start: that start has failed.
        let _ = shim.call(RequestBody::Delete { force: true }).await;
        return Err("it was never started".to_owned());
    }
    renew(&world.shim, &shim, &state).await;
    let at = state.started_at.map_or_else(Timestamp::now, timestamp);
    let pid = u32::try_from(state.pid).unwrap_or_default();
    Ok(Launched { pid, shim, at })
}

/// After an update of the userland a shim is a copy of the old program: it is asked to become the new one. If it does
/// not, it goes on as it is.
async fn renew(program: &Path, shim: &Shim, state: &ShimState) {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
    let running = identity(&Path::new("/proc").join(state.shim_pid.to_string()).join("exe"));
    let (Ok(running), Ok(present)) = (running, identity(program)) else {
        return;
    };
    if running == present || state.phase == Phase::Stopped {
        return;
    }
    let program = program.to_owned();
    match shim.call(RequestBody::Reexec { program }).await {
        Ok(_) => log::info!(container = state.id.as_str(); "a shim has become a copy of the present program"),
        Err(error) => {
            let error = chain(&error);
            log::warn!(container = state.id.as_str(), error = error; "a shim stays a copy of an earlier program");
        }
    }
}

async fn clear(world: &Arc<World>, record: &ContainerRecord) {
    let done = blocking(world, record, |world, record| world.clear_run(record)).await;
    if let Err(error) = done {
        let error = error.to_string();
        log::error!(container = record.id.as_str(), error = error; "clearing a run panicked");
    }
}

async fn blocking<T: Send + 'static>(
    world: &Arc<World>,
    record: &ContainerRecord,
    work: impl FnOnce(&World, &ContainerRecord) -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    let (world, record) = (Arc::clone(world), record.clone());
    tokio::task::spawn_blocking(move || work(&world, &record)).await
}
