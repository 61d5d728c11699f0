//! What is signed online: the offer of each channel, and which files belong together now.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp as Time;
use keelson_payload::Rollout;
use keelson_payload::rollout::FORMAT;
use keelson_tuf::metadata::{MetaFile, Role, Root, Snapshot, SpecVersion, Targets, Timestamp};
use keelson_tuf::{Draft, SigningKey, TooFewSignatures, Unverified, Verified};

use super::keys::{Duty, KeyFolder};
use super::repository::{Repository, file_name};
use super::roles::{channels, expires, rollout_role, rollout_target};
use super::{drafts, listing};

const OUTDATED: &str = "does not count with the keys of today; `os-build keys renew targets` signs it anew";

/// What changes in the offer of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A release by flavour and version.
    Offer(String, keelson_payload::Version),
    /// Nobody takes the offer any further.
    Halt,
    /// The offer stands again.
    Resume,
}

/// Publishes drafts that have their signatures, then signs everything online anew, with `changes` to the offers.
///
/// # Errors
/// A draft lacks signatures or the online key is missing, and nothing is published; or an offer names a release that is not
/// there, and machines see what they saw before.
pub fn publish(repository: &Repository, keys: &KeyFolder, changes: &[(String, Change)], now: Time) -> Result<()> {
    let waiting = waiting(repository, keys)?;
    ensure!(waiting.is_empty(), waiting.join("\n"));
    let (root, _) = drafts::root(repository)?.context("the repository is empty; `os-build release` begins it")?;
    let online = Online::of(keys, &root)?;
    let root = publish_root(repository, keys)?;
    let targets = publish_targets(repository, keys, &root)?;
    let mut meta = BTreeMap::new();
    let (version, bytes) = (targets.version, targets.bytes());
    meta.insert("targets.json".to_owned(), MetaFile::describe(version, bytes));
    let known = channels(&targets);
    for (channel, _) in changes {
        ensure!(
            known.contains(channel),
            "there is no channel {channel:?}, only {}; a release opens one",
            known.join(", ")
        );
    }
    for channel in known {
        let mut offer = current(repository, &targets, &channel)?;
        let own = changes.iter().filter(|(of, _)| *of == channel);
        own.for_each(|(_, change)| apply(&mut offer, change));
        check(&offer, &targets)?;
        let (name, described) = sign_offer(repository, &online, &channel, &offer, now)?;
        meta.insert(name, described);
    }
    let version = repository.next_version("snapshot")?;
    let snapshot = Snapshot {
        spec_version: SpecVersion::default(),
        version,
        expires: expires("snapshot", now),
        meta,
    };
    let snapshot = online.sign(Draft::new(&snapshot)?);
    repository.publish(&file_name(version.get(), "snapshot"), &snapshot)?;
    // Its own file name has no version; both always advance together.
    let timestamp = Timestamp::new(
        version,
        expires("timestamp", now),
        MetaFile::describe(version, &snapshot),
    );
    repository.publish("timestamp.json", &online.sign(Draft::new(&timestamp)?))
}

/// Drafts that lack signatures, and who signed them, for people.
///
/// # Errors
/// A file cannot be read.
pub fn waiting(repository: &Repository, keys: &KeyFolder) -> Result<Vec<String>> {
    let mut waiting = Vec::new();
    let mut newest = repository.root()?;
    for (path, draft) in repository.staged::<Root>()? {
        match next_root(newest.as_ref(), &draft)? {
            Ok(root) => newest = Some(root),
            Err(_) => waiting.push(signed_by(&path, &draft, keys)),
        }
    }
    let Some(root) = newest else { return Ok(waiting) };
    let counts = |bytes: Vec<u8>| {
        let targets = Unverified::<Targets>::parse(bytes)?;
        Ok::<_, anyhow::Error>(targets.verify(&root.keys, &root.roles.targets).is_ok())
    };
    let staged = repository.staged::<Targets>()?;
    for (path, draft) in &staged {
        if !counts(draft.to_bytes())? {
            waiting.push(signed_by(path, draft, keys));
        }
    }
    if let (true, Some((version, bytes))) = (staged.is_empty(), repository.newest("targets")?)
        && !counts(bytes)?
    {
        waiting.push(format!("{version}.targets.json {OUTDATED}"));
    }
    Ok(waiting)
}

/// Publishes drafts of the root that have their signatures; the newest that counts.
///
/// # Errors
/// A draft lacks signatures, or there is no root.
pub fn publish_root(repository: &Repository, keys: &KeyFolder) -> Result<Verified<Root>> {
    let mut newest = repository.root()?;
    for (path, draft) in repository.staged::<Root>()? {
        let next = next_root(newest.as_ref(), &draft)?;
        newest = Some(next.with_context(|| signed_by(&path, &draft, keys))?);
        repository.publish_staged(&path)?;
    }
    newest.context("the repository is empty; `os-build release` begins it")
}

fn next_root(previous: Option<&Verified<Root>>, draft: &Draft) -> Result<Result<Verified<Root>, TooFewSignatures>> {
    let next = Unverified::<Root>::parse(draft.to_bytes())?;
    Ok(match previous {
        Some(previous) => next.verify_next(previous),
        None => next.verify_first(),
    })
}

fn publish_targets(repository: &Repository, keys: &KeyFolder, root: &Verified<Root>) -> Result<Verified<Targets>> {
    for (path, draft) in repository.staged::<Targets>()? {
        let next = Unverified::<Targets>::parse(draft.to_bytes())?;
        next.verify(&root.keys, &root.roles.targets)
            .with_context(|| signed_by(&path, &draft, keys))?;
        repository.publish_staged(&path)?;
    }
    let (version, bytes) = repository.newest("targets")?.context("nothing has been released yet")?;
    let newest = Unverified::<Targets>::parse(bytes)?.verify(&root.keys, &root.roles.targets);
    newest.with_context(|| format!("{version}.targets.json {OUTDATED}"))
}

fn signed_by(path: &Path, draft: &Draft, keys: &KeyFolder) -> String {
    let signers: Vec<String> = draft.signers().map(|id| keys.name_of(id)).collect();
    let so_far = if signers.is_empty() {
        "nobody".to_owned()
    } else {
        signers.join(", ")
    };
    format!(
        "{} waits for signatures, so far of {so_far} (`os-build keys sign`, by each signer)",
        path.display()
    )
}

/// The online key that is here and counts.
struct Online(SigningKey);

impl Online {
    fn of(keys: &KeyFolder, root: &Root) -> Result<Online> {
        let counts = |key: &SigningKey| root.roles.timestamp.keyids().contains(&key.id());
        let mut secret = keys.secret(Duty::Online)?;
        // The newest: one that has just joined takes over.
        let found = secret.iter().rposition(counts).map(|at| secret.swap_remove(at));
        Ok(Online(found.context(
            "no secret half of an online key that the root lists is in the folder of keys",
        )?))
    }

    fn sign(&self, mut draft: Draft) -> Vec<u8> {
        draft.sign(&self.0);
        draft.to_bytes()
    }
}

/// The offer as it was last published.
pub(super) fn current(repository: &Repository, targets: &Targets, channel: &str) -> Result<Rollout> {
    let role = rollout_role(channel);
    let Some((version, bytes)) = repository.newest(&role)? else {
        return Ok(Rollout {
            format: FORMAT,
            min_reader: FORMAT,
            channel: channel.to_owned(),
            halt: false,
            releases: BTreeMap::new(),
            waves: Vec::new(),
        });
    };
    let delegations = targets.delegations.as_ref().context("nobody may sign offers")?;
    let delegated = delegations.roles.iter().find(|delegated| delegated.name == role);
    let delegated = delegated.with_context(|| format!("nobody may sign for channel {channel}"))?;
    let signed = Unverified::<Targets>::parse(bytes)?.verify(&delegations.keys, &delegated.keys);
    let signed = signed.with_context(|| file_name(version, &role))?;
    let bytes = repository.read_target(&signed, &rollout_target(channel))?;
    Ok(Rollout::parse(&bytes, channel)?)
}

fn apply(offer: &mut Rollout, change: &Change) {
    match change {
        Change::Offer(flavour, version) => drop(offer.releases.insert(flavour.clone(), version.clone())),
        Change::Halt => offer.halt = true,
        Change::Resume => offer.halt = false,
    }
}

fn check(offer: &Rollout, targets: &Targets) -> Result<()> {
    for (flavour, version) in &offer.releases {
        let name = listing::target(flavour, version, listing::MANIFEST);
        ensure!(
            targets.targets.contains_key(&name),
            "channel {} cannot offer {flavour} {version}: the metadata has no {name}",
            offer.channel
        );
    }
    Ok(())
}

/// Signs and publishes an offer; its entry in the snapshot.
fn sign_offer(
    repository: &Repository,
    online: &Online,
    channel: &str,
    offer: &Rollout,
    now: Time,
) -> Result<(String, MetaFile)> {
    let role = rollout_role(channel);
    let described = repository.put_target(&rollout_target(channel), &offer.to_bytes())?;
    let signed = Targets {
        spec_version: SpecVersion::default(),
        version: repository.next_version(&role)?,
        expires: expires(&role, now),
        targets: BTreeMap::from([(rollout_target(channel), described)]),
        delegations: None,
    };
    let bytes = online.sign(Draft::new(&signed)?);
    repository.publish(&file_name(signed.version().get(), &role), &bytes)?;
    Ok((format!("{role}.json"), MetaFile::describe(signed.version, &bytes)))
}
