//! The seed of the kernel's random generator, carried from boot to boot.
//!
//! A seed is worth something once. So it is replaced on the medium before it is counted as entropy: after a cut the
//! next boot finds a new one. On first boot there is none of this machine's own, and nothing is counted.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use keelson_sys::entropy::{self, SEED_BYTES};

const RANDOM: &str = "/dev/urandom";
/// Below the state.
const SEED: &str = "machine/seed";

/// Whether the seed found was made by this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It may have come with an image that others have too.
    New,
    /// An earlier boot of this machine wrote it.
    Kept,
}

/// Mixes the kept seed in, writes the next one, and only then counts the old one.
pub fn use_and_replace(state: &Path, trust: Trust) {
    if let Err(error) = exchange(&state.join(SEED), trust) {
        log::warn!(error:% = error; "random seed could not be carried over");
    }
}

fn exchange(path: &Path, trust: Trust) -> io::Result<()> {
    let old = read_seed(path);
    let mut random = File::options().read(true).write(true).open(RANDOM)?;
    if let Some(old) = &old {
        random.write_all(old)?;
    }
    let mut next = [0; SEED_BYTES];
    random.read_exact(&mut next)?;
    keelson_durable::replace(path, &next, 0o600)?;
    match old {
        Some(old) if trust == Trust::Kept => entropy::credit(&random, old),
        _ => Ok(()),
    }
}

/// A seed of another length is none.
fn read_seed(path: &Path) -> Option<[u8; SEED_BYTES]> {
    fs::read(path).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_replaced_each_time() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("machine")).unwrap();
        let path = directory.path().join(SEED);
        let mut seen = Vec::new();
        for _ in 0..3 {
            exchange(&path, Trust::New).unwrap();
            seen.push(read_seed(&path).unwrap());
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn a_torn_seed_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seed");
        fs::write(&path, "short").unwrap();
        assert_eq!(read_seed(&path), None);
    }
}
