//! Plain functions over bytes for the fuzzer: an error is fine, a panic is a bug.

use crate::cgroup::root::parse_own_path;
use crate::init::user::parse_home;
use crate::spec::validate::plan;
use std::path::Path;

/// A config.json.
pub fn fuzz_oci_config(data: &[u8]) {
    if let Ok(spec) = serde_json::from_slice(data) {
        let _ = plan(spec, Path::new("/bundle"));
    }
}

/// A container's own passwd file, and /proc/PID/cgroup.
pub fn fuzz_oci_container_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = (parse_home(&text, 0), parse_own_path(&text));
}
