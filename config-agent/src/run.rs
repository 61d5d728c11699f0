//! The pipeline: detect, fetch, decode, validate, plan, stage, commit, activate.
//!
//! Nothing is written before the whole document is valid; whatever fails leaves the machine with what was in force.

use std::fs;

use anyhow::Context as _;
use keelson_image_layout::facts::StateMount;
use keelson_machine_config::plan::plan;
use keelson_machine_config::{Accepted, Format, MachineConfig, Reapply, Report};

use crate::activate::{self, Effective};
use crate::bounded;
use crate::choose::{Candidate, Choice, InForce, choose};
use crate::generation::{self, Files, Generation, Provenance, Store, StoreError};
use crate::keyed::Key;
use crate::network::{self, Beside};
use crate::places::Places;
use crate::render;
use crate::secrets::SecretStore;
use crate::source::{Found, Looked, MetaData};
use crate::status::{State, Status};
use crate::steps::Steps;

/// The stores of one run.
struct Stores {
    generations: Store,
    secrets: SecretStore,
    key: Key,
}

/// What a run ends with.
#[derive(Debug)]
pub struct Outcome {
    /// What is in force.
    pub effective: Effective,
    /// What to say about it.
    pub status: Status,
}

/// Decides and commits, then puts the result into effect for this boot.
///
/// # Errors
/// What other programs read could not be written.
pub fn run(places: &Places, looked: Looked, steps: Steps<'_>) -> anyhow::Result<Outcome> {
    let (places, trouble) = usable_places(places);
    let mut outcome = match open(&places) {
        Ok(stores) => {
            let mut outcome = decide(&stores, looked, steps);
            let machine_id = fs::read_to_string(&places.machine_id).unwrap_or_default();
            outcome.effective = outcome.effective.named(&machine_id);
            let problems = activate::activate(&outcome.effective, Some(&stores.secrets), &places)?;
            outcome.status.degraded.extend(problems);
            outcome.status.generations = stores.generations.kept();
            outcome
        }
        Err(error) => without_stores(&places, looked, &error)?,
    };
    outcome.status.degraded.splice(0..0, trouble);
    Ok(outcome)
}

/// The one fact of the boot that matters here.
#[derive(serde::Deserialize)]
struct StateFact {
    state: StateMount,
}

/// How the state partition is mounted, if that is known.
pub(crate) fn state_of(places: &Places) -> Option<StateMount> {
    let facts = fs::read(&places.boot_facts).ok()?;
    let facts: StateFact = serde_json::from_slice(&facts).ok()?;
    Some(facts.state)
}

/// Everything in memory while the state partition cannot be written. A read-only one still gives what was in force.
fn usable_places(places: &Places) -> (Places, Vec<String>) {
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

fn open(places: &Places) -> anyhow::Result<Stores> {
    let generations = Store::open(&places.config).context("open the configuration store")?;
    let secrets = SecretStore::open(&places.secrets).context("open the store of secrets")?;
    let key = secrets.key().context("read the machine's key")?;
    Ok(Stores {
        generations,
        secrets,
        key,
    })
}

/// The stores cannot be opened: nothing can be committed, the last good generation may still be read.
fn without_stores(places: &Places, looked: Looked, error: &anyhow::Error) -> anyhow::Result<Outcome> {
    let in_force = Store::read_only(&places.config).load_in_force().ok().flatten();
    let mut status = Status::new(if in_force.is_some() {
        State::Unchanged
    } else {
        State::None
    });
    status.degraded.push(format!("{error:#}"));
    status.looked_at = looked.at;
    let machine_id = fs::read_to_string(&places.machine_id).unwrap_or_default();
    let effective = settle(in_force, &mut status).named(&machine_id);
    let problems = activate::activate(&effective, None, places)?;
    status.degraded.extend(problems);
    Ok(Outcome { effective, status })
}

/// What is in force, and its name in the status.
fn settle(in_force: Option<Generation>, status: &mut Status) -> Effective {
    match in_force {
        Some(generation) => {
            status.generation = Some(generation.id);
            status.source = Some(generation.provenance.origin.to_string());
            Effective {
                config: generation.config,
                rendered: generation.rendered,
            }
        }
        None => Effective::without_document(),
    }
}

/// Everything between looking and activating.
fn decide(stores: &Stores, looked: Looked, steps: Steps<'_>) -> Outcome {
    let mut status = Status::new(State::Unchanged);
    let in_force = stores.generations.load_in_force().unwrap_or_else(|error| {
        status.degraded.push(error.to_string());
        None
    });
    let unusable = !looked.problems.is_empty();
    let mut documents = documents(looked, in_force.as_ref(), &mut status);
    let fingerprints: Vec<String> = documents.iter().map(|found| fingerprint(found, &stores.key)).collect();
    let effective = match chosen(stores, in_force.as_ref(), &documents, &fingerprints) {
        Choice::Nothing => {
            status.state = if unusable { State::Rejected } else { State::None };
            settle(None, &mut status)
        }
        Choice::Ambiguous => {
            let origins: Vec<String> = documents.iter().map(|found| found.origin.to_string()).collect();
            let origins = origins.join(", ");
            let note = format!("several documents, none is chosen: {origins}; detach all but one");
            status.notes.push(note);
            status.state = State::Rejected;
            settle(in_force, &mut status)
        }
        Choice::Keep { absent, reported } => {
            note_reported(&documents, &reported, &mut status);
            status.state = match (reported.is_empty(), &in_force) {
                (false, _) => State::Reported,
                (true, None) => State::None,
                (true, Some(_)) => State::Unchanged,
            };
            if absent && in_force.is_some() {
                log::info!("the source of the configuration is not attached; the last one stays in force");
            }
            settle(in_force, &mut status)
        }
        Choice::Apply { candidate, reported } => {
            note_reported(&documents, &reported, &mut status);
            if in_force.is_none() {
                note_passed_over(&documents, candidate, &mut status);
            }
            let (found, fingerprint) = (documents.swap_remove(candidate), fingerprints.get(candidate).cloned());
            apply(
                stores,
                in_force,
                &found,
                fingerprint.unwrap_or_default(),
                &mut status,
                steps,
            )
        }
    };
    Outcome { effective, status }
}

/// The documents that were found, and in the status what there is to say about the rest. Without any, metadata make
/// one; but they never take the place of a document in force.
fn documents(looked: Looked, in_force: Option<&Generation>, status: &mut Status) -> Vec<Found> {
    status.looked_at = looked.at;
    status.looking_ms = u64::try_from(looked.took.as_millis()).unwrap_or(u64::MAX);
    status.notes = looked.problems;
    status.notes.extend(looked.notes);
    let (mut empty, documents): (Vec<Found>, Vec<Found>) = looked.found.into_iter().partition(is_metadata_only);
    let has_document = in_force.is_some_and(|generation| !generation.provenance.metadata_only);
    let mut found = documents;
    if found.is_empty() && !has_document {
        found = empty
            .extract_if(.., |found| {
                found.meta_data.has_effect() || found.network_config.is_some()
            })
            .collect();
    }
    let empty = empty
        .iter()
        .map(|found| format!("{} has no user-data, or an empty one", found.origin));
    status.notes.extend(empty);
    status
        .notes
        .extend(found.iter().flat_map(|found| found.meta_data.notes.clone()));
    found
}

/// Whether there is no document.
fn is_metadata_only(found: &Found) -> bool {
    Format::detect(&found.user_data) == Format::Empty
}

/// What is in force and may hold against other documents: metadata alone do not.
fn defended<'a>(in_force: Option<&'a Generation>, found: &[Found]) -> Option<&'a Generation> {
    in_force.filter(|generation| !generation.provenance.metadata_only || found.iter().all(is_metadata_only))
}

fn chosen(stores: &Stores, in_force: Option<&Generation>, found: &[Found], fingerprints: &[String]) -> Choice {
    let candidates: Vec<Candidate<'_>> = found
        .iter()
        .zip(fingerprints)
        .map(|(found, fingerprint)| Candidate {
            origin: &found.origin,
            fingerprint,
        })
        .collect();
    let pinned = stores.generations.pinned();
    let held = match (defended(in_force, found), &pinned) {
        (Some(generation), _) => Some(InForce {
            origin: &generation.provenance.origin,
            // Lost values make the document worth applying again, if it is the same one.
            fingerprint: Some(generation.provenance.fingerprint.as_str()).filter(|own| {
                let there = fingerprints.iter().any(|found| found == own);
                !there || stores.secrets.holds(&generation.config)
            }),
            reapply: generation.config.policy.reapply,
        }),
        (None, Some(origin)) if in_force.is_none() => Some(InForce {
            origin,
            fingerprint: None,
            reapply: Reapply::SameSource,
        }),
        (None, _) => None,
    };
    choose(held.as_ref(), &candidates)
}

fn note_reported(documents: &[Found], reported: &[usize], status: &mut Status) {
    for Found { origin, .. } in reported.iter().filter_map(|i| documents.get(*i)) {
        status.notes.push(format!(
            "not allowed by the policy in force: the document from {origin}"
        ));
    }
}

/// The documents that another one comes before.
fn note_passed_over(documents: &[Found], taken: usize, status: &mut Status) {
    let Some(first) = documents.get(taken).map(|found| &found.origin) else {
        return;
    };
    let others = documents.iter().enumerate().filter(|(i, _)| *i != taken);
    let notes = others.map(|(_, found)| format!("{} is not used: {first} comes before it", found.origin));
    status.notes.extend(notes);
}

/// What a document depends on: its bytes, the metadata that count, and the rules that read them. Parts that are absent
/// leave no trace, so that a document keeps its fingerprint when a release learns of a further part.
fn fingerprint(found: &Found, key: &Key) -> String {
    let Found {
        user_data,
        meta_data,
        network_config,
        vendor_data,
        ..
    } = found;
    let hostname = meta_data.hostname.as_ref().map(ToString::to_string).unwrap_or_default();
    let keys: Vec<String> = meta_data.public_keys.iter().map(ToString::to_string).collect();
    let keys = keys.join("\n");
    let schema = keelson_machine_config::SCHEMA.to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![b"document", user_data, hostname.as_bytes(), &schema];
    let network = network_config.as_ref().map(|network| network.bytes.as_slice());
    let extras = [
        (&b"keys"[..], (!keys.is_empty()).then_some(keys.as_bytes())),
        (b"network", network),
        (b"vendor", vendor_data.as_deref()),
    ];
    for (name, bytes) in extras {
        parts.extend(bytes.map(|bytes| [name, bytes]).into_iter().flatten());
    }
    key.digest(&parts)
}

/// What stands for a document where there are only metadata.
const NO_DOCUMENT: &[u8] = b"schema = 1\n";

/// Validates a document and commits it. Whatever goes wrong, what was in force stays.
fn apply(
    stores: &Stores,
    in_force: Option<Generation>,
    found: &Found,
    fingerprint: String,
    status: &mut Status,
    steps: Steps<'_>,
) -> Effective {
    let document: &[u8] = if is_metadata_only(found) {
        NO_DOCUMENT
    } else {
        &found.user_data
    };
    let Some(verdict) = bounded::validate(document) else {
        status.state = State::Rejected;
        let note = format!("the document on {} is too much work to check: shorten it", found.origin);
        status.notes.push(note);
        return settle(in_force, status);
    };
    let worth_showing = !verdict.report.diagnostics.is_empty();
    status.report = worth_showing.then(|| verdict.report.clone());
    let Some(mut accepted) = verdict.accepted else {
        log_report(&verdict.report);
        status.state = State::Rejected;
        status.notes.push(format!("the document is on {}", found.origin));
        if in_force.is_some() {
            status
                .degraded
                .push("the document that was found is refused, an earlier one is in force".to_owned());
        }
        return settle(in_force, status);
    };
    if let Some(vendor) = &found.vendor_data {
        status
            .notes
            .extend(crate::vendor::put_below(&mut accepted.config, vendor));
    }
    if !take_network(&mut accepted.config, found, status) {
        return settle(in_force, status);
    }
    match commit(stores, in_force.as_ref(), found, fingerprint, accepted, steps) {
        Ok(generation) => {
            status.state = State::Applied;
            log::info!(generation = generation.id, source:% = found.origin; "configuration applied");
            settle(Some(generation), status)
        }
        Err(error) => {
            status.state = State::Rejected;
            status
                .degraded
                .push(format!("the document cannot be stored: {error:#}"));
            // The cut may have come after the rename.
            let in_force = stores.generations.load_in_force().ok().flatten().or(in_force);
            settle(in_force, status)
        }
    }
}

/// Takes in the network configuration beside a document; false when it refuses the document with it.
fn take_network(config: &mut MachineConfig, found: &Found, status: &mut Status) -> bool {
    match network::take(config, found) {
        Beside::Nothing => {}
        Beside::Unused => {
            let note = format!(
                "the network configuration on {} is not used: the document has its own",
                found.origin
            );
            status.notes.push(note);
        }
        Beside::Taken(report) => log_report(&report),
        Beside::Refused(report) => {
            log_report(&report);
            status.state = State::Rejected;
            status
                .notes
                .push(format!("the network configuration is on {}", found.origin));
            status.report = Some(report);
            return false;
        }
    }
    true
}

fn log_report(report: &Report) {
    for line in report.lines() {
        log::warn!("{line}");
    }
}

fn commit(
    stores: &Stores,
    in_force: Option<&Generation>,
    found: &Found,
    fingerprint: String,
    accepted: Accepted,
    steps: Steps<'_>,
) -> anyhow::Result<Generation> {
    let Accepted {
        mut config,
        secrets,
        redacted,
    } = accepted;
    SecretStore::stamp(&mut config, &secrets, &stores.key);
    add_metadata(&mut config, &found.meta_data);
    let provenance = Provenance {
        format: 1,
        origin: found.origin.clone(),
        instance_id: found.meta_data.instance_id.clone(),
        metadata_only: is_metadata_only(found),
        fingerprint,
        previous: in_force.map(|generation| generation.id.clone()),
        agent: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let files = files(&redacted, &config, in_force, &provenance)?;
    // Values first: a generation in force must find them.
    stores
        .secrets
        .keep(&config, &secrets, steps)
        .context("keep the secrets")?;
    let id = stores.generations.commit(&files, &found.origin, steps)?;
    let generation = stores.generations.load(&id)?;
    if let Err(error) = tidy(stores, steps) {
        log::warn!("what is no longer needed could not be removed: {error:#}");
    }
    Ok(generation)
}

/// The lowest layer: what the document does not say.
fn add_metadata(config: &mut MachineConfig, meta_data: &MetaData) {
    if config.system.hostname.is_none() {
        config.system.hostname.clone_from(&meta_data.hostname);
    }
    if config.ssh.keys.is_empty() {
        config.ssh.keys.clone_from(&meta_data.public_keys);
    }
}

fn files(
    redacted: &str,
    config: &MachineConfig,
    in_force: Option<&Generation>,
    provenance: &Provenance,
) -> anyhow::Result<Files> {
    let before = in_force.map_or_else(MachineConfig::default, |generation| generation.config.clone());
    let changes = plan(&before, config);
    generation::assemble(redacted, config, &changes, provenance, render::render(config))
        .context("put the generation together")
}

/// Removes old generations and the secrets that only they used.
fn tidy(stores: &Stores, steps: Steps<'_>) -> anyhow::Result<()> {
    let kept = stores.generations.prune(steps)?;
    stores
        .secrets
        .prune(kept.iter().map(|generation| &generation.config), steps)
        .context("remove old secrets")
}

/// Where what is in force came from.
///
/// # Errors
/// The store is damaged.
pub fn provenance_in_force(places: &Places) -> Result<Option<Provenance>, StoreError> {
    let in_force = Store::read_only(&places.config).load_in_force()?;
    Ok(in_force.map(|generation| generation.provenance))
}
