//! The difference of a segment to its window in the form that machines read.

use std::io;

use keelson_payload::{Control, join_differences};

/// The stream that makes `new` out of `old`.
///
/// # Errors
/// The library that finds the differences failed, or wrote something else than it says it does.
pub fn stream(old: &[u8], new: &[u8]) -> io::Result<Vec<u8>> {
    let mut mixed = Vec::new();
    bsdiff::diff(old, new, &mut mixed)?;
    sorted(&mixed).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// From step, bytes to add and new bytes of one step after the other to all of each together.
fn sorted(mut mixed: &[u8]) -> Option<Vec<u8>> {
    let (mut controls, mut add, mut extra) = (Vec::new(), Vec::new(), Vec::new());
    while !mixed.is_empty() {
        let control = Control {
            add: u32::try_from(number(&mut mixed)?).ok()?,
            extra: u32::try_from(number(&mut mixed)?).ok()?,
            seek: number(&mut mixed)?,
        };
        let (bytes, rest) = mixed.split_at_checked(control.add as usize)?;
        add.extend_from_slice(bytes);
        let (bytes, rest) = rest.split_at_checked(control.extra as usize)?;
        extra.extend_from_slice(bytes);
        mixed = rest;
        controls.push(control);
    }
    Some(join_differences(&controls, &add, &extra))
}

/// 63 bits and a sign above them, little-endian, as bsdiff has always written numbers.
fn number(bytes: &mut &[u8]) -> Option<i64> {
    let (taken, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    let bits = u64::from_le_bytes(*taken);
    let magnitude = i64::try_from(bits & (u64::MAX >> 1)).ok()?;
    Some(if bits >> 63 == 1 { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_sign_and_steps_are_sorted() {
        let mut mixed = Vec::new();
        for (control, bytes) in [([2_u64, 1, 1 << 63 | 2], &b"abX"[..]), ([1, 2, 0], b"cYZ")] {
            control.iter().for_each(|number| mixed.extend(number.to_le_bytes()));
            mixed.extend(bytes);
        }
        let steps = [
            Control {
                add: 2,
                extra: 1,
                seek: -2,
            },
            Control {
                add: 1,
                extra: 2,
                seek: 0,
            },
        ];
        assert_eq!(sorted(&mixed).unwrap(), join_differences(&steps, b"abc", b"XYZ"));
        assert_eq!(sorted(&mixed[..mixed.len() - 1]), None);
    }
}
