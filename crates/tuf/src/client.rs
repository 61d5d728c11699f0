//! One run of the client: from the root that came with the system to a trusted set, over a repository and a store.

use std::io;

use crate::clock::{Clock, decide_now, is_later};
use crate::error::{Error, FetchError, Refused};
use crate::fetch::{Body, Fetch, named, whole};
use crate::limits::Limits;
use crate::location::Location;
use crate::metadata::{Root, Snapshot, Targets, Timestamp};
use crate::search::Target;
use crate::store::Store;
use crate::trusted::{self, Freshness, Judge, TrustedSet};
use crate::verify::Verified;

/// A client of one repository.
#[derive(Debug)]
pub struct Client<F, S> {
    pub(crate) fetch: F,
    pub(crate) store: S,
    pub(crate) limits: Limits,
    first_root: Verified<Root>,
}

impl<F: Fetch, S: Store> Client<F, S> {
    /// A client that trusts this root, and whatever roots it leads to. The store is only a cache of what can be
    /// verified from it.
    ///
    /// # Errors
    /// It is no root, or its own keys did not sign it.
    pub fn new(fetch: F, store: S, root: &[u8], limits: Limits) -> Result<Client<F, S>, Refused> {
        let first_root = trusted::first_root(root)?;
        Ok(Client {
            fetch,
            store,
            limits,
            first_root,
        })
    }

    /// Brings the view of the repository up to date. Each file is stored as soon as it is trusted.
    ///
    /// # Errors
    /// `WaitsForTime` with a clock that is not trusted; nothing is asked then. Otherwise the file that is not believed
    /// or cannot be had.
    pub async fn refresh(&mut self, clock: Clock) -> Result<TrustedSet, Error> {
        let latest = self.store.latest_time();
        let now = decide_now(clock, latest).ok_or(Error::WaitsForTime)?;
        let root = self.refresh_root().await?;
        let limits = self.limits;
        let judge = Judge::new(&root, now, &limits)?;
        let timestamp = self.refresh_timestamp(&judge).await?;
        let snapshot = self.refresh_snapshot(&judge, &timestamp).await?;
        let targets = self.refresh_targets(&judge, &snapshot).await?;
        if is_later(now, latest) {
            self.store.save_latest_time(now)?;
        }
        Ok(TrustedSet {
            root,
            timestamp,
            snapshot,
            targets,
            now,
        })
    }

    /// Walks from root to root until the repository has no further one.
    async fn refresh_root(&mut self) -> Result<Verified<Root>, Error> {
        let mut root = self.stored_roots()?;
        for _ in 0..self.limits.new_roots {
            let location = Location::metadata("root", Some(trusted::next_version(&root)?));
            let file = match whole(&self.fetch, &location, self.limits.root).await {
                Err(Error::Fetch {
                    source: FetchError::NotFound,
                    ..
                }) => return Ok(root),
                other => other?,
            };
            let next = trusted::next_root(&root, file)?;
            self.keep_root(&root, &next)?;
            log::info!(version = next.version.get(); "new root of the repository");
            root = next;
        }
        let limit = self.limits.new_roots;
        Err(Error::ManyRoots { limit })
    }

    /// As far as the chain is stored and right.
    fn stored_roots(&self) -> Result<Verified<Root>, Error> {
        let mut root = self.first_root.clone();
        while let Some(file) = self.store.load_root(trusted::next_version(&root)?)? {
            match trusted::next_root(&root, file) {
                Ok(next) => root = next,
                Err(error) => {
                    log::warn!("a stored root is fetched anew: {error}");
                    break;
                }
            }
        }
        Ok(root)
    }

    /// What a change of keys makes void goes first: a power cut must not leave the new root with the old files.
    fn keep_root(&mut self, old: &Root, new: &Verified<Root>) -> Result<(), Error> {
        if trusted::is_online_key_changed(old, new) {
            self.store.remove("timestamp")?;
            self.store.remove("snapshot")?;
        }
        self.store.save_root(new.version, new.bytes())?;
        Ok(self.store.save("root", new.bytes())?)
    }

    async fn refresh_timestamp(&mut self, judge: &Judge<'_>) -> Result<Verified<Timestamp>, Error> {
        let known = self.stored("timestamp", |file| judge.stored_timestamp(file))?;
        let location = Location::metadata("timestamp", None);
        let file = whole(&self.fetch, &location, self.limits.timestamp).await?;
        match judge.timestamp(known, file)? {
            Freshness::Known(timestamp) => Ok(timestamp),
            Freshness::New(timestamp) => {
                self.store.save("timestamp", timestamp.bytes())?;
                Ok(timestamp)
            }
        }
    }

    async fn refresh_snapshot(
        &mut self,
        judge: &Judge<'_>,
        timestamp: &Timestamp,
    ) -> Result<Verified<Snapshot>, Error> {
        let (location, limit) = judge.snapshot_location(timestamp)?;
        if let Some(current) = self.stored("snapshot", |file| judge.snapshot(timestamp, None, file))? {
            return Ok(current);
        }
        let known = self.stored("snapshot", |file| judge.stored_snapshot(file))?;
        let file = whole(&self.fetch, &location, limit).await?;
        let snapshot = judge.snapshot(timestamp, known.as_ref(), file)?;
        self.store.save("snapshot", snapshot.bytes())?;
        Ok(snapshot)
    }

    async fn refresh_targets(&mut self, judge: &Judge<'_>, snapshot: &Snapshot) -> Result<Verified<Targets>, Error> {
        let (location, limit) = judge.targets_location(snapshot)?;
        if let Some(current) = self.stored("targets", |file| judge.targets(snapshot, file))? {
            return Ok(current);
        }
        let file = whole(&self.fetch, &location, limit).await?;
        let targets = judge.targets(snapshot, file)?;
        self.store.save("targets", targets.bytes())?;
        Ok(targets)
    }

    /// A stored file, if there is one that passes; one that does not is fetched anew.
    pub(crate) fn stored<R>(
        &self,
        role: &str,
        judge: impl Fn(Vec<u8>) -> Result<Verified<R>, Refused>,
    ) -> Result<Option<Verified<R>>, Error> {
        let Some(file) = self.store.load(role)? else {
            return Ok(None);
        };
        let judged = judge(file).inspect_err(|error| log::debug!("stored metadata is not used: {error}"));
        Ok(judged.ok())
    }

    /// Downloads a target into `out`, checking length and hash as it comes. On an error everything that was written is
    /// to be thrown away.
    ///
    /// # Errors
    /// It cannot be had, is not what was signed, or cannot be written.
    pub async fn download<W: io::Write + Send>(&self, target: &Target, out: &mut W) -> Result<(), Error> {
        let location = target.location();
        let refused = |mismatch| target.refused(mismatch);
        let mut check = target.check().map_err(refused)?;
        let mut body = self.fetch.open(location).await.map_err(named(location))?;
        while let Some(chunk) = body.chunk().await.map_err(named(location))? {
            check.update(&chunk).map_err(refused)?;
            out.write_all(&chunk).map_err(|source| target.unwritten(source))?;
        }
        check.finish().map_err(refused)?;
        Ok(())
    }

    /// Downloads a small target into memory.
    ///
    /// # Errors
    /// It has more than `limit` bytes, cannot be had, or is not what was signed.
    pub async fn read(&self, target: &Target, limit: u64) -> Result<Vec<u8>, Error> {
        target.expect_at_most(limit)?;
        let mut bytes = Vec::new();
        self.download(target, &mut bytes).await?;
        Ok(bytes)
    }
}
