//! The places that say which slot boots, and the order of writing them: the slot-state partition first, then the names
//! of the boot entries on the EFI system partition. Used by the initramfs before the switch and by the update agent
//! after it, under one lock. And the way of a release into the slot that does not run.
//!
//! Thin I/O: what to write is decided in `keelson_image_layout::slot_state`, and in the pure modules here.

pub mod entries;
pub mod entry_release;
pub mod esp;
pub mod fuzz;
mod glance;
pub mod record;
pub mod resume;
pub mod room;
pub mod root;
pub mod update;

pub use entries::{Plan, plan_entry, wanted_entry};
pub use esp::{Esp, EspError};
pub use glance::{entries_agree, entry_names, read_entry};
pub use record::{RecordError, RecordStore};
pub use resume::{Obstacle, Resume};
pub use root::{RootWriter, SealedRoot};
pub use update::{Begun, Places, Point, SlotUpdate, UpdateError};
