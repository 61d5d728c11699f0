//! The difference of a segment to its window, after Colin Percival's bsdiff: bytes of the window that something is added
//! to, and bytes that are new.
//!
//! A stream has three parts, so that like lies beside like and compresses well: the steps as LEB128 numbers (how many,
//! then for each: bytes to add to, new bytes, movement in the window as zigzag), all bytes to add, all new bytes.

use thiserror::Error;

/// One step: add to so many bytes of the window, take so many new ones, move in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// Bytes taken from the window, each with a byte added.
    pub add: u32,
    /// New bytes.
    pub extra: u32,
    /// Movement in the window after the bytes that were added to.
    pub seek: i64,
}

/// Why a stream makes no segment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DifferenceError {
    /// The stream ends early.
    #[error("the difference ends within its {0}")]
    Short(&'static str),
    /// A number of more than 64 bits, or one that is written longer than it need be.
    #[error("step {step} of the difference has no proper number")]
    Number {
        /// Which step, from 0.
        step: u64,
    },
    /// A step leaves the window or makes more than the segment.
    #[error("step {step} of the difference leaves the {place}")]
    Outside {
        /// Which step, from 0.
        step: u64,
        /// `window` or `segment`.
        place: &'static str,
    },
    /// Bytes are left over, or the segment is not full.
    #[error("the difference does not fit its segment of {length} bytes")]
    Length {
        /// Bytes of the segment.
        length: usize,
    },
}

/// Puts a stream together: the steps, what is added and what is new, both in order.
#[must_use]
pub fn join_differences(controls: &[Control], add: &[u8], extra: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(add.len() + extra.len() + controls.len() * 6);
    put_number(&mut stream, controls.len() as u64);
    for control in controls {
        put_number(&mut stream, u64::from(control.add));
        put_number(&mut stream, u64::from(control.extra));
        put_number(
            &mut stream,
            ((control.seek << 1) ^ (control.seek >> 63)).cast_unsigned(),
        );
    }
    stream.extend_from_slice(add);
    stream.extend_from_slice(extra);
    stream
}

/// Makes a segment of `length` bytes out of its window and a stream.
pub(crate) fn patch(window: &[u8], stream: &[u8], length: usize) -> Result<Vec<u8>, DifferenceError> {
    let mut rest = stream;
    let count = take_number(&mut rest, 0)?;
    let mut steps = rest;
    let (mut add, mut total) = (0_usize, 0_usize);
    for step in 0..count {
        let control = take_control(&mut rest, step)?;
        add = add.saturating_add(control.add as usize);
        total = total
            .saturating_add(control.add as usize)
            .saturating_add(control.extra as usize);
        if total > length {
            return Err(DifferenceError::Outside { step, place: "segment" });
        }
    }
    let (mut add, mut extra) = rest
        .split_at_checked(add)
        .ok_or(DifferenceError::Short("bytes to add"))?;
    let mut segment = Vec::with_capacity(length);
    let mut at = 0_i64;
    for step in 0..count {
        let control = take_control(&mut steps, step)?;
        let old = usize::try_from(at)
            .ok()
            .and_then(|at| window.get(at..)?.get(..control.add as usize));
        let old = old.ok_or(DifferenceError::Outside { step, place: "window" })?;
        let added = take(&mut add, control.add).ok_or(DifferenceError::Short("bytes to add"))?;
        segment.extend(old.iter().zip(added).map(|(old, added)| old.wrapping_add(*added)));
        segment.extend_from_slice(take(&mut extra, control.extra).ok_or(DifferenceError::Short("new bytes"))?);
        at = at.saturating_add(i64::from(control.add)).saturating_add(control.seek);
    }
    if segment.len() == length && extra.is_empty() {
        Ok(segment)
    } else {
        Err(DifferenceError::Length { length })
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: u32) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count as usize)?;
    *bytes = rest;
    Some(taken)
}

fn take_control(bytes: &mut &[u8], step: u64) -> Result<Control, DifferenceError> {
    let mut count = || u32::try_from(take_number(bytes, step)?).map_err(|_| DifferenceError::Number { step });
    let (add, extra) = (count()?, count()?);
    let seek = take_number(bytes, step)?;
    Ok(Control {
        add,
        extra,
        seek: (seek >> 1).cast_signed() ^ -(seek & 1).cast_signed(),
    })
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8], step: u64) -> Result<u64, DifferenceError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(DifferenceError::Short("steps"))?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits || (*byte == 0 && shift > 0) {
            break;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(DifferenceError::Number { step })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(add: u32, extra: u32, seek: i64) -> Control {
        Control { add, extra, seek }
    }

    #[test]
    fn bytes_are_added_taken_and_moved_over() {
        let stream = join_differences(&[step(2, 1, 1), step(1, 0, -4), step(1, 1, 0)], &[0, 1, 0, 255], b"xy");
        assert_eq!(patch(b"abcd", &stream, 6).unwrap(), b"acxd`y");
    }

    #[test]
    fn each_mistake_is_named() {
        let cases = [
            (
                join_differences(&[step(5, 0, 0)], &[0; 5], b""),
                DifferenceError::Outside {
                    step: 0,
                    place: "window",
                },
            ),
            (
                join_differences(&[step(1, 0, -2), step(1, 0, 0)], &[0; 2], b""),
                DifferenceError::Outside {
                    step: 1,
                    place: "window",
                },
            ),
            (
                join_differences(&[step(4, 3, 0)], &[0; 4], b"xyz"),
                DifferenceError::Outside {
                    step: 0,
                    place: "segment",
                },
            ),
            (
                join_differences(&[step(4, 1, 0)], &[0; 4], b""),
                DifferenceError::Short("new bytes"),
            ),
            (
                join_differences(&[step(4, 1, 0)], &[0; 3], b""),
                DifferenceError::Short("bytes to add"),
            ),
            (
                join_differences(&[step(4, 0, 0)], &[0; 4], b"x"),
                DifferenceError::Length { length: 6 },
            ),
            (
                join_differences(&[step(4, 2, 0)], &[0; 4], b"xyz"),
                DifferenceError::Length { length: 6 },
            ),
            (vec![2], DifferenceError::Short("steps")),
            (vec![0x80, 0], DifferenceError::Number { step: 0 }),
            (vec![0xff; 12], DifferenceError::Number { step: 0 }),
        ];
        for (stream, expected) in cases {
            assert_eq!(patch(b"abcd", &stream, 6), Err(expected));
        }
    }

    proptest::proptest! {
        #[test]
        fn numbers_read_back(number: u64, seek: i64) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            proptest::prop_assert_eq!(take_number(&mut bytes.as_slice(), 0), Ok(number));
            let stream = join_differences(&[step(1, 2, seek)], &[], &[]);
            proptest::prop_assert_eq!(take_control(&mut stream.get(1..).unwrap(), 0), Ok(step(1, 2, seek)));
        }

        #[test]
        fn any_bytes_make_a_segment_or_an_error(stream: Vec<u8>, window: Vec<u8>, length in 0_usize..64) {
            if let Ok(segment) = patch(&window, &stream, length) {
                proptest::prop_assert_eq!(segment.len(), length);
            }
        }
    }
}
