//! The last time this machine was seen alive, in a file that survives.

use super::{clock, floor};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Reads it; None when there is none or it is damaged.
pub fn load(path: &Path) -> Option<Duration> {
    floor::parse_saved(&std::fs::read_to_string(path).ok()?)
}

/// Writes the time of now.
///
/// # Errors
/// As [`keelson_durable::replace`].
pub fn save(path: &Path) -> io::Result<()> {
    let text = format!("{}\n", clock::now().as_secs());
    keelson_durable::replace(path, text.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("clock");
        assert_eq!(load(&path), None);
        save(&path).unwrap();
        let age = clock::now().abs_diff(load(&path).unwrap());
        assert!(age < Duration::from_secs(60), "{age:?}");
    }
}
