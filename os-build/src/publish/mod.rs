//! A release for machines that update themselves: parts cut into segments, in full and as differences to earlier
//! releases, in a signed repository that any web server can serve. Bytes: `docs/formats/release.md`.

pub mod ceremony;
pub mod content;
mod difference;
mod displacement;
pub mod drafts;
mod earlier;
mod encode;
pub mod file;
pub mod keys;
pub mod listing;
pub mod offer;
pub mod release;
pub mod repository;
pub mod roles;
mod stores;

pub use content::Content;
pub use earlier::Earlier;
