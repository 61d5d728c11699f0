//! Finds the sources of a container's mounts on the host: volumes are made and filled, bind sources
//! are checked.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::World;
use super::copy::copy_tree;
use crate::engine::record::ContainerRecord;
use crate::engine::request::{MountRequest, MountSource};
use crate::spec::mounts::{FoundMount, FoundSource};
use crate::spec::rootfs::Rootfs;
use crate::volume::VolumeError;

/// Why a mount has no source.
#[derive(Debug, thiserror::Error)]
pub enum MountSourceError {
    /// Nothing is there.
    #[error("bind source path does not exist: {0}")]
    Missing(String),
    /// It holds what no container may see.
    #[error("bind source {0} is closed to containers: it holds secrets or the engine's own state")]
    Closed(String),
    /// The path is no path.
    #[error("invalid mount config: bind source {0:?} must be an absolute path")]
    Relative(String),
    /// A volume failed.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Finds all sources. Blocking.
///
/// # Errors
/// The first mount that has none.
pub fn find_mounts(
    world: &World,
    record: &ContainerRecord,
    rootfs: &Rootfs,
) -> Result<Vec<FoundMount>, MountSourceError> {
    record
        .resolved
        .mounts
        .iter()
        .map(|mount| find_mount(world, record, rootfs, mount))
        .collect()
}

fn find_mount(
    world: &World,
    record: &ContainerRecord,
    rootfs: &Rootfs,
    mount: &MountRequest,
) -> Result<FoundMount, MountSourceError> {
    let source = match &mount.source {
        MountSource::Tmpfs { options } => FoundSource::Tmpfs {
            options: options.clone(),
        },
        MountSource::Volume { name, no_copy } => {
            let path = fill_volume(world, rootfs, name, &mount.target, *no_copy)?;
            FoundSource::Bind {
                path,
                propagation: String::new(),
            }
        }
        MountSource::Bind {
            path,
            create,
            propagation,
        } => {
            let privileged = record.request.security.privileged;
            let path = find_bind(Path::new(path), *create, privileged)?;
            FoundSource::Bind {
                path,
                propagation: propagation.clone(),
            }
        }
    };
    Ok(FoundMount {
        target: mount.target.clone(),
        source,
        read_only: mount.read_only,
    })
}

/// The volume's directory. An empty volume gets what the image has in its place.
fn fill_volume(
    world: &World,
    rootfs: &Rootfs,
    name: &str,
    target: &str,
    no_copy: bool,
) -> Result<PathBuf, MountSourceError> {
    let volume = world.volumes.ensure(name)?;
    let failed = |source| MountSourceError::Io {
        action: "fill volume",
        path: volume.data.clone(),
        source,
    };
    let empty = volume.fresh || fs::read_dir(&volume.data).map_err(failed)?.next().is_none();
    if let Some(content) = rootfs.directory(target).filter(|_| empty && !no_copy) {
        let data = File::open(&volume.data).map_err(failed)?;
        copy_tree(content.as_fd(), data.as_fd()).map_err(failed)?;
    }
    Ok(volume.data)
}

fn find_bind(path: &Path, create: bool, privileged: bool) -> Result<PathBuf, MountSourceError> {
    let text = || path.display().to_string();
    if !path.is_absolute() {
        return Err(MountSourceError::Relative(text()));
    }
    let real = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            let failed = |source| MountSourceError::Io {
                action: "make",
                path: path.to_owned(),
                source,
            };
            fs::create_dir_all(path).map_err(failed)?;
            fs::canonicalize(path).map_err(failed)?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(MountSourceError::Missing(text()));
        }
        Err(source) => {
            return Err(MountSourceError::Io {
                action: "find",
                path: path.to_owned(),
                source,
            });
        }
    };
    if is_closed(&real, privileged) {
        return Err(MountSourceError::Closed(text()));
    }
    Ok(real)
}

/// What no container may see, whoever asks: values of secrets, and the engine's own state, by which
/// another container's files could be changed.
const CLOSED: [&str; 8] = [
    "/state/secrets",
    "/state/machine",
    "/state/containers",
    "/state/config",
    "/run/keelson/secrets",
    "/run/keelson/bus",
    "/run/keelson/shims",
    "/run/keelson/netns",
];

/// A path is closed when it lies in one of those directories; or, unless the container is privileged
/// and may do anything anyway, when one of them lies in it.
fn is_closed(path: &Path, privileged: bool) -> bool {
    CLOSED
        .iter()
        .map(Path::new)
        .any(|closed| path.starts_with(closed) || (!privileged && closed.starts_with(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_engine_state_are_closed() {
        let table = [
            ("/state/secrets", false, true),
            ("/state/secrets/token", true, true),
            ("/state/containers/volumes/x/_data", false, true),
            ("/", false, true),
            ("/", true, false),
            ("/state", false, true),
            ("/run/docker.sock", false, false),
            ("/run/keelson/control", false, false),
            ("/state/data", false, false),
            ("/state/secretsauce", false, false),
        ];
        for (path, privileged, closed) in table {
            assert_eq!(is_closed(Path::new(path), privileged), closed, "{path} {privileged}");
        }
    }

    #[test]
    fn a_missing_source_is_made_only_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new");
        let missing = find_bind(&path, false, false);
        assert!(matches!(missing, Err(MountSourceError::Missing(_))));
        assert_eq!(find_bind(&path, true, false).unwrap(), path.canonicalize().unwrap());
    }
}
