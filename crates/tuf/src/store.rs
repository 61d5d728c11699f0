//! Trusted metadata between two runs: byte for byte as it came, for it is verified again each time it is read.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::error::StoreError;
use crate::location::percent_encoded;
use crate::metadata::Version;

/// Keeps trusted metadata. What is missing is fetched anew; only protection against older files is lost with it.
pub trait Store {
    /// The newest trusted file of a role.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn load(&self, role: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces the newest trusted file of a role, durably.
    ///
    /// # Errors
    /// The old one is still there.
    fn save(&mut self, role: &str, file: &[u8]) -> Result<(), StoreError>;

    /// Forgets the newest trusted file of a role.
    ///
    /// # Errors
    /// It is still there.
    fn remove(&mut self, role: &str) -> Result<(), StoreError>;

    /// A root by version: the chain from the root in the image to the newest one is walked in each run.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn load_root(&self, version: Version) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a root of the chain.
    ///
    /// # Errors
    /// It was not written.
    fn save_root(&mut self, version: Version, file: &[u8]) -> Result<(), StoreError>;

    /// The latest time at which everything was in order. Nothing if there is none, or none that can be read.
    fn latest_time(&self) -> Option<Timestamp>;

    /// Replaces it.
    ///
    /// # Errors
    /// It was not written.
    fn save_latest_time(&mut self, time: Timestamp) -> Result<(), StoreError>;
}

/// A store in a folder: `root.json`, `timestamp.json`, `snapshot.json`, `targets.json` and delegated roles by their
/// percent-encoded names; the chain of roots in a folder of its own, the latest time in a file outside.
///
/// One process at a time. Writes flush, so they may take as long as the disk does.
#[derive(Debug, Clone)]
pub struct FileStore {
    folder: PathBuf,
    latest_time: PathBuf,
}

/// Subfolder with `N.root.json`.
const ROOTS: &str = "roots";
/// No file that was saved is longer; a longer one is damage and counts as missing.
const LONGEST: u64 = 4 << 20;
const FOLDER_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

impl FileStore {
    /// A store in `folder`, which is made if its parent is there. `latest_time` is the path of a file; its folder must
    /// exist.
    ///
    /// # Errors
    /// The folders cannot be made.
    pub fn open(folder: &Path, latest_time: &Path) -> Result<FileStore, StoreError> {
        for folder in [folder, &folder.join(ROOTS)] {
            keelson_durable::directory(folder, FOLDER_MODE).map_err(at(folder))?;
        }
        Ok(FileStore {
            folder: folder.to_owned(),
            latest_time: latest_time.to_owned(),
        })
    }

    fn path(&self, role: &str) -> PathBuf {
        self.folder.join(format!("{}.json", percent_encoded(role)))
    }

    fn root_path(&self, version: Version) -> PathBuf {
        self.folder.join(ROOTS).join(format!("{version}.root.json"))
    }
}

impl Store for FileStore {
    fn load(&self, role: &str) -> Result<Option<Vec<u8>>, StoreError> {
        read(&self.path(role))
    }

    fn save(&mut self, role: &str, file: &[u8]) -> Result<(), StoreError> {
        write(&self.path(role), file)
    }

    fn remove(&mut self, role: &str) -> Result<(), StoreError> {
        let path = self.path(role);
        keelson_durable::remove(&path).map_err(at(&path))
    }

    fn load_root(&self, version: Version) -> Result<Option<Vec<u8>>, StoreError> {
        read(&self.root_path(version))
    }

    fn save_root(&mut self, version: Version, file: &[u8]) -> Result<(), StoreError> {
        write(&self.root_path(version), file)
    }

    fn latest_time(&self) -> Option<Timestamp> {
        let bytes = read(&self.latest_time).ok()??;
        String::from_utf8(bytes).ok()?.trim().parse().ok()
    }

    fn save_latest_time(&mut self, time: Timestamp) -> Result<(), StoreError> {
        write(&self.latest_time, format!("{time}\n").as_bytes())
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError {
        path: path.to_owned(),
        source,
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(at(path))?,
    };
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(at(path))?;
    Ok((bytes.len() as u64 <= LONGEST).then_some(bytes))
}

fn write(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    keelson_durable::replace(path, content, FILE_MODE).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn store() -> (tempfile::TempDir, FileStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(&folder.path().join("tuf"), &folder.path().join("latest-time")).unwrap();
        (folder, store)
    }

    #[test]
    fn files_are_kept_byte_for_byte_under_names_that_stay_in_the_folder() {
        let (folder, mut store) = store();
        assert_eq!(store.load("targets").unwrap(), None);
        for role in ["targets", "../evil", "/etc/passwd", "?", "#"] {
            store.save(role, role.as_bytes()).unwrap();
            assert_eq!(store.load(role).unwrap().unwrap(), role.as_bytes());
        }
        store.save_root(Version::MIN, b"{}").unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path().join("tuf"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expected = [
            "%23.json",
            "%2Fetc%2Fpasswd.json",
            "%3F.json",
            "..%2Fevil.json",
            "roots",
            "targets.json",
        ];
        assert_eq!(names, expected);
        store.remove("targets").unwrap();
        store.remove("targets").unwrap();
        assert_eq!(store.load("targets").unwrap(), None);
    }

    #[test]
    fn a_time_that_cannot_be_read_is_none() {
        let (folder, mut store) = store();
        assert_eq!(store.latest_time(), None);
        let time = "2030-01-31T12:00:00.5Z".parse().unwrap();
        store.save_latest_time(time).unwrap();
        assert_eq!(store.latest_time(), Some(time));
        for damage in ["", "yesterday", "\u{0}\u{0}"] {
            fs::write(folder.path().join("latest-time"), damage).unwrap();
            assert_eq!(store.latest_time(), None);
        }
    }

    #[test]
    fn a_file_that_nobody_saved_counts_as_missing() {
        let (folder, store) = store();
        let path = folder.path().join("tuf/targets.json");
        fs::File::create(path).unwrap().set_len(LONGEST + 1).unwrap();
        assert_eq!(store.load("targets").unwrap(), None);
    }

    #[test]
    fn a_store_that_cannot_be_read_says_where() {
        let (folder, store) = store();
        fs::create_dir(folder.path().join("tuf/targets.json")).unwrap();
        let error = store.load("targets").unwrap_err().to_string();
        assert!(error.contains("tuf/targets.json"), "{error}");
    }
}
