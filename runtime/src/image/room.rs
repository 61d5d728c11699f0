//! Whether images have room: asked before a pull and again while its layers are written. Images never
//! take the partition's reserve. Decides; what a refused pull wrote goes with its staging area.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::space::Space;

/// Room is asked for again each time this many bytes of a layer were unpacked.
const STEP: u64 = 4 << 20;

/// The partition has no room for an image. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room for the image: needs {needs} bytes, {free} are free, of which {reserve} stay in reserve")]
pub struct NoRoom {
    /// Still to be written, as far as is known.
    pub needs: u64,
    /// Free on the partition.
    pub free: u64,
    /// Kept free for the system.
    pub reserve: u64,
}

/// Tells how much room a partition has.
#[derive(Clone)]
pub(crate) struct Room(Arc<dyn Fn() -> io::Result<Space> + Send + Sync>);

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

impl Room {
    /// Of the partition that `directory` lies on.
    pub fn of(directory: &Path) -> Self {
        let directory = directory.to_owned();
        Self::new(move || Space::measure(&directory))
    }

    /// As `measure` says.
    pub fn new(measure: impl Fn() -> io::Result<Space> + Send + Sync + 'static) -> Self {
        Self(Arc::new(measure))
    }

    /// Refuses what would take of the reserve. A partition that cannot be measured refuses nothing: the
    /// writes will fail on their own.
    pub fn check(&self, needs: u64) -> Result<(), NoRoom> {
        match (self.0)() {
            Ok(space) => decide(space, needs),
            Err(error) => {
                log::warn!(error:% = error; "room on the partition is not known");
                Ok(())
            }
        }
    }
}

fn decide(space: Space, needs: u64) -> Result<(), NoRoom> {
    let (free, reserve) = (space.free, space.reserve());
    if free.checked_sub(needs).is_some_and(|left| left >= reserve) {
        Ok(())
    } else {
        Err(NoRoom { needs, free, reserve })
    }
}

/// A layer's unpacked stream, which ends with an error when room runs out.
pub(crate) struct Watched<'a, R> {
    stream: R,
    room: &'a Room,
    since: u64,
    refused: &'a mut Option<NoRoom>,
}

impl<'a, R> Watched<'a, R> {
    /// `refused` says afterwards whether it was for want of room that the stream ended.
    pub const fn new(stream: R, room: &'a Room, refused: &'a mut Option<NoRoom>) -> Self {
        Self {
            stream,
            room,
            since: 0,
            refused,
        }
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since >= STEP {
            self.since = 0;
            self.room.check(0).map_err(|error| {
                *self.refused = Some(error);
                io::Error::other(error)
            })?;
        }
        let count = self.stream.read(buffer)?;
        self.since += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_reserve_is_never_taken() {
        let table = [
            // total, free, needs, allowed
            (10 * GIB, 5 * GIB, 0, true),
            (10 * GIB, 5 * GIB, 4 * GIB, true),
            (10 * GIB, 5 * GIB, 4 * GIB + 1, false),
            (10 * GIB, 5 * GIB, u64::MAX, false),
            (10 * GIB, GIB, 0, true),
            (10 * GIB, GIB - 1, 0, false),
            (100 * GIB, 3 * GIB, GIB, true),
            (GIB / 4, 64 << 20, 1, false),
        ];
        for (total, free, needs, allowed) in table {
            let decided = decide(Space { total, free }, needs);
            assert_eq!(decided.is_ok(), allowed, "{total} {free} {needs}");
        }
    }

    #[test]
    fn the_refusal_has_the_figures() {
        let refused = decide(Space { total: 0, free: 5 }, 7).unwrap_err();
        let text = "no room for the image: needs 7 bytes, 5 are free, of which 67108864 stay in reserve";
        assert_eq!(refused.to_string(), text);
    }

    #[test]
    fn a_partition_that_cannot_be_measured_refuses_nothing() {
        let room = Room::of(Path::new("/proc/self/no such directory"));
        assert_eq!(room.check(u64::MAX), Ok(()));
    }
}
