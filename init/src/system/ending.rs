//! The record of an orderly end, for the boot history: written as one of the last things, when no unit runs any more, so
//! that waiting for the disk keeps nobody waiting. `docs/formats/boot-history.md`.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use keelson_image_layout::BootFacts;
use keelson_image_layout::boot_history::{Asker, Ending, Kind};
use keelson_manager_api::PowerKind;

use super::turn;

/// Readable for operators.
const MODE: u32 = 0o644;

/// Leaves word of how this boot ends.
///
/// # Errors
/// Names what could not be written; the next boot then takes the end for lost power.
pub fn leave(path: &Path, facts: &BootFacts, kind: PowerKind, asker: Asker) -> io::Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let ending = Ending {
        boot_id: facts.boot_id.clone(),
        kind: match kind {
            PowerKind::Reboot => Kind::Reboot,
            PowerKind::PowerOff => Kind::PowerOff,
        },
        asker,
        at: now.unwrap_or(Duration::ZERO).as_secs(),
        up: turn::now().as_secs(),
    };
    keelson_durable::replace(path, &serde_json::to_vec(&ending)?, MODE)
}
