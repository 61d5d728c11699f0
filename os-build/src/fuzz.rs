//! Entry points for fuzzing: each takes any bytes and must not panic.

use crate::secure_boot::authenticode;
use crate::{deb, kernel, uki};

/// A kernel module.
pub fn modinfo(data: &[u8]) {
    let _ = kernel::parse_modinfo(data);
}

/// The host's apt sources, both styles.
pub fn sources(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let stanzas = [deb::parse_deb822(&text), deb::parse_one_line(&text)].concat();
    let _ = deb::plan_archives(&stanzas);
}

/// A boot entry on a disk of unknown origin.
pub fn boot_entry(data: &[u8]) {
    for name in [".linux", ".osrel", ".uname"] {
        let _ = uki::section(data, name);
    }
}

/// A program of firmware with signatures of unknown origin.
pub fn signed_program(data: &[u8]) {
    let _ = authenticode::signatures(data);
    let _ = authenticode::without_signatures(data);
}
