//! Kernel settings from a data file in this program.

use std::fs;
use std::io;
use std::path::PathBuf;

const SETTINGS: &str = include_str!("sysctl.conf");

/// Applies all settings; a key this kernel does not have is skipped.
pub fn apply() {
    for (key, value) in parse_settings(SETTINGS) {
        match fs::write(file_of(key), value) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => log::debug!(key; "unknown to this kernel"),
            Err(error) => log::warn!(key; "kernel setting is not applied: {error}"),
        }
    }
}

/// Lines `key = value`; empty ones and comments are skipped.
fn parse_settings(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
}

fn file_of(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(key.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_file_is_a_setting() {
        let meant = SETTINGS
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .count();
        let found: Vec<_> = parse_settings(SETTINGS).collect();
        assert_eq!(found.len(), meant);
        let plain = |key: &str| {
            key.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        assert!(found.iter().all(|(key, value)| plain(key) && !value.is_empty()));
        assert_eq!(file_of("kernel.modprobe"), PathBuf::from("/proc/sys/kernel/modprobe"));
    }
}
