//! What a command run in a container is: who, where, with what. Blocking.

use std::path::Path;

use oci_spec::runtime::Process;
use serde::Deserialize;

use super::bundle::{PrepareError, failed, find_identity};
use super::{World, bus};
use crate::engine::execs::ExecRequest;
use crate::engine::record::ContainerRecord;
use crate::spec::SpecError;
use crate::spec::capability::decide_capabilities;
use crate::spec::exec::plan_exec;
use crate::spec::rootfs::Rootfs;

/// Of a specification, the part that an exec is made from.
#[derive(Deserialize)]
struct Specification {
    process: Process,
}

impl World {
    /// The OCI process of an exec in a container that runs.
    ///
    /// # Errors
    /// There is no such user, or the container's files cannot be read.
    pub fn plan_exec(&self, record: &ContainerRecord, request: &ExecRequest) -> Result<Process, PrepareError> {
        let path = self.bundle(&record.id).join("config.json");
        let text = std::fs::read(&path).map_err(failed("read", &path))?;
        let Specification { process } = serde_json::from_slice(&text)?;
        let root = self.layer(&record.id).target;
        let identity = match request.user.as_str() {
            "" => None,
            user => Some(find_identity(user, bus::group(record).as_slice(), &open(&root)?)?),
        };
        let own = decide_capabilities(&record.request.security)?;
        Ok(plan_exec(process, request, identity.as_ref(), &own).map_err(SpecError::from)?)
    }
}

fn open(root: &Path) -> Result<Rootfs, PrepareError> {
    Rootfs::open(root).map_err(failed("open", root))
}
