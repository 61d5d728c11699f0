//! What the metadata of a repository says: who signs, what is released, what belongs together now. Pure.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp as Time};
use keelson_tuf::metadata::{
    DelegatedRole, Delegations, Paths, RoleKeys, Root, RootRoles, SpecVersion, Targets, Version,
};
use keelson_tuf::{Key, KeyId};

use super::keys::Duty;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Who signs the offline roles is good for a year: whoever has the keys must meet that often.
const OFFLINE: SignedDuration = SignedDuration::from_hours(365 * 24);
/// What belongs together.
const SNAPSHOT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// When what is signed at `now` expires, to the second.
#[must_use]
pub fn expires(role: &str, now: Time) -> Time {
    let good_for = match role {
        "root" | "targets" => OFFLINE,
        "snapshot" => SNAPSHOT,
        // Timestamp and rollouts: a machine that hears nothing new for a day knows it.
        _ => DAY,
    };
    let second = Time::from_second(now.as_second()).unwrap_or(now);
    second.saturating_add(good_for).unwrap_or(second)
}

/// The role of a channel's offer.
#[must_use]
pub fn rollout_role(channel: &str) -> String {
    format!("rollout-{channel}")
}

/// The target with a channel's offer.
#[must_use]
pub fn rollout_target(channel: &str) -> String {
    format!("rollout/{channel}.json")
}

/// The first root, with the keys of each duty.
///
/// # Errors
/// There are fewer keys than must sign.
pub fn first_root(keys: &dyn Fn(Duty) -> Result<Vec<Key>>, now: Time) -> Result<Root> {
    let mut table = BTreeMap::new();
    let mut role = |duty: Duty| {
        let threshold = duty.keys_and_threshold().1;
        let keys = with_ids(keys(duty)?)?;
        ensure!(
            keys.len() >= threshold as usize,
            "{threshold} keys must sign for {duty}, {} are in the folder; `os-build keys FOLDER` makes them",
            keys.len()
        );
        let role = RoleKeys::new(threshold, keys.keys().cloned())?;
        table.extend(keys);
        Ok::<_, anyhow::Error>(role)
    };
    let (root, targets, online) = (role(Duty::Root)?, role(Duty::Targets)?, role(Duty::Online)?);
    Ok(Root {
        spec_version: SpecVersion::default(),
        version: Version::MIN,
        expires: expires("root", now),
        consistent_snapshot: true,
        keys: table,
        roles: RootRoles {
            root,
            targets,
            snapshot: online.clone(),
            timestamp: online,
        },
    })
}

/// `root` as version `version`, in which a key joins a duty or leaves it. The same root with a new date if neither.
///
/// # Errors
/// The key is there already, or not there, or too few would be left.
pub fn next_root(root: &Root, version: Version, change: Option<(Duty, Change)>, now: Time) -> Result<Root> {
    let mut next = root.clone();
    next.version = version;
    next.expires = expires("root", now);
    let Some((duty, change)) = change else {
        return Ok(next);
    };
    let old = match duty {
        Duty::Root => &root.roles.root,
        Duty::Targets => &root.roles.targets,
        Duty::Online => &root.roles.timestamp,
    };
    let changed = changed(old, &change).with_context(|| format!("duty {duty}"))?;
    match duty {
        Duty::Root => next.roles.root = changed,
        Duty::Targets => next.roles.targets = changed,
        Duty::Online => (next.roles.timestamp, next.roles.snapshot) = (changed.clone(), changed),
    }
    if let Change::Join(key) = change {
        next.keys.insert(key.id().context("a key without an id")?, key);
    }
    let roles = next.roles.clone();
    let used = [&roles.root, &roles.targets, &roles.snapshot, &roles.timestamp];
    next.keys
        .retain(|id, _| used.iter().any(|role| role.keyids().contains(id)));
    Ok(next)
}

/// What happens to a key of a duty.
#[derive(Debug, Clone)]
pub enum Change {
    /// It signs from now on.
    Join(Key),
    /// It does not sign any more.
    Leave(Key),
}

fn changed(role: &RoleKeys, change: &Change) -> Result<RoleKeys> {
    let mut ids = role.keyids().to_vec();
    match change {
        Change::Join(key) => {
            let id = key.id().context("a key without an id")?;
            ensure!(!ids.contains(&id), "the key signs already");
            ids.push(id);
        }
        Change::Leave(key) => {
            let id = key.id().context("a key without an id")?;
            ensure!(ids.contains(&id), "the key does not sign");
            ids.retain(|other| *other != id);
            ensure!(
                ids.len() >= role.threshold() as usize,
                "{} keys would be left and {} must sign; add one first",
                ids.len(),
                role.threshold()
            );
        }
    }
    Ok(RoleKeys::new(role.threshold(), ids)?)
}

/// Targets without any release.
#[must_use]
pub fn no_targets(now: Time) -> Targets {
    Targets {
        spec_version: SpecVersion::default(),
        version: Version::MIN,
        expires: expires("targets", now),
        targets: BTreeMap::new(),
        delegations: None,
    }
}

/// Lets `online` sign for the offers of all of `channels`.
///
/// # Errors
/// A key has no id, or a channel's name is part of no file name.
pub fn delegate(targets: &mut Targets, channels: &[String], online: Vec<Key>) -> Result<()> {
    let keys = with_ids(online)?;
    let role = |channel: &String| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        ensure!(
            (1..=32).contains(&channel.len()) && channel.bytes().all(plain),
            "{channel:?} is no name of a channel: 1 to 32 of a-z, 0-9 and -"
        );
        Ok(DelegatedRole {
            name: rollout_role(channel),
            keys: RoleKeys::new(1, keys.keys().cloned())?,
            terminating: true,
            paths: Paths::Patterns(vec![rollout_target(channel).parse()?]),
        })
    };
    let roles = channels.iter().map(role).collect::<Result<_>>()?;
    targets.delegations = Some(Delegations { keys, roles });
    Ok(())
}

/// The channels that offers are signed for.
#[must_use]
pub fn channels(targets: &Targets) -> Vec<String> {
    let roles = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
    roles
        .filter_map(|role| role.name.strip_prefix("rollout-").map(str::to_owned))
        .collect()
}

fn with_ids(keys: Vec<Key>) -> Result<BTreeMap<KeyId, Key>> {
    let with_id = |key: Key| Ok((key.id().context("a key without an id")?, key));
    keys.into_iter().map(with_id).collect()
}
