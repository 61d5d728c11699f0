//! The directories of the state and who may enter them, the machine's id, and the file that says the tree is complete.
//!
//! Described in `docs/formats/state-tree.md`.

use std::fs;
use std::io;
use std::path::Path;

use keelson_image_layout::users;
use rustix::fs::{Gid, Uid, chown};

use super::first_boot::random_uuid;

/// Written last at first boot; its absence means that first boot is not complete.
const LAYOUT: &str = "layout";
const LAYOUT_TEXT: &str = "format=1\nmin_reader=1\n";
const MACHINE_ID: &str = "machine/id";
/// Programs with users of their own pass through to their directory, and see nothing else.
const PASSAGE: u32 = 0o711;
const PRIVATE: u32 = 0o700;

/// Directory, permission bits, owner; a release may add some.
const DIRECTORIES: [(&str, u32, &str); 10] = [
    ("machine", PASSAGE, "root"),
    ("machine/ssh", PRIVATE, "access"),
    ("secrets", PRIVATE, "root"),
    ("config", PRIVATE, "root"),
    ("boot", PASSAGE, "root"),
    ("update", PRIVATE, "root"),
    ("journal", PRIVATE, "journal"),
    ("containers", PASSAGE, "root"),
    ("discovery", PRIVATE, "discovery"),
    ("time", PRIVATE, "net"),
];

/// Whether first boot was completed once.
#[must_use]
pub fn is_complete(state: &Path) -> bool {
    state.join(LAYOUT).exists()
}

/// Marks first boot as completed.
///
/// # Errors
/// Says what could not be written.
pub fn complete(state: &Path) -> io::Result<()> {
    if is_complete(state) {
        return Ok(());
    }
    keelson_durable::replace(&state.join(LAYOUT), LAYOUT_TEXT.as_bytes(), 0o644)
}

/// Makes what is missing, in this order: directories, machine id.
///
/// # Errors
/// Says what could not be made.
pub fn make(state: &Path) -> io::Result<()> {
    set_mode(state, PASSAGE)?;
    for (name, mode, owner) in DIRECTORIES {
        let path = state.join(name);
        keelson_durable::directory(&path, mode)?;
        set_mode(&path, mode)?;
        let owner = users::id_of(owner).unwrap_or(0);
        chown(&path, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?;
    }
    make_machine_id(&state.join(MACHINE_ID))
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// 32 hexadecimal digits and a line end, as `machine-id(5)`. One that is there stays.
fn make_machine_id(path: &Path) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|text| is_machine_id(&text)) {
        return Ok(());
    }
    let id = random_uuid().map_err(io::Error::other)?;
    keelson_durable::replace(path, format!("{}\n", id.simple()).as_bytes(), 0o644)
}

fn is_machine_id(text: &str) -> bool {
    text.strip_suffix('\n').is_some_and(|id| {
        id.len() == 32
            && id
                .bytes()
                .all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn ids_are_told_from_other_text() {
        let id = "0123456789abcdef0123456789abcdef";
        assert!(is_machine_id(&format!("{id}\n")));
        for text in ["", "\n", id, "uninitialized\n", "0123456789ABCDEF0123456789ABCDEF\n"] {
            assert!(!is_machine_id(text), "{text:?}");
        }
    }

    #[test]
    fn first_boot_is_over_when_the_layout_is_written_and_not_before() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_complete(directory.path()));
        complete(directory.path()).unwrap();
        assert!(is_complete(directory.path()));
        assert_eq!(fs::read_to_string(directory.path().join(LAYOUT)).unwrap(), LAYOUT_TEXT);
    }

    #[test]
    fn privileged_tree_is_made_once_and_mended() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: changing owners needs root");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        make(directory.path()).unwrap();
        let id = fs::read_to_string(directory.path().join(MACHINE_ID)).unwrap();
        assert!(is_machine_id(&id));
        let journal = fs::metadata(directory.path().join("journal")).unwrap();
        assert_eq!(
            (journal.uid(), journal.mode() & 0o777),
            (users::id_of("journal").unwrap(), 0o700)
        );
        fs::remove_dir(directory.path().join("update")).unwrap();
        make(directory.path()).unwrap();
        assert!(directory.path().join("update").is_dir());
        assert_eq!(fs::read_to_string(directory.path().join(MACHINE_ID)).unwrap(), id);
    }
}
