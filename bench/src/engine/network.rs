//! A network of its own for one engine's turn: nobody meets the bridge, rules and addresses of the engine before, nor
//! those of the host.

use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};

/// Does `work` on a thread in a new network namespace with nothing but loopback; programs it starts are there, too.
pub fn with_own_network<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let alone = || {
        unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
        ensure!(up.success(), "loopback does not come up");
        work()
    };
    thread::scope(|scope| scope.spawn(alone).join()).map_err(|_| anyhow!("the engine's turn panicked"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileged_a_turn_sees_loopback_alone() {
        let links = || {
            let output = Command::new("ip").args(["-oneline", "link"]).output()?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let seen = with_own_network(links).unwrap();
        assert_eq!(seen.lines().count(), 1, "{seen}");
        assert!(seen.contains("lo:") && seen.contains("UP"), "{seen}");
    }
}
