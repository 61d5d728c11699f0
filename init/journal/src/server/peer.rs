//! Who may ask the journal: processes of the machine that are known for certain. In doubt nobody is let in.

use std::fs;
use std::os::unix::net::UnixStream;

use keelson_peer::{Peer, unified};

/// Whether the other end of a connection may read the journal. Its user says nothing: a container's root is uid 0 too.
pub fn may_read(socket: &UnixStream) -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Peer::of(socket).is_ok_and(|peer| is_of_machine(&peer.groups, &own))
}

/// The machine's groups are the root, that of init, those of units, and the journal's own wherever it runs.
fn is_of_machine(peer: &str, own: &str) -> bool {
    let Some(path) = unified(peer) else {
        return false;
    };
    matches!(path, "/" | "/init")
        || path.starts_with("/system/")
        || (!path.starts_with("/containers") && unified(own) == Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_not_known_to_be_of_the_machine_is_refused() {
        let table = [
            ("0::/\n", true),
            ("4:memory:/x\n0::/\n", true),
            ("0::/init\n", true),
            ("0::/system/access\n", true),
            ("0::/system/runtimed/inner\n", true),
            ("0::/tests/here\n", true),
            ("", false),
            ("0::\n", false),
            ("4:memory:/system/access\n", false),
            ("0::/system\n", false),
            ("0::/systems/access\n", false),
            ("0::/tests/there\n", false),
            ("0::/../system/access\n", false),
            ("0::/containers/abc/payload\n", false),
            ("0::/containers\n", false),
        ];
        for (peer, expected) in table {
            assert_eq!(is_of_machine(peer, "0::/tests/here\n"), expected, "{peer}");
        }
        assert!(!is_of_machine("", ""));
        assert!(!is_of_machine("0::/containers/abc\n", "0::/containers/abc\n"));
    }

    #[test]
    fn a_process_beside_the_journal_is_let_in() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(may_read(&one));
    }
}
