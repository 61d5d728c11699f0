//! Docker's clients that people have: Debian's of the stable release and of the next one, unpacked beside the host's.

use std::path::PathBuf;
use std::sync::OnceLock;

use keelson_os_build::cache::Cache;
use keelson_os_build::tool::program_of;

/// The clients, the older first. To be asked before namespaces are entered that have no network.
pub fn both() -> &'static [PathBuf] {
    static CLIENTS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    CLIENTS.get_or_init(|| {
        let cache = Cache::of_user().unwrap();
        ["trixie", "forky"]
            .map(|suite| program_of(&cache, suite, "docker-cli", "usr/bin/docker").unwrap())
            .to_vec()
    })
}
