//! What lies at the beginning of a disk or partition: file systems and the like by their magic numbers, with their
//! label. Pure; enough for a person to know their data by, not a parser.

/// Bytes from the start that are looked at.
pub const LOOKED_AT: usize = 72 << 10;

/// What was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// For instance `ext4`, `vfat`, `LUKS`.
    pub kind: &'static str,
    /// Its label, if it has one.
    pub label: Option<String>,
}

/// A magic number and where the label lies: offset and length.
struct Magic {
    kind: &'static str,
    at: usize,
    bytes: &'static [u8],
    label: Option<(usize, usize)>,
}

const fn magic(kind: &'static str, at: usize, bytes: &'static [u8], label: Option<(usize, usize)>) -> Magic {
    Magic { kind, at, bytes, label }
}

/// In the order they are tried: what may lie inside of something else comes later. Sources: each file system's own
/// description of its superblock.
const MAGICS: [Magic; 16] = [
    magic("LUKS", 0, b"LUKS\xba\xbe", None),
    magic("LVM", 512, b"LABELONE", None),
    magic("xfs", 0, b"XFSB", Some((108, 12))),
    magic("ext4", 0x438, b"\x53\xef", Some((0x478, 16))),
    magic("btrfs", 0x10040, b"_BHRfS_M", Some((0x1012b, 256))),
    magic("erofs", 1024, b"\xe2\xe1\xf5\xe0", Some((1024 + 64, 16))),
    magic("swap", 4086, b"SWAPSPACE2", Some((1052, 16))),
    magic("NTFS", 3, b"NTFS    ", None),
    magic("exFAT", 3, b"EXFAT   ", None),
    magic("vfat", 82, b"FAT32   ", Some((71, 11))),
    magic("vfat", 54, b"FAT16   ", Some((43, 11))),
    magic("vfat", 54, b"FAT12   ", Some((43, 11))),
    magic("iso9660", 0x8001, b"CD001", Some((0x8028, 32))),
    magic("squashfs", 0, b"hsqs", None),
    magic("RAID member", 4096, b"\xfc\x4e\x2b\xa9", Some((4096 + 32, 32))),
    magic("RAID member", 0, b"\xfc\x4e\x2b\xa9", Some((32, 32))),
];

/// Recognises what begins with `bytes`; `None` if nothing is known about it. Zeros are `empty`.
#[must_use]
pub fn recognise(bytes: &[u8]) -> Option<Content> {
    let found = MAGICS.iter().find(|magic| {
        let end = magic.at + magic.bytes.len();
        bytes.get(magic.at..end) == Some(magic.bytes)
    });
    match found {
        Some(magic) => Some(Content {
            kind: magic.kind,
            label: magic.label.and_then(|(at, length)| text(bytes.get(at..at + length)?)),
        }),
        None if bytes.iter().all(|byte| *byte == 0) => Some(Content {
            kind: "empty",
            label: None,
        }),
        None => None,
    }
}

/// A label's printable text: it comes from a stranger's disk and goes to a terminal.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(bytes.get(..end)?);
    let plain: String = text.chars().filter(|letter| !letter.is_control()).collect();
    let plain = plain.trim();
    (!plain.is_empty() && plain != "NO NAME").then(|| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_contents_are_named_with_their_label() {
        for magic in &MAGICS {
            let mut bytes = vec![1; LOOKED_AT];
            bytes[magic.at..magic.at + magic.bytes.len()].copy_from_slice(magic.bytes);
            if let Some((at, length)) = magic.label {
                bytes[at..at + length].fill(0);
                bytes[at..at + 5].copy_from_slice(b"da\x1bta");
            }
            let found = recognise(&bytes).unwrap();
            assert_eq!(found.kind, magic.kind);
            assert_eq!(found.label.as_deref(), magic.label.map(|_| "data"), "{}", magic.kind);
        }
    }

    #[test]
    fn nothing_is_told_from_something_unknown() {
        assert_eq!(recognise(&[0; 4096]).unwrap().kind, "empty");
        assert_eq!(recognise(&[3; 4096]), None);
        assert_eq!(recognise(&[]).unwrap().kind, "empty");
    }

    #[test]
    fn real_file_systems_are_recognised() {
        let place = tempfile::tempdir().unwrap();
        let make = |program: &str, arguments: &[&str]| {
            let path = place.path().join("fs");
            std::fs::write(&path, vec![0; 64 << 20]).unwrap();
            let status = std::process::Command::new(program)
                .args(arguments)
                .arg(&path)
                .output()
                .unwrap();
            assert!(status.status.success(), "{program}");
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.truncate(LOOKED_AT);
            recognise(&bytes).unwrap()
        };
        let ext4 = make("/usr/sbin/mke2fs", &["-q", "-F", "-t", "ext4", "-L", "photos"]);
        assert_eq!((ext4.kind, ext4.label.as_deref()), ("ext4", Some("photos")));
        let fat = make("/usr/sbin/mkfs.vfat", &["-F", "32", "-n", "CAMERA"]);
        assert_eq!((fat.kind, fat.label.as_deref()), ("vfat", Some("CAMERA")));
    }
}
