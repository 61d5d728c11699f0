//! Root and targets on their way to being published: the newest of each, draft or not, and drafts signed with what is here.
//!
//! A change made to a draft is a change of the same version without its signatures: nobody has seen that version yet.

use std::path::PathBuf;

use anyhow::{Context, Result};
use jiff::Timestamp as Time;
use keelson_tuf::metadata::{Role, Root, Targets, Version};
use keelson_tuf::{Draft, Key, Unverified};
use serde::Serialize;

use super::keys::{Duty, KeyFolder};
use super::repository::Repository;
use super::roles;

/// The newest root; begins the first one, signed with what is here, if there is none.
///
/// # Errors
/// A file cannot be read, or there are too few keys for a first root.
pub fn root_or_first(repository: &Repository, keys: &KeyFolder, now: Time) -> Result<Root> {
    if let Some((root, _)) = root(repository)? {
        return Ok(root);
    }
    let public = |duty| Ok(keys.public(duty)?.into_values().collect());
    let first = roles::first_root(&public, now)?;
    stage(repository, keys, Duty::Root, &first)?;
    Ok(first)
}

/// The newest root and the version a change of it has.
///
/// # Errors
/// A file cannot be read.
pub fn root(repository: &Repository) -> Result<Option<(Root, Version)>> {
    if let Some((_, draft)) = repository.staged::<Root>()?.pop() {
        let root: Root = draft.content()?;
        let version = root.version;
        return Ok(Some((root, version)));
    }
    let Some(root) = repository.root()? else {
        return Ok(None);
    };
    Ok(Some((Root::clone(&root), repository.next_version("root")?)))
}

/// The newest targets as the version that a change of them has, with a new date.
///
/// # Errors
/// A file cannot be read, or is not signed by who may.
pub fn targets(repository: &Repository, now: Time) -> Result<Targets> {
    let mut targets = if let Some((_, draft)) = repository.staged::<Targets>()?.pop() {
        draft.content()?
    } else if let Some((version, bytes)) = repository.newest("targets")? {
        let root = repository.root()?.context("targets without a root")?;
        let read = Unverified::<Targets>::parse(bytes)?.verify(&root.keys, &root.roles.targets);
        let mut targets = Targets::clone(&*read.with_context(|| format!("{version}.targets.json"))?);
        targets.version = repository.next_version("targets")?;
        targets
    } else {
        roles::no_targets(now)
    };
    targets.expires = roles::expires("targets", now);
    Ok(targets)
}

/// Keeps a draft of the root, signed with the keys that are here.
///
/// # Errors
/// It cannot be written.
pub fn stage_root(repository: &Repository, keys: &KeyFolder, root: &Root) -> Result<PathBuf> {
    stage(repository, keys, Duty::Root, root)
}

/// Keeps a draft of the targets, signed with the keys that are here.
///
/// # Errors
/// It cannot be written.
pub fn stage_targets(repository: &Repository, keys: &KeyFolder, targets: &Targets) -> Result<PathBuf> {
    stage(repository, keys, Duty::Targets, targets)
}

fn stage<R: Role + Serialize>(repository: &Repository, keys: &KeyFolder, duty: Duty, content: &R) -> Result<PathBuf> {
    let mut draft = Draft::new(content)?;
    keys.secret(duty)?.iter().for_each(|key| draft.sign(key));
    repository.stage::<R>(&draft)
}

/// The keys that sign online.
#[must_use]
pub fn online_keys(root: &Root) -> Vec<Key> {
    let ids = root.roles.timestamp.keyids().iter();
    ids.filter_map(|id| root.keys.get(id).cloned()).collect()
}
