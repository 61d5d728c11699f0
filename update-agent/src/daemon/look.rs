//! Asking the repository: what the channel offers, and the signed description of it.

use std::path::Path;

use keelson_payload::manifest::MANIFEST_BYTES;
use keelson_payload::rollout::ROLLOUT_BYTES;
use keelson_payload::{Digest, Manifest, PartName, Patch, Rollout};
use keelson_tuf::metadata::Version;
use keelson_tuf::{Client, Clock, Error, Fetch, FileStore, Limits, Location, Store, StoreError, Target, TrustedSet};

use super::world::World;
use crate::agent::Failure;
use crate::agent::gates::is_newer;
use crate::words::chain;

/// A release that a channel offers: its description, and where its files are.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its description.
    pub manifest: Manifest,
    /// Files that carry root and boot entry in full.
    pub full: [Location; 2],
    /// The patch from the running release.
    pub patch: Option<(Patch, Location)>,
}

/// A view of a repository.
#[derive(Debug)]
pub struct View<F> {
    client: Client<F, FileStore>,
    set: TrustedSet,
    flavour: String,
}

/// Brings the view up to date.
///
/// # Errors
/// As [`failure`] tells them.
pub async fn refresh<F: Fetch>(world: &World, fetch: F, clock: Clock) -> Result<View<F>, Failure> {
    let root = world.trusted_root.as_deref().unwrap_or_default();
    let store = FileStore::open(&world.folder.join("tuf"), &world.folder.join("latest-time"));
    let mut store = store.map_err(|error| of_store(&error))?;
    keep_chain(&world.roots, &mut store).map_err(|error| of_store(&error))?;
    let client = Client::new(fetch, store, root, Limits::default());
    let mut client = client.map_err(|error| Failure::Signature {
        what: format!("the image's own root of trust: {}", chain(&error)),
    })?;
    let set = client.refresh(clock).await.map_err(|error| failure(&error))?;
    Ok(View {
        client,
        set,
        flavour: world.flavour.clone(),
    })
}

/// Puts the image's chain of roots where a release that the machine goes back to looks for it: with an older root of its
/// own it would otherwise depend on the repository to tell of later ones, and a thief of old keys would not.
fn keep_chain(folder: &Path, store: &mut FileStore) -> Result<(), StoreError> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        let version = name.strip_suffix(".root.json").and_then(|version| version.parse().ok());
        let version = version.and_then(Version::new);
        let Some((version, bytes)) = version.zip(std::fs::read(file.path()).ok()) else {
            continue;
        };
        if store.load_root(version)?.as_deref() != Some(bytes.as_slice()) {
            store.save_root(version, &bytes)?;
        }
    }
    Ok(())
}

impl<F: Fetch> View<F> {
    /// What the channel offers.
    ///
    /// # Errors
    /// The repository does not have it, or it is not to be believed.
    pub async fn rollout(&mut self, channel: &str) -> Result<Rollout, Failure> {
        let bytes = self.read(&format!("rollout/{channel}.json"), ROLLOUT_BYTES).await?;
        Rollout::parse(&bytes, channel).map_err(|error| Failure::Signature { what: chain(&error) })
    }

    /// What the channel offers to this machine, if it is newer than what runs: a version, and whether the channel is
    /// halted.
    ///
    /// # Errors
    /// As [`View::rollout`].
    pub async fn offered(&mut self, world: &World, channel: &str) -> Result<Option<(String, bool)>, Failure> {
        let rollout = self.rollout(channel).await?;
        let version = rollout.releases.get(&self.flavour).map(ToString::to_string);
        let newer = version.filter(|version| is_newer(version, &world.facts.release.version));
        Ok(newer.map(|version| (version, rollout.halt)))
    }

    /// The signed description of a release; `boot` is the digest of the running boot entry, without which no patch
    /// leads there.
    ///
    /// # Errors
    /// As [`View::rollout`].
    pub async fn release(&mut self, world: &World, version: &str, boot: Option<Digest>) -> Result<Release, Failure> {
        let folder = format!("releases/{}/{version}", self.flavour);
        let bytes = self.read(&format!("{folder}/manifest.json"), MANIFEST_BYTES).await?;
        let refused = |what: String| Failure::Signature { what };
        let manifest = Manifest::parse(&bytes).map_err(|error| refused(chain(&error)))?;
        if (manifest.flavour.as_str(), manifest.version.as_str()) != (self.flavour.as_str(), version) {
            let (flavour, found) = (&manifest.flavour, &manifest.version);
            return Err(refused(format!(
                "the description of {version} is that of {flavour} {found}"
            )));
        }
        let root = self.find(&format!("{folder}/{}.frames", PartName::Root)).await?;
        let entry = self.find(&format!("{folder}/{}.frames", PartName::Boot)).await?;
        let patch = boot.and_then(|boot| manifest.patch_from(world.root_hash(), boot));
        let patch = match patch.cloned() {
            None => None,
            Some(patch) => {
                let name = format!("{folder}/from-{}.patch", patch.from.version);
                Some((patch, self.find(&name).await?.location().clone()))
            }
        };
        Ok(Release {
            manifest,
            full: [root.location().clone(), entry.location().clone()],
            patch,
        })
    }

    async fn find(&mut self, name: &str) -> Result<Target, Failure> {
        let found = self
            .client
            .find(&self.set, name)
            .await
            .map_err(|error| failure(&error))?;
        found.ok_or_else(|| Failure::Signature {
            what: format!("the repository lists no {name}"),
        })
    }

    async fn read(&mut self, name: &str, limit: usize) -> Result<Vec<u8>, Failure> {
        let target = self.find(name).await?;
        let read = self.client.read(&target, limit as u64).await;
        read.map_err(|error| failure(&error))
    }
}

/// What the client says, as a reason to wait.
#[must_use]
pub fn failure(error: &Error) -> Failure {
    let what = chain(error);
    match error {
        Error::WaitsForTime => Failure::Time,
        Error::Fetch { .. } => Failure::Network { what },
        Error::Store(error) => of_store(error),
        Error::Write { .. } => Failure::Machine { what },
        Error::Refused(_)
        | Error::ManyRoots { .. }
        | Error::ManyDelegations { .. }
        | Error::TargetName { .. }
        | Error::LongTarget { .. } => Failure::Signature { what },
    }
}

fn of_store(error: &StoreError) -> Failure {
    let what = chain(error);
    match error.source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Failure::Room { what },
        _ => Failure::Machine { what },
    }
}
