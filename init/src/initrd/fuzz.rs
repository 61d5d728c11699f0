//! Entry points for fuzzing what the initramfs reads from disk and firmware: any bytes, and no panic.

use std::collections::BTreeSet;

use super::gpt::{Header, Table};
use super::{boot_option, efi, state, trace};
use crate::modules::index::{Index, Texts};

/// A partition table: a header sector, then as much of the array of entries as there is.
pub fn partition_table(data: &[u8]) {
    let (sector, entries) = data.split_at(data.len().min(512));
    if let Ok(header) = Header::parse(sector, 1)
        && let Ok(table) = Table::new(header, entries.to_vec())
    {
        let _ = table.is_keelson();
        let _ = super::gpt::renew(&table, 1 << 24, uuid::Uuid::nil);
    }
}

/// A variable the boot loader left, and one the firmware left.
pub fn efi_variable(data: &[u8]) {
    let loader = efi::Loader {
        entry: efi::text(data),
        counted: efi::text(data),
        ..efi::Loader::default()
    };
    let _ = (loader.slot(), loader.choice());
    let _ = boot_option::parse_option(data);
}

/// A dump in pstore: a line with its name, then its text.
pub fn last_words(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let (name, text) = text.split_once('\n').unwrap_or(("", &text));
    let dump = trace::Dump {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let _ = trace::judge(&[dump.clone(), dump], false);
}

/// The index files of a module directory, all four the same, and an alias to look up.
pub fn module_index(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let index = Index::parse(Texts {
        dep: &text,
        alias: &text,
        softdep: &text,
        builtin: &text,
    });
    let wanted = text.lines().next_back().unwrap_or_default();
    let distinct: BTreeSet<String> = index.resolve(wanted).into_iter().collect();
    for name in distinct {
        let _ = index.plan(&name);
    }
}

/// A superblock of the state file system.
pub fn superblock(data: &[u8]) {
    let _ = state::check::judge(data);
}
