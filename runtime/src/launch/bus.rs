//! The system bus in a container: its socket, and for the bus the word of what the container was granted. A container
//! without a grant has neither.

use std::fs;
use std::path::{Path, PathBuf};

use keelson_image_layout::{paths, users};

use super::World;
use super::bundle::{PrepareError, failed};
use crate::engine::id::ContainerId;
use crate::engine::record::ContainerRecord;
use crate::spec::mounts::{FoundMount, FoundSource};

/// Where the grants of running containers lie.
fn folder(run: &Path) -> PathBuf {
    match Path::new(paths::BUS_GRANTS).file_name() {
        Some(name) => run.join(name),
        None => run.to_owned(),
    }
}

/// Leaves word of the grant and gives the mount of the socket. Blocking.
///
/// # Errors
/// The word cannot be left; the container must not start then, since it would be refused.
pub(super) fn grant(world: &World, record: &ContainerRecord) -> Result<Option<FoundMount>, PrepareError> {
    let Some(access) = record.request.security.bus else {
        return Ok(None);
    };
    let folder = folder(&world.run);
    fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
    let path = folder.join(record.id.as_str());
    fs::write(&path, access.to_string()).map_err(failed("write", &path))?;
    let source = FoundSource::Bind {
        path: paths::BUS_SOCKET.into(),
        propagation: String::new(),
    };
    Ok(Some(FoundMount {
        target: paths::BUS_SOCKET.to_owned(),
        source,
        read_only: true,
    }))
}

/// The group that may connect, for processes of a container that do not run as root.
pub(super) fn group(record: &ContainerRecord) -> Option<String> {
    record.request.security.bus?;
    users::id_of("bus").map(|number| number.to_string())
}

/// Takes the grant back: the run has ended.
pub(super) fn revoke(world: &World, id: &ContainerId) {
    // Most containers have none.
    let _ = fs::remove_file(folder(&world.run).join(id.as_str()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_looks_where_the_engine_writes() {
        assert_eq!(folder(Path::new(paths::RUN)), Path::new(paths::BUS_GRANTS));
    }
}
