//! Container records on disk: one directory per container with its record in it. Knows paths and
//! bytes; decides nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::id::ContainerId;
use super::record::{ContainerRecord, FORMAT};

/// File name of a record.
const RECORD: &str = "record.json";

/// What can go wrong with records.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A path could not be read, written or removed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A record is not what we write.
    #[error("{} is no container record", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A record was written by a newer release and cannot be read by this one.
    #[error("{} needs a reader of format {min_reader}", path.display())]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// What it asks for.
        min_reader: u32,
    },
}

/// The directory of all containers.
#[derive(Debug, Clone)]
pub struct ContainerStore {
    root: PathBuf,
}

impl ContainerStore {
    /// Opens, and makes when missing, the directory `root`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(root: PathBuf) -> Result<ContainerStore, StoreError> {
        fs::create_dir_all(&root).map_err(|source| io_error("make", &root, source))?;
        Ok(ContainerStore { root })
    }

    /// The directory of one container.
    pub fn directory(&self, id: &ContainerId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// Makes the record durable.
    ///
    /// # Errors
    /// It could not be written; what was there before still is.
    pub fn save(&self, record: &ContainerRecord) -> Result<(), StoreError> {
        let directory = self.directory(&record.id);
        let fresh = !directory.exists();
        fs::create_dir_all(&directory).map_err(|e| io_error("make", &directory, e))?;
        if fresh {
            sync_directory(&self.root)?;
        }
        let path = directory.join(RECORD);
        let bytes = serde_json::to_vec_pretty(record).map_err(|source| StoreError::Malformed {
            path: path.clone(),
            source,
        })?;
        keelson_durable::replace(&path, &bytes, 0o600).map_err(|source| io_error("write", &path, source))
    }

    /// All records that can be read, and what could not be. A directory without a record is a
    /// creation that power cut short: it is named among the leftovers.
    ///
    /// # Errors
    /// The directory itself cannot be read.
    pub fn load_all(&self) -> Result<Loaded, StoreError> {
        let entries = fs::read_dir(&self.root).map_err(|e| io_error("read", &self.root, e))?;
        let mut loaded = Loaded::default();
        for entry in entries {
            let entry = entry.map_err(|e| io_error("read", &self.root, e))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let Ok(id) = ContainerId::try_from(name) else { continue };
            match self.load(&id) {
                Ok(Some(record)) => loaded.records.push(record),
                Ok(None) => loaded.leftovers.push(id),
                Err(error) => loaded.unreadable.push(error),
            }
        }
        Ok(loaded)
    }

    fn load(&self, id: &ContainerId) -> Result<Option<ContainerRecord>, StoreError> {
        let path = self.directory(id).join(RECORD);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path, error)),
        };
        parse_record(&bytes, &path).map(Some)
    }

    /// Removes a container's directory.
    ///
    /// # Errors
    /// Something in it could not be removed.
    pub fn remove(&self, id: &ContainerId) -> Result<(), StoreError> {
        let directory = self.directory(id);
        // The record goes first: without it the rest is a leftover, swept at the next start.
        for attempt in [fs::remove_file(directory.join(RECORD)), fs::remove_dir_all(&directory)] {
            match attempt {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("remove", &directory, error));
                }
                _ => {}
            }
        }
        sync_directory(&self.root)
    }
}

/// What [`ContainerStore::load_all`] found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Containers.
    pub records: Vec<ContainerRecord>,
    /// Directories without a record.
    pub leftovers: Vec<ContainerId>,
    /// Records that cannot be used; they are left alone.
    pub unreadable: Vec<StoreError>,
}

/// Reads one record; `path` is for the message only.
///
/// # Errors
/// The bytes are no record, or one of a format this release cannot read.
pub fn parse_record(bytes: &[u8], path: &Path) -> Result<ContainerRecord, StoreError> {
    let malformed = |source| StoreError::Malformed {
        path: path.to_owned(),
        source,
    };
    let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
    if head.min_reader > FORMAT {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            min_reader: head.min_reader,
        });
    }
    serde_json::from_slice(bytes).map_err(malformed)
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Head {
    min_reader: u32,
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    fs::File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| io_error("sync", path, e))
}
