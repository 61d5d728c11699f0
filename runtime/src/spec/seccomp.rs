//! Which system call filter a container runs under. Pure.

use keelson_oci::seccomp::profile::default_profile;
use keelson_oci::spec::capabilities::number;
use oci_spec::OciSpecError;
use oci_spec::runtime::{Capability, LinuxSeccomp};

use crate::engine::request::SecurityRequest;

/// The default filter for a container with these capabilities; `None` runs without one.
///
/// # Errors
/// None in practice: the types of the specification are fallible by form only.
pub fn decide_filter(
    request: &SecurityRequest,
    capabilities: &[Capability],
) -> Result<Option<LinuxSeccomp>, OciSpecError> {
    if request.privileged || request.seccomp_unconfined {
        return Ok(None);
    }
    let bit = |capability: &Capability| 1u64.checked_shl(number(*capability)).unwrap_or_default();
    let held = capabilities.iter().map(bit).fold(0, |all, bit| all | bit);
    default_profile(held).map(Some)
}
