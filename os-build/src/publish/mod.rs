//! A release for machines that update themselves: parts cut into segments, in full and as differences to earlier
//! releases, in a signed repository that any web server can serve. Bytes: `docs/formats/release.md`.

pub mod content;
mod difference;
mod displacement;
mod earlier;
mod encode;
pub mod file;
mod stores;

pub use content::Content;
pub use earlier::Earlier;
