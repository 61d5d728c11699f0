//! Which system call filter a container runs under.

use oci_spec::runtime::LinuxSeccomp;

use crate::engine::request::SecurityRequest;

/// The default filter, unless the container runs without one.
pub fn default_filter(request: &SecurityRequest) -> Option<LinuxSeccomp> {
    if request.privileged || request.seccomp_unconfined {
        return None;
    }
    None
}
