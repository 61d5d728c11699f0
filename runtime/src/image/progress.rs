//! What a pull tells while it runs. The shapes follow Docker's status lines; wording is the API's work.

use super::digest::Digest;

/// Receives progress; called from the pull's own thread, must not block.
pub type ProgressSink = std::sync::Arc<dyn Fn(Progress) + Send + Sync>;

/// One step of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The reference was resolved to this manifest (the index's digest for an image of several platforms).
    Resolved {
        /// Digest as pulled.
        digest: Digest,
    },
    /// A layer moved on.
    Layer {
        /// First 12 hex digits of the layer's blob digest.
        id: String,
        /// Where it is now.
        state: LayerProgress,
    },
}

/// How far a layer is. Sizes are bytes of the compressed blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerProgress {
    /// Will be needed.
    PullingFsLayer,
    /// Behind others.
    Waiting,
    /// On its way.
    Downloading {
        /// Bytes so far.
        current: u64,
        /// Bytes of the blob.
        total: u64,
    },
    /// Arrived whole and with the right digest.
    DownloadComplete,
    /// Being unpacked.
    Extracting {
        /// Compressed bytes so far.
        current: u64,
        /// Bytes of the blob.
        total: u64,
    },
    /// Unpacked; becomes durable with the image.
    PullComplete,
    /// Here from before.
    AlreadyExists,
}
