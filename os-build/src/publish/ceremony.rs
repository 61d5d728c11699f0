//! Changes of who signs. Each is a draft of the next root (and of the targets where they depend on it), signed with what is
//! here, that `os-build rollout` publishes once it has its signatures.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp as Time;
use keelson_tuf::metadata::{Root, Targets};
use keelson_tuf::{Draft, Key};

use super::keys::{Duty, KeyFolder};
use super::release::describe;
use super::repository::Repository;
use super::roles::{self, Change};
use super::{drafts, offer};

/// Begins a repository: its first root, which images are made with. Published at once if it can be signed here.
///
/// # Errors
/// There is a root already, or there are too few keys.
pub fn begin(repository: &Repository, keys: &KeyFolder, now: Time) -> Result<String> {
    ensure!(drafts::root(repository)?.is_none(), "the repository has a root already");
    drafts::root_or_first(repository, keys, now)?;
    if !offer::waiting(repository, keys)?.is_empty() {
        return left(repository, keys);
    }
    offer::publish_root(repository, keys)?;
    Ok("metadata/1.root.json is what images are made with (--update-root)\n".to_owned())
}

/// A new key, or `public` of somebody else, joins a duty. What it signs counts once the new root is published; nothing
/// that was signed before becomes invalid.
///
/// # Errors
/// The key is known, or a file cannot be read or written.
pub fn add(repository: &Repository, keys: &KeyFolder, duty: Duty, public: Option<&Path>, now: Time) -> Result<String> {
    let name = match public {
        Some(file) => keys.add_public(duty, file)?,
        None => keys.add(duty)?,
    };
    let key = keys.named(&name)?;
    change(repository, keys, duty, Some(Change::Join(key)), now)?;
    Ok(format!(
        "{name} signs for {duty} from the next root on\n{}",
        left(repository, keys)?
    ))
}

/// The key called `name` leaves its duty. What it signed is signed anew by the others.
///
/// # Errors
/// It has no duty, or too few would be left.
pub fn retire(repository: &Repository, keys: &KeyFolder, name: &str, now: Time) -> Result<String> {
    let duty = name.rsplit_once('-').map_or(name, |(duty, _)| duty);
    let duty: Duty = duty.parse().map_err(anyhow::Error::msg)?;
    let key: Key = keys.named(name)?;
    change(repository, keys, duty, Some(Change::Leave(key)), now)?;
    Ok(format!(
        "{name} does not sign for {duty} from the next root on\n{}",
        left(repository, keys)?
    ))
}

/// Root or targets with a new date.
///
/// # Errors
/// Nothing has been released, or a file cannot be read or written.
pub fn renew(repository: &Repository, keys: &KeyFolder, duty: Duty, now: Time) -> Result<String> {
    match duty {
        Duty::Root => change(repository, keys, duty, None, now)?,
        Duty::Targets => drop(drafts::stage_targets(
            repository,
            keys,
            &drafts::targets(repository, now)?,
        )?),
        Duty::Online => anyhow::bail!("`os-build rollout --refresh` signs anew what is signed online"),
    }
    left(repository, keys)
}

/// Signs a draft with the keys of the folder, and says what it is.
///
/// # Errors
/// The file is no draft, or no key for it is here.
pub fn sign(file: &Path, keys: &KeyFolder) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let draft = Draft::read::<Root>(&bytes).or_else(|_| Draft::read::<Targets>(&bytes));
    let mut draft = draft.with_context(|| format!("{} is no draft of a root or of targets", file.display()))?;
    let (duty, text) = describe(&draft, keys)?;
    let secret = keys.secret(duty)?;
    ensure!(
        !secret.is_empty(),
        "no secret half of a key for {duty} is in the folder of keys"
    );
    secret.iter().for_each(|key| draft.sign(key));
    keelson_durable::replace(file, &draft.to_bytes(), 0o644)?;
    let signers: Vec<String> = draft.signers().map(|id| keys.name_of(id)).collect();
    Ok(format!("{text}signed by {}\n", signers.join(", ")))
}

fn change(repository: &Repository, keys: &KeyFolder, duty: Duty, change: Option<Change>, now: Time) -> Result<()> {
    let (root, version) = drafts::root(repository)?.context("the repository is empty; `os-build release` begins it")?;
    let leaves = matches!(change, Some(Change::Leave(_)));
    let changed = change.is_some();
    let next = roles::next_root(&root, version, change.map(|change| (duty, change)), now)?;
    // The targets name the online keys, and count by the signatures of those that stay.
    let needs_targets = (duty == Duty::Online && changed) || (duty == Duty::Targets && leaves);
    if needs_targets {
        let mut targets = drafts::targets(repository, now)?;
        let channels = roles::channels(&targets);
        roles::delegate(&mut targets, &channels, drafts::online_keys(&next))?;
        drafts::stage_targets(repository, keys, &targets)?;
    }
    drafts::stage_root(repository, keys, &next)?;
    Ok(())
}

fn left(repository: &Repository, keys: &KeyFolder) -> Result<String> {
    let mut lines = offer::waiting(repository, keys)?;
    lines.push("then: os-build rollout --refresh".to_owned());
    Ok(lines.join("\n") + "\n")
}
