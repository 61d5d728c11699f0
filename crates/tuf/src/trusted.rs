//! What a client may believe, given what it believes already: bytes and the time in, verified metadata or the reason
//! against it out. No I/O.
//!
//! Source: specification 1.0, section 5. Every file is verified before anything of it is used; a stored file is judged
//! by the same rules as one from the network.

use std::collections::BTreeMap;

use jiff::Timestamp as Time;

use crate::error::{Problem, Refused};
use crate::key::{Key, KeyId};
use crate::limits::Limits;
use crate::location::Location;
use crate::metadata::{
    DelegatedRole, Delegations, MetaFile, Role, RoleKeys, Root, Snapshot, Targets, Timestamp, Version,
};
use crate::verify::{Unverified, Verified};

/// All that was accepted in one run: one consistent, fresh view of the repository.
#[derive(Debug, Clone)]
pub struct TrustedSet {
    /// Who signs.
    pub root: Verified<Root>,
    /// Names the snapshot.
    pub timestamp: Verified<Timestamp>,
    /// Names targets and delegated roles.
    pub snapshot: Verified<Snapshot>,
    /// Names what may be downloaded.
    pub targets: Verified<Targets>,
    /// The one time the run is judged by.
    pub now: Time,
}

/// A timestamp of the repository beside the one that was known.
#[derive(Debug, Clone)]
pub enum Freshness {
    /// A newer one, to be stored.
    New(Verified<Timestamp>),
    /// The known one is the newest; whatever else the repository holds under its version is not looked at.
    Known(Verified<Timestamp>),
}

/// Trusts the root that came with the system.
///
/// # Errors
/// It is no root, or its own keys did not sign it.
pub fn first_root(file: &[u8]) -> Result<Verified<Root>, Refused> {
    let read = || Ok(Unverified::<Root>::parse(file)?.verify_first()?);
    read().map_err(in_file("the root this system came with"))
}

/// Version of the root after this one.
///
/// # Errors
/// None can come after it.
pub fn next_version(root: &Root) -> Result<Version, Refused> {
    let next = root.version.checked_add(1).ok_or(Problem::LastVersion);
    next.map_err(in_file("root.json"))
}

/// Trusts the next root: signed as its predecessor and as itself demand, and exactly one version on. It may be expired,
/// since another may follow.
///
/// # Errors
/// It is not.
pub fn next_root(known: &Verified<Root>, file: Vec<u8>) -> Result<Verified<Root>, Refused> {
    let expected = next_version(known)?;
    let read = || {
        let root = Unverified::<Root>::parse(file)?.verify_next(known)?;
        expect_version(&*root, expected)?;
        Ok(root)
    };
    read().map_err(in_file(&Location::metadata("root", Some(expected)).to_string()))
}

/// Whether another set of keys signs timestamp or snapshot now. Then both are forgotten: whoever stole the old keys
/// could have raised their versions beyond what the repository will ever reach.
#[must_use]
pub fn is_online_key_changed(old: &Root, new: &Root) -> bool {
    let keys = |root: &Root, role: &RoleKeys| -> Vec<_> {
        role.keyids()
            .iter()
            .map(|id| (id.clone(), root.keys.get(id).cloned()))
            .collect()
    };
    let signers =
        |root: &Root| [&root.roles.timestamp, &root.roles.snapshot].map(|role| (role.threshold(), keys(root, role)));
    signers(old) != signers(new)
}

/// The last root of the chain and the time: what the other roles are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    root: &'a Verified<Root>,
    now: Time,
    limits: &'a Limits,
}

impl<'a> Judge<'a> {
    /// Takes the last root of the chain.
    ///
    /// # Errors
    /// It is expired, or of a repository without consistent snapshots.
    pub fn new(root: &'a Verified<Root>, now: Time, limits: &'a Limits) -> Result<Judge<'a>, Refused> {
        let name = Location::metadata("root", Some(root.version)).to_string();
        expect_fresh(&**root, now).map_err(in_file(&name))?;
        match root.consistent_snapshot {
            true => Ok(Judge { root, now, limits }),
            false => Err(in_file(&name)(Problem::NotConsistent)),
        }
    }

    /// A stored timestamp, good for comparing with; it may be expired.
    ///
    /// # Errors
    /// The keys of today did not sign it.
    pub fn stored_timestamp(&self, file: Vec<u8>) -> Result<Verified<Timestamp>, Refused> {
        let read = || Ok(Unverified::parse(file)?.verify(&self.root.keys, &self.root.roles.timestamp)?);
        read().map_err(in_file("the stored timestamp.json"))
    }

    /// The repository's timestamp.
    ///
    /// # Errors
    /// It is not signed, goes back behind the known one or names an older snapshot, or it is expired; the known one is
    /// expired and there is no newer one.
    pub fn timestamp(&self, known: Option<Verified<Timestamp>>, file: Vec<u8>) -> Result<Freshness, Refused> {
        let judged = || {
            let offered = Unverified::<Timestamp>::parse(file)?.verify(&self.root.keys, &self.root.roles.timestamp)?;
            if let Some(known) = known {
                expect_no_rollback("timestamp.json", known.version, offered.version)?;
                if known.version == offered.version {
                    expect_fresh(&*known, self.now)?;
                    return Ok(Freshness::Known(known));
                }
                let (known, offered) = (known.snapshot().version, offered.snapshot().version);
                expect_no_rollback("snapshot.json", known, offered)?;
            }
            expect_fresh(&*offered, self.now)?;
            Ok(Freshness::New(offered))
        };
        judged().map_err(in_file("timestamp.json"))
    }

    /// Where the snapshot is that the timestamp names, and how long it can be.
    ///
    /// # Errors
    /// It is longer than a client takes.
    pub fn snapshot_location(&self, timestamp: &Timestamp) -> Result<(Location, u64), Refused> {
        locate("snapshot", timestamp.snapshot(), self.limits.snapshot)
    }

    /// A stored snapshot, good for comparing with; it may be expired, and older than the timestamp says.
    ///
    /// # Errors
    /// The keys of today did not sign it.
    pub fn stored_snapshot(&self, file: Vec<u8>) -> Result<Verified<Snapshot>, Refused> {
        let read = || Ok(Unverified::parse(file)?.verify(&self.root.keys, &self.root.roles.snapshot)?);
        read().map_err(in_file("the stored snapshot.json"))
    }

    /// The snapshot that the timestamp names.
    ///
    /// # Errors
    /// It is not that one, not signed, expired, or behind the known one in any of the files that one lists.
    pub fn snapshot(
        &self,
        timestamp: &Timestamp,
        known: Option<&Verified<Snapshot>>,
        file: Vec<u8>,
    ) -> Result<Verified<Snapshot>, Refused> {
        let listed = timestamp.snapshot();
        let judged = || {
            expect_bytes(listed, &file)?;
            let offered = Unverified::<Snapshot>::parse(file)?.verify(&self.root.keys, &self.root.roles.snapshot)?;
            expect_version(&*offered, listed.version)?;
            if let Some(known) = known {
                expect_nothing_behind(known, &offered)?;
            }
            expect_fresh(&*offered, self.now)?;
            Ok(offered)
        };
        judged().map_err(in_file(
            &Location::metadata("snapshot", Some(listed.version)).to_string(),
        ))
    }

    /// Where the targets are that the snapshot names, and how long they can be.
    ///
    /// # Errors
    /// It does not name them, or they are longer than a client takes.
    pub fn targets_location(&self, snapshot: &Snapshot) -> Result<(Location, u64), Refused> {
        locate("targets", listing(snapshot, "targets")?, self.limits.targets)
    }

    /// The targets that the snapshot names.
    ///
    /// # Errors
    /// They are not those, not signed or expired.
    pub fn targets(&self, snapshot: &Snapshot, file: Vec<u8>) -> Result<Verified<Targets>, Refused> {
        let signers = (&self.root.keys, &self.root.roles.targets);
        expect_targets("targets", listing(snapshot, "targets")?, signers, file, self.now)
    }
}

impl TrustedSet {
    /// Where the metadata of a delegated role is, and how long it can be.
    ///
    /// # Errors
    /// The snapshot does not list it, or it is longer than a client takes.
    pub fn delegated_location(&self, role: &str, limits: &Limits) -> Result<(Location, u64), Refused> {
        locate(role, listing(&self.snapshot, role)?, limits.targets)
    }

    /// The metadata of a delegated role, judged by the delegation it was reached through this time: what another
    /// delegation accepted says nothing.
    ///
    /// # Errors
    /// It is not what the snapshot lists, not signed as this delegation demands, or expired.
    pub fn delegated(
        &self,
        delegations: &Delegations,
        role: &DelegatedRole,
        file: Vec<u8>,
    ) -> Result<Verified<Targets>, Refused> {
        let listed = listing(&self.snapshot, &role.name)?;
        expect_targets(&role.name, listed, (&delegations.keys, &role.keys), file, self.now)
    }
}

fn in_file(name: &str) -> impl Fn(Problem) -> Refused {
    move |problem| Refused {
        file: name.to_owned(),
        problem,
    }
}

fn listing<'a>(snapshot: &'a Snapshot, role: &str) -> Result<&'a MetaFile, Refused> {
    let name = format!("{role}.json");
    snapshot
        .meta
        .get(&name)
        .ok_or_else(|| in_file(&name)(Problem::NotListed))
}

fn locate(role: &str, listed: &MetaFile, limit: u64) -> Result<(Location, u64), Refused> {
    let location = Location::metadata(role, Some(listed.version));
    match listed.length {
        Some(length) if length > limit => Err(in_file(location.path())(Problem::TooLong { limit })),
        length => Ok((location, length.unwrap_or(limit))),
    }
}

fn expect_targets(
    role: &str,
    listed: &MetaFile,
    (keys, signers): (&BTreeMap<KeyId, Key>, &RoleKeys),
    file: Vec<u8>,
    now: Time,
) -> Result<Verified<Targets>, Refused> {
    let judged = || {
        expect_bytes(listed, &file)?;
        let targets = Unverified::<Targets>::parse(file)?.verify(keys, signers)?;
        expect_version(&*targets, listed.version)?;
        expect_fresh(&*targets, now)?;
        Ok(targets)
    };
    judged().map_err(in_file(&Location::metadata(role, Some(listed.version)).to_string()))
}

fn expect_bytes(listed: &MetaFile, file: &[u8]) -> Result<(), Problem> {
    if let Some(hashes) = &listed.hashes {
        let mut check = hashes.check(listed.length)?;
        check.update(file)?;
        check.finish()?;
    }
    Ok(())
}

fn expect_version(file: &impl Role, expected: Version) -> Result<(), Problem> {
    let found = file.version();
    match found == expected {
        true => Ok(()),
        false => Err(Problem::Version { expected, found }),
    }
}

fn expect_fresh(file: &impl Role, now: Time) -> Result<(), Problem> {
    let expired = file.expires();
    match now < expired {
        true => Ok(()),
        false => Err(Problem::Expired { expired, now }),
    }
}

fn expect_no_rollback(what: &str, known: Version, offered: Version) -> Result<(), Problem> {
    let what = what.to_owned();
    match offered >= known {
        true => Ok(()),
        false => Err(Problem::Rollback { what, known, offered }),
    }
}

/// Every file that the known snapshot lists, also one that no role names any more.
fn expect_nothing_behind(known: &Snapshot, offered: &Snapshot) -> Result<(), Problem> {
    for (what, known) in &known.meta {
        let Some(offered) = offered.meta.get(what) else {
            let (what, known) = (what.clone(), known.version);
            return Err(Problem::Vanished { what, known });
        };
        expect_no_rollback(what, known.version, offered.version)?;
    }
    Ok(())
}
