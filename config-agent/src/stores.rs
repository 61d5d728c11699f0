//! The durable stores of a run, and where they are while the state partition cannot be written.

use std::fs;

use anyhow::Context as _;
use keelson_image_layout::facts::StateMount;

use crate::activate;
use crate::generation::Store;
use crate::keyed::Key;
use crate::places::Places;
use crate::secrets::SecretStore;

/// The stores of one run.
pub struct Stores {
    /// Generations and which is in force.
    pub generations: Store,
    /// Values outside every generation.
    pub secrets: SecretStore,
    /// What fingerprints are keyed with.
    pub key: Key,
}

/// The one fact of the boot that matters here.
#[derive(serde::Deserialize)]
struct StateFact {
    state: StateMount,
}

/// How the state partition is mounted, if that is known.
pub fn state_of(places: &Places) -> Option<StateMount> {
    let facts = fs::read(&places.boot_facts).ok()?;
    let facts: StateFact = serde_json::from_slice(&facts).ok()?;
    Some(facts.state)
}

/// Everything in memory while the state partition cannot be written. A read-only one still gives what was in force.
pub fn usable_places(places: &Places) -> (Places, Vec<String>) {
    match state_of(places) {
        Some(StateMount::ReadOnly { reason }) => {
            let trouble =
                format!("the state partition is read-only ({reason}): a new configuration lasts until power-off");
            let memory = places.clone().in_memory();
            let copied = copy(places, &memory)
                .err()
                .map(|error| format!("cannot copy the configuration: {error}"));
            (memory, [Some(trouble), copied].into_iter().flatten().collect())
        }
        Some(StateMount::Memory { reason }) => (
            places.clone(),
            vec![format!(
                "the state partition is unusable ({reason}): the configuration is in memory"
            )],
        ),
        Some(StateMount::ReadWrite | StateMount::Medium) | None => (places.clone(), Vec::new()),
    }
}

/// Copies the durable stores into memory.
fn copy(from: &Places, to: &Places) -> std::io::Result<()> {
    for (from, to) in [(&from.config, &to.config), (&from.secrets, &to.secrets)] {
        crate::secrets::make_directory(to)?;
        let mut pending = vec![(from.clone(), to.clone())];
        while let Some((from, to)) = pending.pop() {
            for entry in fs::read_dir(&from).into_iter().flatten() {
                let entry = entry?;
                let (source, target) = (entry.path(), to.join(entry.file_name()));
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    crate::secrets::make_directory(&target)?;
                    pending.push((source, target));
                } else if kind.is_symlink() {
                    let _ = fs::remove_file(&target);
                    std::os::unix::fs::symlink(fs::read_link(source)?, target)?;
                } else {
                    activate::write(&target, &fs::read(source)?, 0o600)?;
                }
            }
        }
    }
    Ok(())
}

/// Opens them.
pub fn open(places: &Places) -> anyhow::Result<Stores> {
    let generations = Store::open(&places.config).context("open the configuration store")?;
    let secrets = SecretStore::open(&places.secrets).context("open the store of secrets")?;
    let key = secrets.key().context("read the machine's key")?;
    Ok(Stores {
        generations,
        secrets,
        key,
    })
}
