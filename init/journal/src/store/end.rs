//! Where a store goes on: looked for from the newest segment back until it is known. A journal of many boots is not read
//! to go on with it.

use std::io;
use std::path::Path;

use super::kernel_sequence;
use super::segment::Segment;

/// What the end of a store says.
#[derive(Debug)]
pub(super) struct End {
    /// Number of the next entry.
    pub(super) next_seq: u64,
    /// Number of the kernel's last record of this boot.
    pub(super) last_kernel: Option<u64>,
    known: bool,
}

impl Default for End {
    fn default() -> Self {
        End {
            next_seq: 1,
            last_kernel: None,
            known: false,
        }
    }
}

impl End {
    /// Takes in the next older segment; `None` if the file is none.
    pub(super) fn look(&mut self, path: &Path, first_seq: u64, boot: [u8; 16]) -> io::Result<Option<Segment>> {
        self.next_seq = self.next_seq.max(first_seq);
        if self.known {
            return Segment::open(path, first_seq);
        }
        let (mut last_kernel, mut earlier_boot) = (None, false);
        let segment = Segment::scan(path, first_seq, |entry| {
            self.next_seq = self.next_seq.max(entry.seq + 1);
            if entry.boot == boot {
                last_kernel = kernel_sequence(entry).or(last_kernel);
            } else {
                earlier_boot = true;
            }
        })?;
        self.last_kernel = self.last_kernel.or(last_kernel);
        self.known = self.last_kernel.is_some() || earlier_boot;
        Ok(segment)
    }
}
