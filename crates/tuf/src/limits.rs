//! How much a repository may make a client read and walk before anything is believed.

/// Bounds on what a client takes. A file that its signed listing says is longer than the bound is refused unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one root.
    pub root: u64,
    /// Bytes of the timestamp.
    pub timestamp: u64,
    /// Bytes of the snapshot.
    pub snapshot: u64,
    /// Bytes of targets and of each delegated role.
    pub targets: u64,
    /// New roots in one run; the next run goes on.
    pub new_roots: u32,
    /// Delegated roles asked for one name.
    pub delegations: usize,
    /// Delegations one below the other.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            root: 128 << 10,
            timestamp: 16 << 10,
            snapshot: 256 << 10,
            targets: 1 << 20,
            new_roots: 256,
            delegations: 32,
            depth: 8,
        }
    }
}
