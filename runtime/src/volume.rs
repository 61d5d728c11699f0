//! Named volumes: directories below one root, `NAME/_data` each. Knows names and paths; what is
//! copied into a new one is the launch's business.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with a volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Its name would be no file name, or another's path.
    #[error(
        "create {0}: \"{0}\" includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed"
    )]
    Name(String),
    /// A file operation failed.
    #[error("cannot {action} the volume at {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A volume that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its content, on the host.
    pub data: PathBuf,
    /// Whether it was made just now.
    pub fresh: bool,
}

/// All named volumes.
#[derive(Debug, Clone)]
pub struct Volumes {
    root: PathBuf,
}

impl Volumes {
    /// The volumes below `root`.
    pub fn new(root: PathBuf) -> Volumes {
        Volumes { root }
    }

    /// The volume `name`, made when missing.
    ///
    /// # Errors
    /// The name is no name, or the directory cannot be made.
    pub fn ensure(&self, name: &str) -> Result<Volume, VolumeError> {
        let data = self.data(name)?;
        let failed = |source| VolumeError::Io {
            action: "make",
            path: data.clone(),
            source,
        };
        let parent = data.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent).map_err(failed)?;
        match fs::create_dir(&data) {
            Ok(()) => {
                sync(parent).and_then(|()| sync(&self.root)).map_err(failed)?;
                Ok(Volume { data, fresh: true })
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Volume { data, fresh: false }),
            Err(error) => Err(failed(error)),
        }
    }

    /// Removes a volume and all in it. An absent one is fine.
    ///
    /// # Errors
    /// The name is no name, or something could not be removed.
    pub fn remove(&self, name: &str) -> Result<(), VolumeError> {
        let data = self.data(name)?;
        let path = data.parent().unwrap_or(&self.root).to_owned();
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(VolumeError::Io {
                action: "remove",
                path,
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Where a volume's content lies.
    ///
    /// # Errors
    /// The name is no name.
    pub fn data(&self, name: &str) -> Result<PathBuf, VolumeError> {
        if crate::engine::id::is_valid_name(name) {
            Ok(self.root.join(name).join("_data"))
        } else {
            Err(VolumeError::Name(name.to_owned()))
        }
    }
}

/// Whether a volume was made for a container without a name of its own.
pub fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_fresh_once() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(root.path().to_owned());
        assert!(volumes.ensure("data").unwrap().fresh);
        assert!(!volumes.ensure("data").unwrap().fresh);
        volumes.remove("data").unwrap();
        volumes.remove("data").unwrap();
        assert!(volumes.ensure("data").unwrap().fresh);
    }

    #[test]
    fn refuses_names_that_are_paths() {
        let volumes = Volumes::new("/nowhere".into());
        for name in ["", "..", "../x", "a/b", ".hidden", "x"] {
            assert!(matches!(volumes.ensure(name), Err(VolumeError::Name(_))), "{name}");
        }
    }
}
