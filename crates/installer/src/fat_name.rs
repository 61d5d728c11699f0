//! Directory records of FAT: short names, long names, time stamps. Pure.
//!
//! Source: Microsoft "FAT: General Overview of On-Disk Format" 1.03.

use jiff::Timestamp;
use jiff::tz::Offset;

/// Bytes of a directory record.
pub const RECORD: usize = 32;

const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;
const LABEL: u8 = 0x08;
const LONG_NAME: u8 = 0x0f;
const LAST_LONG: u8 = 0x40;
/// UTF-16 units of a long name in one record.
const UNITS: usize = 13;

/// A time as FAT stores it, in UTC: two seconds exact, 1980 to 2107.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    date: u16,
    time: u16,
}

impl Stamp {
    /// From seconds since 1970.
    #[must_use]
    pub fn new(seconds: u64) -> Stamp {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let at = Offset::UTC.to_datetime(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH));
        let number = |value: i8| u16::from(value.unsigned_abs());
        let year = at.year().clamp(1980, 2107).unsigned_abs() - 1980;
        Stamp {
            date: (year << 9) | (number(at.month()) << 5) | number(at.day()),
            time: (number(at.hour()) << 11) | (number(at.minute()) << 5) | (number(at.second()) / 2),
        }
    }
}

fn record(short: &[u8; 11], attributes: u8, cluster: u32, size: u32, stamp: Stamp) -> Vec<u8> {
    let (date, time) = (stamp.date.to_le_bytes(), stamp.time.to_le_bytes());
    let [low, lower, high, higher] = cluster.to_le_bytes();
    let parts: [&[u8]; 11] = [
        short,
        &[attributes, 0, 0],
        &time,
        &date,
        &date,
        &[high, higher],
        &time,
        &date,
        &[low, lower],
        &size.to_le_bytes(),
        &[],
    ];
    parts.concat()
}

/// The record of a volume's label.
#[must_use]
pub fn label_record(label: &str, stamp: Stamp) -> Vec<u8> {
    record(&padded(label), LABEL, 0, 0, stamp)
}

/// `.` and `..`; `above` is 0 below the root.
#[must_use]
pub fn dot_records(own: u32, above: u32, stamp: Stamp) -> Vec<u8> {
    [
        record(&padded("."), DIRECTORY, own, 0, stamp),
        record(&padded(".."), DIRECTORY, above, 0, stamp),
    ]
    .concat()
}

/// Records of a new name in a directory that has `present`: long name where needed, then the short one. `size` is
/// `None` for a directory.
#[must_use]
pub fn records(name: &str, present: &[u8], cluster: u32, size: Option<u32>, stamp: Stamp) -> Vec<u8> {
    let attributes = if size.is_some() { ARCHIVE } else { DIRECTORY };
    let (short, exact) = short_name(name, present);
    let mut out = if exact {
        Vec::new()
    } else {
        long_records(name, checksum(&short))
    };
    out.extend(record(&short, attributes, cluster, size.unwrap_or(0), stamp));
    out
}

fn padded(text: &str) -> [u8; 11] {
    let mut out = [b' '; 11];
    out.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    out
}

/// The short name of a file, not among those `present`, and whether it says all the name says.
fn short_name(name: &str, present: &[u8]) -> ([u8; 11], bool) {
    let (stem, extension) = name
        .rsplit_once('.')
        .filter(|(stem, _)| !stem.is_empty())
        .unwrap_or((name, ""));
    let (base, end) = (short_characters(stem), short_characters(extension));
    let fits = base.len() <= 8 && end.len() <= 3;
    let only_case_lost = fits && base.eq_ignore_ascii_case(stem) && end.eq_ignore_ascii_case(extension);
    if only_case_lost {
        let short = joined(&base, &end);
        return (short, base == stem && end == extension);
    }
    let taken = |short: &[u8; 11]| present.chunks(RECORD).any(|record| record.starts_with(short));
    let numbered = (1..1_000_000).map(|number| {
        let tail = format!("~{number}");
        let kept = base.get(..(8 - tail.len()).min(base.len())).unwrap_or_default();
        joined(&format!("{kept}{tail}"), &end)
    });
    (
        numbered.into_iter().find(|short| !taken(short)).unwrap_or_default(),
        false,
    )
}

fn joined(base: &str, extension: &str) -> [u8; 11] {
    padded(&format!(
        "{base:<8}{}",
        extension.get(..extension.len().min(3)).unwrap_or_default()
    ))
}

/// Upper case; spaces and dots go, what a short name cannot hold becomes `_`.
fn short_characters(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "$%'-_@~`!(){}^#&".contains(c);
    let kept = text.chars().filter(|c| !matches!(c, ' ' | '.'));
    kept.map(|c| if allowed(c) { c.to_ascii_uppercase() } else { '_' })
        .collect()
}

fn checksum(short: &[u8; 11]) -> u8 {
    short
        .iter()
        .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// Long-name records, last part first, as they stand on disk.
fn long_records(name: &str, checksum: u8) -> Vec<u8> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let parts: Vec<&[u16]> = units.chunks(UNITS).collect();
    let mut out = Vec::new();
    for (index, part) in parts.iter().enumerate().rev() {
        let last = if index + 1 == parts.len() { LAST_LONG } else { 0 };
        // A zero ends a name that does not fill its record; the rest is ones.
        let mut filled = part
            .iter()
            .copied()
            .chain([0])
            .chain(std::iter::repeat(0xffff))
            .flat_map(u16::to_le_bytes);
        let mut take = |units: usize| filled.by_ref().take(units * 2).collect::<Vec<u8>>();
        let (first, second, third) = (take(5), take(6), take(2));
        out.push((index as u8 + 1) | last);
        out.extend(first);
        out.extend([LONG_NAME, 0, checksum]);
        out.extend(second);
        out.extend([0, 0]);
        out.extend(third);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_those_other_systems_make() {
        let table: [(&str, &[u8; 11], bool); 7] = [
            ("BOOTX64.EFI", b"BOOTX64 EFI", true),
            ("EFI", b"EFI        ", true),
            ("Linux", b"LINUX      ", false),
            ("loader.conf", b"LOADER~1CON", false),
            ("ka+3-0.efi", b"KA_3-0~1EFI", false),
            ("user-data", b"USER-D~1   ", false),
            (".hidden", b"HIDDEN~1   ", false),
        ];
        for (name, short, exact) in table {
            let (found, found_exact) = short_name(name, &[]);
            assert_eq!(
                (String::from_utf8_lossy(&found), found_exact),
                (String::from_utf8_lossy(short), exact),
                "{name}"
            );
        }
    }

    #[test]
    fn equal_short_names_get_numbers() {
        let stamp = Stamp::new(0);
        let first = records("loader-one.conf", &[], 0, Some(0), stamp);
        let second = records("loader-two.conf", &first, 0, Some(0), stamp);
        assert!(second.chunks(RECORD).last().unwrap().starts_with(b"LOADER~2CON"));
    }

    #[test]
    fn stamps_follow_the_format() {
        // 2023-11-14 22:13:21 UTC
        let stamp = Stamp::new(1_700_000_001);
        assert_eq!(stamp.date, (43 << 9) | (11 << 5) | 14);
        assert_eq!(stamp.time, (22 << 11) | (13 << 5) | 10);
        assert_eq!(Stamp::new(0).date, (1 << 5) | 1, "before 1980");
    }

    #[test]
    fn records_have_their_size() {
        for (name, count) in [
            ("EFI", 1),
            ("ka+3-0.efi", 2),
            ("thirteen-char", 2),
            ("fourteen-chars", 3),
        ] {
            assert_eq!(
                records(name, &[], 0, None, Stamp::new(0)).len(),
                count * RECORD,
                "{name}"
            );
        }
    }
}
