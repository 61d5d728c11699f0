//! The two places that say which slot boots, and the order of writing them: the slot-state partition first, then the
//! names of the boot entries on the EFI system partition. Used by the initramfs before the switch and by the update
//! agent after it, under one lock.
//!
//! Thin I/O: what to write is decided in `keelson_image_layout::slot_state`.

pub mod entries;
pub mod esp;
pub mod record;

pub use entries::{Plan, plan_entry, wanted_entry};
pub use esp::{Esp, EspError};
pub use record::{RecordError, RecordStore};
