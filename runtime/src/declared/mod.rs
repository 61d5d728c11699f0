//! Keeps the containers that the machine's configuration declares: reads it at the start and when
//! told, pulls what is missing, makes, replaces, starts and removes. What fails is tried again with
//! growing delays, each container on its own, and said in the log, in the unit's status and in a file.
//! Nothing waits for it.

pub mod plan;
mod progress;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keelson_engine_client::declared::{FailedStep, Failure};
use keelson_machine_config::MachineConfig;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::engine::action::{Action, Handle};
use crate::engine::error::{EngineError, chain};
use crate::engine::record::ContainerRecord;
use crate::image::{PullError, PullOptions, Reference, Store, pull};
use crate::registries::{Publisher, Registries};
use plan::{Declared, Step, decide_step, plan_declared, plan_removals};
pub use progress::Progress;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// What keeps declared containers.
#[derive(Debug)]
pub struct Keeper {
    /// The engine.
    pub engine: Handle,
    /// Images.
    pub images: Arc<Store>,
    /// Settings of registries, to pull by.
    pub registries: Registries,
    /// Where new settings go.
    pub publisher: Publisher,
    /// `machine.json`.
    pub path: PathBuf,
    /// Where it is told how declared containers stand, a file.
    pub status: PathBuf,
    /// This boot.
    pub boot_id: String,
}

impl Keeper {
    /// Keeps them for ever; looks at the configuration again each time `changed` says so.
    pub async fn run(self, mut changed: watch::Receiver<u64>) {
        loop {
            let mut tasks = JoinSet::new();
            match load(&self.path) {
                Ok(config) => self.apply(&config, &mut tasks).await,
                Err(error) => log::error!("{error:#}"),
            }
            loop {
                tokio::select! {
                    told = changed.changed() => match told {
                        Ok(()) => break,
                        // Nobody can tell any more: what is under way goes on.
                        Err(_) => {
                            while tasks.join_next().await.is_some() {}
                            return std::future::pending().await;
                        }
                    },
                    Some(_) = tasks.join_next() => {}
                }
            }
            log::info!("reading the machine's configuration again");
        }
    }

    async fn apply(&self, config: &MachineConfig, tasks: &mut JoinSet<()>) {
        self.publisher.publish(config);
        let declared = plan_declared(config);
        let existing = self
            .engine
            .ask(|reply| Action::List { reply })
            .await
            .unwrap_or_default();
        for name in plan_removals(&declared, &existing) {
            log::info!(container = name.as_str(); "removing a container that is no longer declared");
            let engine = self.engine.clone();
            tasks.spawn(async move {
                if let Err(error) = remove(&engine, &name).await {
                    log::error!(container = name.as_str(), error = chain(&error); "it cannot be removed");
                }
            });
        }
        let progress = Arc::new(Progress::new(
            self.status.clone(),
            declared.iter().map(|one| one.name.clone()),
        ));
        for one in declared {
            let worker = Worker {
                engine: self.engine.clone(),
                images: Arc::clone(&self.images),
                registries: self.registries.clone(),
                boot_id: self.boot_id.clone(),
                progress: Arc::clone(&progress),
                declared: one,
            };
            tasks.spawn(worker.keep());
        }
    }
}

/// Brings one container to where it should be, then ends: from there the engine's restart policy
/// keeps it.
struct Worker {
    engine: Handle,
    images: Arc<Store>,
    registries: Registries,
    boot_id: String,
    progress: Arc<Progress>,
    declared: Declared,
}

impl Worker {
    async fn keep(self) {
        let mut delay = FIRST_DELAY;
        loop {
            match self.advance().await {
                Ok(Advance::Further) => {}
                Ok(Advance::Done) => return,
                Err(failure) => {
                    let (name, seconds) = (self.declared.name.as_str(), delay.as_secs());
                    log::warn!(container = name, retry_seconds = seconds, error = failure.reason.as_str(); "a declared container does not run yet");
                    self.progress.failed(name, failure, seconds);
                    tokio::time::sleep(delay).await;
                    delay = delay.saturating_mul(2).min(LONGEST_DELAY);
                }
            }
        }
    }

    async fn advance(&self) -> Result<Advance, Failure> {
        let name = self.declared.name.clone();
        let action = |reply| Action::Inspect {
            container: format!("/{name}"),
            reply,
        };
        let existing: Option<Box<ContainerRecord>> = match self.engine.ask(action).await {
            Ok(record) if record.name == self.declared.name => Some(record),
            Ok(_) | Err(EngineError::NoSuchContainer(_) | EngineError::Ambiguous(_)) => None,
            Err(error) => return Err(unable(&error)),
        };
        match decide_step(&self.declared, existing.as_deref(), &self.boot_id) {
            Step::Create => self.create().await.map(|()| Advance::Further),
            Step::Replace => {
                log::info!(container = self.declared.name.as_str(); "the declaration has changed; replacing");
                // What is needed comes first: the old one runs until the new one can.
                self.ensure_image().await?;
                let removed = remove(&self.engine, &self.declared.name).await;
                removed.map(|()| Advance::Further).map_err(|error| unable(&error))
            }
            Step::Start => self.start().await.map(|()| Advance::Further),
            Step::Keep => {
                self.progress.runs(&self.declared.name);
                Ok(Advance::Done)
            }
            Step::NameTaken => Err(failure(
                FailedStep::Name,
                "a container that was not declared has this name".to_owned(),
            )),
        }
    }

    async fn create(&self) -> Result<(), Failure> {
        self.ensure_image().await?;
        let (name, request) = (self.declared.name.clone(), self.declared.request.clone());
        let action = |reply| Action::Create {
            name: Some(name),
            request: Box::new(request),
            reply,
        };
        self.engine
            .ask(action)
            .await
            .map(|_| ())
            .map_err(|error| unable(&error))
    }

    async fn start(&self) -> Result<(), Failure> {
        self.say("starting");
        let container = self.declared.name.clone();
        match self.engine.ask(|reply| Action::Start { container, reply }).await {
            Ok(()) => {
                log::info!(container = self.declared.name.as_str(); "declared container runs");
                Ok(())
            }
            Err(EngineError::NotModified) => Ok(()),
            Err(error) => Err(unable(&error)),
        }
    }

    async fn ensure_image(&self) -> Result<(), Failure> {
        let image = &self.declared.request.image;
        if self.images.image(image).is_ok() {
            return Ok(());
        }
        let reference: Reference = image
            .parse()
            .map_err(|error| failure(FailedStep::Pull, chain(&error)))?;
        self.say(&format!("pulling {image}"));
        log::info!(container = self.declared.name.as_str(), image = image.as_str(); "pulling");
        let options = PullOptions {
            registries: self.registries.current(),
            ..PullOptions::default()
        };
        let pulled = pull(&self.images, &reference, &options).await;
        let pulled = pulled.map_err(|error| failure(FailedStep::Pull, said(image.as_str(), &error)))?;
        log::info!(image = image.as_str(), digest:% = pulled.digest; "image pulled");
        Ok(())
    }

    fn say(&self, what: &str) {
        self.progress.at(&self.declared.name, what);
    }
}

fn failure(step: FailedStep, reason: String) -> Failure {
    Failure { step, reason }
}

/// What kept an image from being pulled, its name once.
fn said(image: &str, error: &PullError) -> String {
    match error {
        PullError::Registry { .. } => chain(error),
        _ => format!("cannot pull {image}: {}", chain(error)),
    }
}

/// The engine would not make, start or remove it.
fn unable(error: &EngineError) -> Failure {
    failure(FailedStep::Start, chain(error))
}

enum Advance {
    Further,
    Done,
}

async fn remove(engine: &Handle, name: &str) -> Result<(), EngineError> {
    let container = name.to_owned();
    let action = |reply| Action::Remove {
        container,
        force: true,
        volumes: false,
        reply,
    };
    match engine.ask(action).await {
        Err(EngineError::NoSuchContainer(_)) => Ok(()),
        other => other,
    }
}

/// No file is the machine without a document: nothing is declared.
fn load(path: &Path) -> anyhow::Result<MachineConfig> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("read the machine's configuration {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            log::info!("no machine configuration: no container is declared");
            Ok(MachineConfig::default())
        }
        Err(error) => Err(error).with_context(|| format!("read the machine's configuration {}", path.display())),
    }
}
