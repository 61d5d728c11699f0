//! What the image builder writes, the boot program expects and the update agent changes: names, numbers and
//! records, as pure values. Nothing here touches a device, a file or the clock.
//!
//! The bytes are described in `docs/formats/`; installed machines keep them for years, so fields are only appended.

pub mod boot_entry;
pub mod boot_history;
pub mod bus;
pub mod efi_variable;
pub mod facts;
pub mod fuzz;
pub mod hash_tree;
pub mod metadata;
pub mod partitions;
pub mod paths;
pub mod release;
pub mod slot;
pub mod slot_state;
pub mod users;
pub mod verity;

pub use boot_entry::{Counter, EntryName};
pub use bus::BusAccess;
pub use facts::{BootFacts, Disk, SecureBoot, SlotFacts, SlotNodes, StateMount};
pub use partitions::Part;
pub use release::Release;
pub use slot::Slot;
pub use slot_state::{Reason, SlotRecord, SlotState, State};
pub use verity::RootHash;
