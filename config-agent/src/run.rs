//! The pipeline: detect, fetch, decode, validate, plan, stage, commit, activate.
//!
//! Nothing is written before the whole document is valid; whatever fails leaves the machine with what was in force.

use std::fs;

use anyhow::Context as _;
use keelson_image_layout::RootHash;
use keelson_machine_config::plan::plan;
use keelson_machine_config::{Accepted, MachineConfig, Report};

use crate::activate::{self, Effective};
use crate::bounded;
use crate::candidates::{chosen, documents, fingerprint, is_metadata_only, note_passed_over, note_reported};
use crate::choose::Choice;
use crate::generation::{self, Files, Generation, Provenance, Store, StoreError};
use crate::network::{self, Beside};
use crate::places::Places;
use crate::render;
use crate::rollback::{self, Boot};
use crate::secrets::SecretStore;
use crate::source::{self, Found, Looked, MetaData, patience};
use crate::status::{State, Status};
use crate::steps::Steps;
use crate::stores::{Stores, open, usable_places};

/// What a run ends with.
#[derive(Debug)]
pub struct Outcome {
    /// What is in force.
    pub effective: Effective,
    /// What to say about it.
    pub status: Status,
}

/// Looks for documents, no longer than what is in force makes worth the wait.
#[must_use]
pub fn look(places: &Places) -> Looked {
    let store = Store::read_only(&places.config);
    let pinned = store.pinned();
    let patience = || patience::decide(store.load_in_force().ok().flatten().as_ref(), pinned.as_ref());
    source::look(places, pinned.as_ref(), patience)
}

/// Decides and commits, then puts the result into effect for this boot.
///
/// # Errors
/// What other programs read could not be written.
pub fn run(places: &Places, looked: Looked, steps: Steps<'_>) -> anyhow::Result<Outcome> {
    let (places, trouble) = usable_places(places);
    let mut outcome = match open(&places) {
        Ok(stores) => {
            let mut outcome = decide(&stores, Boot::read(&places).as_ref(), looked, steps);
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
fn decide(stores: &Stores, boot: Option<&Boot>, looked: Looked, steps: Steps<'_>) -> Outcome {
    let mut status = Status::new(State::Unchanged);
    let in_force = stores.generations.load_in_force().unwrap_or_else(|error| {
        status.degraded.push(error.to_string());
        None
    });
    let unusable = !looked.problems.is_empty();
    let mut documents = documents(looked, in_force.as_ref(), &mut status);
    let fingerprints: Vec<String> = documents.iter().map(|found| fingerprint(found, &stores.key)).collect();
    let choice = chosen(stores, in_force.as_ref(), &documents, &fingerprints);
    let instead = in_force
        .as_ref()
        .and_then(|current| rollback::instead(&stores.generations, current, boot, &mut status));
    let in_force = instead.or(in_force);
    let effective = match choice {
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
            let made = Made {
                fingerprint: fingerprint.unwrap_or_default(),
                release: boot.map(Boot::release),
            };
            apply(stores, in_force, &found, made, &mut status, steps)
        }
    };
    Outcome { effective, status }
}

/// What stands for a document where there are only metadata.
const NO_DOCUMENT: &[u8] = b"schema = 1\n";

/// What a generation is known by, beside its source.
struct Made {
    fingerprint: String,
    release: Option<RootHash>,
}

/// Validates a document and commits it. Whatever goes wrong, what was in force stays.
fn apply(
    stores: &Stores,
    in_force: Option<Generation>,
    found: &Found,
    made: Made,
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
    match commit(stores, in_force.as_ref(), found, made, accepted, steps) {
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
    made: Made,
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
        fingerprint: made.fingerprint,
        release: made.release,
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
