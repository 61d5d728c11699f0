//! The stores on the state partition and the formats that this release knows: what a machine compares with the `format`
//! files on its disk before it changes to another release.
//!
//! The programs that own the stores are not linked here; whoever raises a format there raises it here.

use std::collections::BTreeMap;

use keelson_payload::Store;

/// Folder below the state partition, newest format that is read and written, oldest that reads what is written.
const STORES: [(&str, u32, u32); 4] = [
    ("config", 1, 1),
    ("containers", 1, 1),
    ("journal", 1, 1),
    ("secrets", 1, 1),
];

/// As a manifest lists them.
#[must_use]
pub fn all() -> BTreeMap<String, Store> {
    let named = |(name, format, min_reader): (&str, u32, u32)| (name.to_owned(), Store { format, min_reader });
    STORES.into_iter().map(named).collect()
}
