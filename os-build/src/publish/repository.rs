//! The repository as files: published metadata, targets, and drafts that wait for signatures.
//!
//! ```text
//! metadata/N.root.json  timestamp.json  N.snapshot.json  N.targets.json  N.rollout-CHANNEL.json
//! targets/FOLDER/HASH.NAME
//! staged/N.root.json  N.targets.json     not published yet
//! ```
//! Every file but `timestamp.json` is written once. That one is replaced last, so that whoever reads meanwhile sees the old
//! state or the new one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use keelson_tuf::metadata::{Role, Root, TargetFile, Targets, Version};
use keelson_tuf::{Draft, Unverified, Verified};

/// A folder that is served.
#[derive(Debug, Clone)]
pub struct Repository {
    path: PathBuf,
}

const METADATA: &str = "metadata";
const STAGED: &str = "staged";

impl Repository {
    /// The repository in `path`, which may not exist yet.
    #[must_use]
    pub fn at(path: &Path) -> Repository {
        Repository { path: path.to_owned() }
    }

    /// The newest published root; `None` if nothing was published.
    ///
    /// # Errors
    /// It cannot be read, or its own keys did not sign it.
    pub fn root(&self) -> Result<Option<Verified<Root>>> {
        let Some((version, bytes)) = self.newest("root")? else {
            return Ok(None);
        };
        let name = file_name(version, "root");
        let root = Unverified::<Root>::parse(bytes).with_context(|| name.clone())?;
        Ok(Some(root.verify_first().context(name)?))
    }

    /// The newest published file of a role: its version and bytes.
    ///
    /// # Errors
    /// A folder or file cannot be read.
    pub fn newest(&self, role: &str) -> Result<Option<(u64, Vec<u8>)>> {
        let Some(version) = versions(&self.path.join(METADATA), role)?.into_iter().max() else {
            return Ok(None);
        };
        Ok(Some((version, read(&self.metadata(&file_name(version, role)))?)))
    }

    /// The version that comes after the newest published one.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn next_version(&self, role: &str) -> Result<Version> {
        let newest = versions(&self.path.join(METADATA), role)?
            .into_iter()
            .max()
            .unwrap_or(0);
        Version::new(newest + 1).context("no version left")
    }

    /// Drafts of a role in the order of their versions.
    ///
    /// # Errors
    /// A file cannot be read or is of another role.
    pub fn staged<R: Role>(&self) -> Result<Vec<(PathBuf, Draft)>> {
        let mut versions = versions(&self.path.join(STAGED), R::TYPE)?;
        versions.sort_unstable();
        let path = |version| self.path.join(STAGED).join(file_name(version, R::TYPE));
        let read = |version| {
            let path = path(version);
            let draft = Draft::read::<R>(&read(&path)?).with_context(|| path.display().to_string())?;
            Ok((path, draft))
        };
        versions.into_iter().map(read).collect()
    }

    /// Keeps a draft until it has its signatures, and says where.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn stage<R: Role>(&self, draft: &Draft) -> Result<PathBuf> {
        let version = draft.content::<R>()?.version().get();
        let path = self.path.join(STAGED).join(file_name(version, R::TYPE));
        put(&path, &draft.to_bytes())?;
        Ok(path)
    }

    /// Moves a draft that has its signatures to the published metadata.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn publish_staged(&self, staged: &Path) -> Result<()> {
        let name = staged
            .file_name()
            .and_then(|name| name.to_str())
            .context("draft without a name")?;
        put(&self.metadata(name), &read(staged)?)?;
        Ok(keelson_durable::remove(staged)?)
    }

    /// Publishes a metadata file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn publish(&self, name: &str, bytes: &[u8]) -> Result<()> {
        put(&self.metadata(name), bytes)
    }

    /// Puts a target into the repository; nobody sees it before it stands in the metadata.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_target(&self, name: &str, bytes: &[u8]) -> Result<TargetFile> {
        let described = TargetFile::describe(bytes);
        put(&self.target(name, &described), bytes)?;
        Ok(described)
    }

    /// Reads a target that the metadata lists.
    ///
    /// # Errors
    /// It is not listed, missing or changed.
    pub fn read_target(&self, targets: &Targets, name: &str) -> Result<Vec<u8>> {
        let described = targets
            .targets
            .get(name)
            .with_context(|| format!("{name} is not in the metadata"))?;
        let path = self.target(name, described);
        let bytes = read(&path)?;
        let same = TargetFile::describe(&bytes);
        ensure!(
            (same.length, &same.hashes) == (described.length, &described.hashes),
            "{} is not what the metadata says",
            path.display()
        );
        Ok(bytes)
    }

    /// Reads a target of which one version lies here, whether the metadata lists it or not; `None` if there is none.
    ///
    /// # Errors
    /// There are several, or it cannot be read.
    pub fn find_target(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let (folder, last) = name.rsplit_once('/').unwrap_or(("", name));
        let folder = self.path.join("targets").join(folder);
        let is_it = |found: &&String| found.split_once('.').is_some_and(|(_, rest)| rest == last);
        let names = names(&folder)?;
        let found: Vec<&String> = names.iter().filter(is_it).collect();
        match found.as_slice() {
            [] => Ok(None),
            [one] => read(&folder.join(one)).map(Some),
            _ => bail!("{} has several files {last}", folder.display()),
        }
    }

    /// Names of what lies in a folder of targets.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn in_folder(&self, folder: &str) -> Result<Vec<String>> {
        names(&self.path.join("targets").join(folder))
    }

    fn target(&self, name: &str, described: &TargetFile) -> PathBuf {
        let (folder, last) = name.rsplit_once('/').unwrap_or(("", name));
        self.path
            .join("targets")
            .join(folder)
            .join(format!("{}.{last}", described.hashes.for_name()))
    }

    fn metadata(&self, name: &str) -> PathBuf {
        self.path.join(METADATA).join(name)
    }
}

/// `N.ROLE.json`.
#[must_use]
pub fn file_name(version: u64, role: &str) -> String {
    format!("{version}.{role}.json")
}

fn versions(folder: &Path, role: &str) -> Result<Vec<u64>> {
    let version = |name: &String| {
        let rest = name.strip_suffix(".json")?.strip_suffix(role)?.strip_suffix('.')?;
        rest.parse::<u64>().ok()
    };
    Ok(names(folder)?.iter().filter_map(version).collect())
}

/// Names in a folder; none if there is no folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("cannot read {}", folder.display()))?,
    };
    let name = |entry: std::io::Result<std::fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries.map(name).collect()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file of the repository has no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(keelson_durable::replace(path, bytes, 0o644)?)
}
