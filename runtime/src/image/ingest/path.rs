//! Names in a layer: what may be a path, what is a whiteout. Pure, and the only judge of both.

use keelson_erofs::TreePath;

/// Longest path of an entry, that of the kernel.
const PATH_MAX: usize = 4096;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const RESERVED: &[u8] = b".wh..wh.";

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A `..` component: no layer needs one, and every escape has one.
    #[error("{name:?} has a \"..\" component")]
    Parent {
        /// The name.
        name: String,
    },
    /// Longer than 4096 bytes, a component longer than 255, or a NUL.
    #[error("{name:?} cannot be a path")]
    Impossible {
        /// The name, shortened.
        name: String,
    },
    /// `.wh.` with nothing, `.` or `..` behind it.
    #[error("{name:?} is a whiteout of nothing")]
    EmptyWhiteout {
        /// The name.
        name: String,
    },
}

/// What an entry's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryName {
    /// The entry is a file, directory or other node of this path.
    Node(TreePath),
    /// The node of this path in the layers below is gone.
    Whiteout(TreePath),
    /// Everything in this directory in the layers below is gone.
    Opaque(TreePath),
    /// Bookkeeping of a storage driver, to be ignored.
    Reserved,
}

/// Reads a name of a layer as a path below its root: leading slashes, `.` and empty components mean
/// nothing.
///
/// # Errors
/// [`PathError`].
pub fn parse_entry_path(name: &[u8]) -> Result<TreePath, PathError> {
    let shown = || String::from_utf8_lossy(name).chars().take(100).collect();
    if name.len() > PATH_MAX {
        return Err(PathError::Impossible { name: shown() });
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(PathError::Parent { name: shown() }),
            part => parts.push(part),
        }
    }
    TreePath::parse(parts.join(&b'/')).map_err(|_| PathError::Impossible { name: shown() })
}

/// Reads a name of a layer, whiteouts told apart.
///
/// # Errors
/// [`PathError`].
pub fn parse_entry_name(name: &[u8]) -> Result<EntryName, PathError> {
    let path = parse_entry_path(name)?;
    let parent = path.parent().unwrap_or_else(TreePath::root);
    let last = path.name();
    if last == OPAQUE {
        return Ok(EntryName::Opaque(parent));
    }
    if last.starts_with(RESERVED) {
        return Ok(EntryName::Reserved);
    }
    match last.strip_prefix(WHITEOUT) {
        None => Ok(EntryName::Node(path)),
        Some(hidden) => parent
            .join(hidden)
            .map(EntryName::Whiteout)
            .map_err(|_| PathError::EmptyWhiteout {
                name: String::from_utf8_lossy(name).into_owned(),
            }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).unwrap()
    }

    #[test]
    fn reads_what_tars_call_a_path() {
        for (name, expected) in [
            ("./", ""),
            (".", ""),
            ("/", ""),
            ("./a/b/", "a/b"),
            ("/etc//passwd", "etc/passwd"),
            ("a/./b", "a/b"),
        ] {
            assert_eq!(parse_entry_path(name.as_bytes()).unwrap(), path(expected), "{name}");
        }
    }

    #[test]
    fn refuses_every_way_out() {
        for name in ["..", "../x", "a/../../x", "/..", "a/..", "./../etc/passwd"] {
            assert!(
                matches!(parse_entry_path(name.as_bytes()), Err(PathError::Parent { .. })),
                "{name}"
            );
        }
        for name in ["a\0b".to_owned(), "x".repeat(256), "x/".repeat(3000)] {
            assert!(matches!(
                parse_entry_path(name.as_bytes()),
                Err(PathError::Impossible { .. })
            ));
        }
    }

    #[test]
    fn tells_whiteouts_apart() {
        for (name, expected) in [
            ("a/.wh.b", EntryName::Whiteout(path("a/b"))),
            (".wh.b", EntryName::Whiteout(path("b"))),
            ("a/.wh..wh..opq", EntryName::Opaque(path("a"))),
            (".wh..wh..opq", EntryName::Opaque(path(""))),
            (".wh..wh.plnk", EntryName::Reserved),
            ("a/.wh..wh.aufs", EntryName::Reserved),
            ("a/.whisper", EntryName::Node(path("a/.whisper"))),
            (".wh.a/b", EntryName::Node(path(".wh.a/b"))),
        ] {
            assert_eq!(parse_entry_name(name.as_bytes()).unwrap(), expected, "{name}");
        }
        for name in ["a/.wh.", ".wh..", ".wh..."] {
            let parsed = parse_entry_name(name.as_bytes());
            let hides_dots = matches!(&parsed, Ok(EntryName::Whiteout(path)) if path.name() == b"...");
            assert!(parsed.is_err() || hides_dots, "{name}: {parsed:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_stays_below_the_root(name in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(path) = parse_entry_path(&name) {
                let plain = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
                let below = path.as_bytes().split(|byte| *byte == b'/').all(plain);
                prop_assert!(path.is_root() || below);
            }
        }
    }
}
