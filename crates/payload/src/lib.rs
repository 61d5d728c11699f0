//! What a release is on the wire: a manifest, the parts it consists of cut into segments, and files that carry the
//! segments whole or as differences to an earlier release. The bytes are described in `docs/formats/release.md`.
//!
//! The order of trust: the manifest is a target of the signed metadata; it holds the digest of each file's index; the
//! index holds the digest of each segment's stored bytes; the manifest holds the digest of each segment's content. So
//! every byte is checked before it is decoded, and every decoded byte before it is written.
//!
//! ```text
//! let manifest = Manifest::parse(verified_target)?;
//! let patch = manifest.patch_from(running_root_hash, running_entry)?;
//! let index = Index::of_patch(first_bytes_of_the_file, &manifest, patch)?;
//! for segment in index.segments() {
//!     let window = read(segment.part, segment.window);         // of the running slot
//!     let content = segment.apply(window, fetched(segment.stored()))?;
//! }
//! ```
//!
//! Nothing here reads a file, a device, a socket or the clock.

mod bsdiff;
mod digest;
pub mod fuzz;
pub mod index;
pub mod manifest;
pub mod rollout;
mod segment;
mod version;
mod zstd;

pub use bsdiff::{Control, DifferenceError, join_differences};
pub use digest::Digest;
pub use index::{Index, IndexError};
pub use manifest::{Manifest, ManifestError, Part, PartName, Patch, PayloadFile, Source, Store};
pub use rollout::{Rollout, RolloutError};
pub use segment::{ApplyError, Cause, Method, Segment, Window};
pub use version::{Version, VersionError};

/// Bytes of a segment; the last one of a part may be shorter.
pub const SEGMENT_BYTES: u32 = 4 << 20;
/// Most bytes of the earlier release that one segment may look at.
pub const WINDOW_BYTES: u32 = 8 << 20;
/// Most bytes that a segment may be stored in.
pub const STORED_BYTES: u32 = SEGMENT_BYTES + (64 << 10);
