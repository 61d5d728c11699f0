//! Which bytes of a file are asked for, to get the segments that are missing. Pure.

use std::ops::Range;

use keelson_payload::{Index, PartName, Segment};

/// Segments whose stored bytes lie behind one another: one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// In the order of the file.
    pub segments: Vec<Segment>,
}

impl Run {
    /// What is asked for; empty when all of it comes from the running release.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        let start = self.segments.first().map_or(0, |segment| segment.stored().start);
        let end = self.segments.last().map_or(start, |segment| segment.stored().end);
        start..end
    }
}

/// The runs that bring the `missing` segments of a part; numbers that the index does not have are left out.
#[must_use]
pub fn plan_runs(index: &Index, part: PartName, missing: &[u32]) -> Vec<Run> {
    let wanted = |segment: &&Segment| segment.part == part && missing.contains(&segment.number);
    let mut runs: Vec<Run> = Vec::new();
    for segment in index.segments().iter().filter(wanted) {
        match runs.last_mut() {
            Some(run) if run.range().end == segment.stored().start => run.segments.push(segment.clone()),
            _ => runs.push(Run {
                segments: vec![segment.clone()],
            }),
        }
    }
    runs
}

/// Bytes that runs fetch.
#[must_use]
pub fn cost(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.range().end - run.range().start).sum()
}
