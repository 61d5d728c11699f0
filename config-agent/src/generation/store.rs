//! Generations on disk. A commit is one rename; whatever is cut short leaves the old generation in force.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use keelson_image_layout::Slot;

use super::{Files, Generation, MACHINE, PROVENANCE, RENDERED, digest};
use crate::secrets::make_directory;
use crate::source::Origin;
use crate::steps::Steps;

/// The directory `config` of the state tree.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
}

/// A generation that is kept, for people to see.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Kept {
    /// Its digest.
    pub id: String,
    /// Whether it is in force.
    pub current: bool,
    /// The slots it came up with.
    pub confirmed: Vec<String>,
}

/// Why a generation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system failed.
    #[error("cannot {step} of the configuration store")]
    Io {
        /// What was being done.
        step: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The content is not what its name says.
    #[error("the configuration generation {id} is damaged")]
    Damaged {
        /// Its name.
        id: String,
    },
    /// A later release made it.
    #[error("the configuration store has format {format}, this release reads 1")]
    Newer {
        /// Least format that a reader must know.
        format: u64,
    },
}

const FORMAT: &str = "format";
const FORMAT_TEXT: &[u8] = b"{\"format\":1,\"min_reader\":1}\n";
const GENERATIONS: &str = "generations";
const STAGING: &str = ".staging";
const CURRENT: &str = "current";
const CONFIRMED: [&str; 2] = ["confirmed-a", "confirmed-b"];
const SOURCE: &str = "source.json";
/// Longest file of a generation that is read back.
const MAX_FILE: u64 = 4 << 20;

fn at(step: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::Io { step, source }
}

impl Store {
    /// Opens the store, making it if it is missing.
    ///
    /// # Errors
    /// It cannot be made, or a later release made it.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self { root: root.to_owned() };
        match fs::read(root.join(FORMAT)) {
            Ok(bytes) => {
                let known: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
                let format = known
                    .as_ref()
                    .and_then(|json| json.get("min_reader")?.as_u64())
                    .unwrap_or(1);
                if format > 1 {
                    return Err(StoreError::Newer { format });
                }
            }
            Err(_) => {
                make_directory(&root.join(GENERATIONS)).map_err(at("make the directories"))?;
                let written = keelson_durable::replace(&root.join(FORMAT), FORMAT_TEXT, 0o600);
                written.map_err(at("write the format"))?;
            }
        }
        make_directory(&root.join(GENERATIONS)).map_err(at("make the directories"))?;
        Ok(store)
    }

    /// A store that is only read; nothing is made.
    #[must_use]
    pub fn read_only(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn directory(&self, id: &str) -> PathBuf {
        self.root.join(GENERATIONS).join(id)
    }

    /// Name of the generation in force.
    #[must_use]
    pub fn current_id(&self) -> Option<String> {
        self.linked(CURRENT)
    }

    /// Name of the generation that was in force when this slot last booted well.
    #[must_use]
    pub fn confirmed(&self, slot: Slot) -> Option<String> {
        self.linked(CONFIRMED.get(slot.index())?)
    }

    /// Name of the generation that a link of the store leads to.
    fn linked(&self, link: &str) -> Option<String> {
        let target = fs::read_link(self.root.join(link)).ok()?;
        let id = target.file_name()?.to_str()?;
        let hex = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| id.to_owned())
    }

    /// Reads a generation and verifies it.
    ///
    /// # Errors
    /// It is missing, damaged or cannot be read.
    pub fn load(&self, id: &str) -> Result<Generation, StoreError> {
        let mut files = Files::new();
        read_tree(&self.directory(id), "", &mut files).map_err(at("read a generation"))?;
        let damaged = || StoreError::Damaged { id: id.to_owned() };
        if digest(&files) != id {
            return Err(damaged());
        }
        let config = files
            .get(MACHINE)
            .and_then(|bytes| serde_json::from_slice(bytes).ok())
            .ok_or_else(damaged)?;
        let provenance = files
            .get(PROVENANCE)
            .and_then(|bytes| serde_json::from_slice(bytes).ok());
        let provenance = provenance.ok_or_else(damaged)?;
        let rendered = files
            .into_iter()
            .filter_map(|(path, bytes)| Some((path.strip_prefix(RENDERED)?.to_owned(), bytes)));
        Ok(Generation {
            id: id.to_owned(),
            config,
            provenance,
            rendered: rendered.collect(),
        })
    }

    /// The generation in force; when it is damaged, the best earlier one that is not.
    ///
    /// # Errors
    /// There was one and none can be used: the first reason.
    pub fn load_in_force(&self) -> Result<Option<Generation>, StoreError> {
        let Some(current) = self.current_id() else {
            return Ok(None);
        };
        let first = match self.load(&current) {
            Ok(generation) => return Ok(Some(generation)),
            Err(error) => error,
        };
        let mut earlier = CONFIRMED
            .iter()
            .filter_map(|link| self.linked(link))
            .filter(|id| *id != current);
        match earlier.find_map(|id| self.load(&id).ok()) {
            Some(generation) => Ok(Some(generation)),
            None => Err(first),
        }
    }

    /// What is kept, by name.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        let current = self.current_id();
        let confirmed = CONFIRMED.map(|link| (link.trim_start_matches("confirmed-"), self.linked(link)));
        let entries = fs::read_dir(self.root.join(GENERATIONS))
            .into_iter()
            .flatten()
            .flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let kept = names.filter(|name| !name.starts_with('.')).map(|id| Kept {
            current: current.as_ref() == Some(&id),
            confirmed: confirmed
                .iter()
                .filter(|(_, linked)| linked.as_ref() == Some(&id))
                .map(|(slot, _)| (*slot).to_owned())
                .collect(),
            id,
        });
        let mut kept: Vec<Kept> = kept.collect();
        kept.sort_by(|a, b| a.id.cmp(&b.id));
        kept
    }

    /// The pinned source.
    #[must_use]
    pub fn pinned(&self) -> Option<Origin> {
        serde_json::from_slice(&fs::read(self.root.join(SOURCE)).ok()?).ok()
    }

    /// Puts a generation in force and pins its source. After an error, or a cut at any step, either the old generation
    /// is in force or the new one.
    ///
    /// # Errors
    /// Names the step.
    pub fn commit(&self, files: &Files, origin: &Origin, steps: Steps<'_>) -> Result<String, StoreError> {
        let id = digest(files);
        self.stage(&id, files, steps)?;
        self.switch(&id, steps).map_err(at("put the new generation in force"))?;
        // Last: without it the source is known from the generation itself.
        let pin = super::json(origin).map_err(|error| at("pin the source")(error.into()))?;
        steps.ahead("pin the source").map_err(at("pin the source"))?;
        keelson_durable::replace(&self.root.join(SOURCE), &pin, 0o600).map_err(at("pin the source"))?;
        Ok(id)
    }

    /// Writes the files under their final name, durably.
    fn stage(&self, id: &str, files: &Files, steps: Steps<'_>) -> Result<(), StoreError> {
        if self.load(id).is_ok() {
            return Ok(());
        }
        let failed = at("stage a generation");
        let staging = self.directory(STAGING);
        let target = self.directory(id);
        for leftover in [&staging, &target] {
            remove_tree(leftover).map_err(&failed)?;
        }
        steps.ahead("make the staging directory").map_err(&failed)?;
        new_directory(&staging).map_err(&failed)?;
        for (path, bytes) in files {
            steps.ahead("write a file").map_err(&failed)?;
            write_new(&staging, path, bytes).map_err(&failed)?;
        }
        // One flush for all of them: none is reachable before the rename.
        steps.ahead("flush the staging directory").map_err(&failed)?;
        let directory = fs::File::open(&staging).map_err(&failed)?;
        rustix::fs::syncfs(&directory).map_err(|errno| failed(errno.into()))?;
        steps.ahead("name the generation").map_err(&failed)?;
        fs::rename(&staging, &target).map_err(&failed)?;
        flush(&self.root.join(GENERATIONS)).map_err(&failed)
    }

    /// The one rename.
    fn switch(&self, id: &str, steps: Steps<'_>) -> io::Result<()> {
        if self.current_id().as_deref() == Some(id) {
            return Ok(());
        }
        let next = self.root.join(".current.new");
        remove_tree(&next)?;
        steps.ahead("make the new link")?;
        symlink(Path::new(GENERATIONS).join(id), &next)?;
        steps.ahead("rename the link")?;
        fs::rename(&next, self.root.join(CURRENT))?;
        steps.ahead("flush the rename")?;
        flush(&self.root)
    }

    /// Removes generations other than those in force, confirmed, or in force just before. Gives those that stay and
    /// can be read.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn prune(&self, steps: Steps<'_>) -> Result<Vec<Generation>, StoreError> {
        let failed = at("remove an old generation");
        let Some(current) = self.current_id() else {
            return Ok(Vec::new());
        };
        let mut keep: BTreeSet<String> = CONFIRMED.iter().filter_map(|link| self.linked(link)).collect();
        keep.extend(
            self.load(&current)
                .ok()
                .and_then(|generation| generation.provenance.previous),
        );
        keep.insert(current);
        for entry in fs::read_dir(self.root.join(GENERATIONS)).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            if !entry.file_name().to_str().is_some_and(|name| keep.contains(name)) {
                steps.ahead("remove a generation").map_err(&failed)?;
                remove_tree(&entry.path()).map_err(&failed)?;
            }
        }
        Ok(keep.iter().filter_map(|id| self.load(id).ok()).collect())
    }
}

fn new_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path)
}

fn write_new(root: &Path, path: &str, bytes: &[u8]) -> io::Result<()> {
    use io::Write as _;
    let path = root.join(path);
    if let Some(parent) = path.parent() {
        new_directory(parent)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}

fn flush(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Removes a file, link or directory; what is not there is no error.
fn remove_tree(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn read_tree(directory: &Path, prefix: &str, out: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| io::ErrorKind::InvalidData)?;
        let path = format!("{prefix}{name}");
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            read_tree(&entry.path(), &format!("{path}/"), out)?;
        } else if metadata.is_file() && metadata.len() <= MAX_FILE {
            out.insert(path, fs::read(entry.path())?);
        } else {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(())
}
