//! Debian packages as raw material: resolved by apt in a configuration of our own, checked by its signatures, unpacked
//! without ever running anything that is inside them.

mod apt;
mod packages;
mod sources;
mod unpack;

pub use apt::{Apt, AptError, carried_settings};
pub use packages::{Package, PackageError, Packages, Wanted};
pub use sources::{Archives, SourcesError, Stanza, format_stanza, parse_deb822, parse_one_line, plan_archives};
pub use unpack::{UnpackError, control_field, unpack};
