//! From a container's record to a running process, and back: root mounted, volumes filled, network
//! joined, bundle written, shim started. Each step is undone when a later one fails.
//!
//! Works on one container at a time and keeps nothing in memory; who may start, and with which
//! address and ports, was decided by the engine before.

mod bundle;
mod bus;
mod cgroup;
mod copy;
pub mod disk;
mod exec;
mod mounts;
mod run;

pub use bundle::PrepareError;
pub use run::{LaunchFailure, Launched, launch, reattach, watch};

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::id::ContainerId;
use crate::engine::record::ContainerRecord;
use crate::image::{ContainerLayer, ImageId, Mounts, Store};
use crate::net::apply::Network;
use crate::volume::Volumes;

/// Where everything lies, and what launches share.
#[derive(Debug)]
pub struct World {
    /// State that lasts: `/state/containers`.
    pub root: PathBuf,
    /// State of this boot: `/run/keelson`.
    pub run: PathBuf,
    /// The cgroup tree.
    pub cgroups: PathBuf,
    /// The shim's program.
    pub shim: PathBuf,
    /// The journal's socket, when output goes there.
    pub journal: Option<PathBuf>,
    /// Where values of secrets lie.
    pub secrets: PathBuf,
    /// Images.
    pub images: Arc<Store>,
    /// Their mounts.
    pub mounts: Mounts,
    /// Named volumes.
    pub volumes: Volumes,
    /// The bridge.
    pub network: Network,
}

impl World {
    /// What a container keeps between boots.
    pub fn container_directory(&self, id: &ContainerId) -> PathBuf {
        self.root.join("containers").join(id.as_str())
    }

    /// The bundle of a container's present or last run.
    pub fn bundle(&self, id: &ContainerId) -> PathBuf {
        self.run.join("shims").join(id.as_str())
    }

    /// The socket of a container's shim.
    pub fn shim_socket(&self, id: &ContainerId) -> PathBuf {
        self.bundle(id).join("shim.sock")
    }

    /// Where the shim writes down the container's end.
    pub fn exit_file(&self, id: &ContainerId) -> PathBuf {
        self.bundle(id).join("exit.json")
    }

    /// The container's output.
    pub fn log_file(&self, id: &ContainerId) -> PathBuf {
        self.container_directory(id).join("log.json")
    }

    /// Where the OCI runtimes of all containers keep their state.
    pub fn runtime_root(&self) -> PathBuf {
        self.run.join("oci")
    }

    /// Where the root of a container is mounted.
    pub fn layer(&self, id: &ContainerId) -> ContainerLayer {
        let directory = self.container_directory(id);
        ContainerLayer {
            container: id.as_str().to_owned(),
            upper: directory.join("upper"),
            work: directory.join("work"),
            target: self.bundle(id).join("rootfs"),
        }
    }

    /// The control group of the container's processes.
    pub fn payload_group(&self, id: &ContainerId) -> PathBuf {
        let below = cgroup::payload(id);
        self.cgroups.join(below.strip_prefix("/").unwrap_or(&below))
    }

    /// The address of the host on the bridge.
    pub fn gateway(&self) -> IpAddr {
        self.network.subnets().gateway4().into()
    }

    /// Takes away what a container's run left in this boot: mounts, network, processes. What is gone
    /// already is fine; what cannot be taken away is logged. Blocking.
    pub fn clear_run(&self, record: &ContainerRecord) {
        let id = &record.id;
        cgroup::remove(&self.cgroups, id);
        bus::revoke(self, id);
        self.forget_runtime_state(id);
        self.network.detach(id, record.endpoint.as_ref());
        // A bundle with a configuration is a run that was not cleared.
        let _ = std::fs::remove_file(self.bundle(id).join("config.json"));
        let Ok(image) = record.image_id.parse::<ImageId>() else {
            return;
        };
        if let Err(error) = self.mounts.unmount_container(&image, &self.layer(id)) {
            let error = crate::engine::error::chain(&error);
            log::warn!(container = id.as_str(), error = error; "cannot unmount a container's root");
        }
    }

    /// A shim that was killed could not delete the OCI runtime's state of its container, and with it
    /// there no other container of that id can be made.
    fn forget_runtime_state(&self, id: &ContainerId) {
        if let Err(error) = remove_tree(&self.runtime_root().join(id.as_str())) {
            let error = error.to_string();
            log::warn!(container = id.as_str(), error = error; "cannot remove the state of a container's runtime");
        }
    }

    /// Removes what a container that does not run has on disk. Blocking.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn remove_container(&self, record: &ContainerRecord) -> std::io::Result<()> {
        self.clear_run(record);
        disk::release(
            &self.container_directory(&record.id),
            &record.id,
            record.request.limits.disk,
        );
        for directory in [self.bundle(&record.id), self.container_directory(&record.id)] {
            remove_tree(&directory)?;
        }
        Ok(())
    }
}

fn remove_tree(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
