//! Headers of every kind, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::image::fixture::{TarBuilder, header, seal};

fn first(tar: &[u8]) -> Result<Option<Entry>, TarError> {
    next_entry(&mut &tar[..])
}

#[test]
fn reads_each_kind() {
    for (flag, name, kind) in [
        (b'0', "f", Kind::File),
        (0, "f", Kind::File),
        (0, "d/", Kind::Dir),
        (b'7', "f", Kind::File),
        (b'1', "h", Kind::Hardlink),
        (b'2', "s", Kind::Symlink),
        (b'3', "c", Kind::CharDevice),
        (b'4', "b", Kind::BlockDevice),
        (b'5', "d", Kind::Dir),
        (b'6', "p", Kind::Fifo),
    ] {
        let tar = TarBuilder::default().entry(flag, name, 0o4755, "link", b"").finish();
        let entry = first(&tar).unwrap().unwrap();
        assert_eq!(
            (entry.kind, entry.mode, entry.link.as_slice()),
            (kind, 0o4755, b"link".as_slice())
        );
        assert_eq!(
            entry.mtime,
            Time {
                seconds: 0o12,
                nanoseconds: 0
            }
        );
    }
}

#[test]
fn a_size_on_what_has_no_contents_means_nothing() {
    let tar = TarBuilder::default().raw(&header(b'1', "h", 0, "f", 99)).finish();
    assert_eq!(first(&tar).unwrap().unwrap().size, 0);
}

#[test]
fn long_names_of_both_dialects() {
    let long = "d/".repeat(100) + "f";
    let gnu = TarBuilder::default()
        .entry(b'L', "././@LongLink", 0, "", format!("{long}\0").as_bytes())
        .entry(b'K', "././@LongLink", 0, "", b"target\0")
        .symlink("short", "short");
    let entry = first(&gnu.finish()).unwrap().unwrap();
    assert_eq!(
        (entry.name, entry.link),
        (long.clone().into_bytes(), b"target".to_vec())
    );

    let pax = TarBuilder::default()
        .pax(&[
            ("path", long.as_bytes()),
            ("uid", b"100000"),
            ("mtime", b"5.25"),
            ("SCHILY.xattr.user.x", b"1\n\0"),
        ])
        .file("short", b"");
    let entry = first(&pax.finish()).unwrap().unwrap();
    assert_eq!((entry.name, entry.uid), (long.into_bytes(), 100_000));
    assert_eq!(
        entry.mtime,
        Time {
            seconds: 5,
            nanoseconds: 250_000_000
        }
    );
    assert_eq!(entry.xattrs[b"user.x".as_slice()], b"1\n\0");
}

#[test]
fn the_prefix_counts_in_posix_headers_only() {
    let mut posix = header(b'0', "name", 0o644, "", 0);
    posix[345..348].copy_from_slice(b"dir");
    seal(&mut posix);
    assert_eq!(first(&posix).unwrap().unwrap().name, b"dir/name");
    posix[257..265].copy_from_slice(b"ustar  \0");
    seal(&mut posix);
    assert_eq!(first(&posix).unwrap().unwrap().name, b"name");
}

#[test]
fn numbers_in_base_256() {
    let mut large = header(b'0', "f", 0o644, "", 0);
    large[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    large[136..148].copy_from_slice(&[0xff; 12]);
    seal(&mut large);
    let entry = first(&large).unwrap().unwrap();
    assert_eq!((entry.size, entry.mtime.seconds), (2 << 32, -1));
}

#[test]
fn refuses_what_it_does_not_understand() {
    let plain = header(b'0', "f", 0o644, "", 0);
    let mut damaged = plain;
    damaged[0] = b'g';
    assert!(matches!(first(&damaged), Err(TarError::Checksum)));
    assert!(matches!(first(&plain[..300]), Err(TarError::Truncated)));
    for flag in [b'S', b'M', b'V', b'Q'] {
        let tar = TarBuilder::default().entry(flag, "f", 0, "", b"").finish();
        assert!(
            matches!(first(&tar), Err(TarError::Kind { .. })),
            "{}",
            char::from(flag)
        );
    }
    let sparse = TarBuilder::default()
        .pax(&[("GNU.sparse.major", b"1")])
        .file("f", b"")
        .finish();
    assert!(matches!(first(&sparse), Err(TarError::Kind { kind: 'S' })));
    let huge = TarBuilder::default().raw(&header(b'x', "pax", 0, "", 2 << 20)).finish();
    assert!(matches!(first(&huge), Err(TarError::Extension)));
    let mut letters = plain;
    letters[108..112].copy_from_slice(b"0xyz");
    seal(&mut letters);
    assert!(matches!(first(&letters), Err(TarError::Field { field: "uid" })));
}

#[test]
fn an_archive_ends_at_a_zero_block_or_between_entries() {
    assert_eq!(first(&[0; 512]).unwrap(), None);
    assert_eq!(first(&[]).unwrap(), None);
}

proptest! {
    #[test]
    fn any_bytes_are_judged(mut bytes in prop::collection::vec(any::<u8>(), 0..2048), sealed in any::<bool>()) {
        if sealed && let Some(Ok(block)) = bytes.get_mut(..512).map(<&mut [u8; 512]>::try_from) {
            seal(block);
        }
        let _ = first(&bytes);
    }
}
