//! The two halves of the system disk. A slot is a root partition, its hash tree and one boot entry.

use serde::{Deserialize, Serialize};

use crate::partitions::Part;

/// One of the two places a release can live in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The first slot: partitions 3 and 4, entry `ka`.
    A,
    /// The second slot: partitions 5 and 6, entry `kb`.
    B,
}

impl Slot {
    /// Both slots, in the order of their records.
    pub const ALL: [Slot; 2] = [Slot::A, Slot::B];

    /// The slot that is not this one.
    #[must_use]
    pub const fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }

    /// Position of this slot in the slot-state record: 0 or 1.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Slot::A => 0,
            Slot::B => 1,
        }
    }

    /// `a` or `b`.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Slot::A => 'a',
            Slot::B => 'b',
        }
    }

    /// Beginning of the boot entry's file name: `ka` or `kb`. Short on purpose: with a counter the name must stay
    /// within 13 characters, so that all entries fit one directory sector.
    #[must_use]
    pub const fn entry_stem(self) -> &'static str {
        match self {
            Slot::A => "ka",
            Slot::B => "kb",
        }
    }

    /// The partition that holds the root file system.
    #[must_use]
    pub const fn root(self) -> Part {
        match self {
            Slot::A => Part::RootA,
            Slot::B => Part::RootB,
        }
    }

    /// The partition that holds the root's hash tree.
    #[must_use]
    pub const fn verity(self) -> Part {
        match self {
            Slot::A => Part::VerityA,
            Slot::B => Part::VerityB,
        }
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.letter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_has_its_own_partitions_and_names() {
        assert_eq!(Slot::A.other(), Slot::B);
        assert_eq!(Slot::B.other(), Slot::A);
        assert_eq!(Slot::A.root().number(), 3);
        assert_eq!(Slot::B.verity().number(), 6);
        assert_ne!(Slot::A.entry_stem(), Slot::B.entry_stem());
    }
}
