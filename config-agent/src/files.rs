//! The files a document declares: written in memory at each boot, never seen half
//! written, with their owner from the first moment on.

use std::fs::{self, File as Handle, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelson_image_layout::users::{GROUPS, id_of};
use keelson_machine_config::{Encoding, EnvValue, File, MachineConfig};

use crate::places::Places;
use crate::render;
use crate::secrets::SecretStore;

/// Writes every declared file. Gives what went wrong, a sentence each.
pub fn write_all(config: &MachineConfig, store: Option<&SecretStore>, places: &Places) -> Vec<String> {
    let written = config.files.iter().map(|file| {
        let content = content(file, store)?;
        let owner = owner(&file.owner, config);
        write(&places.file(&file.path), &content, file.mode.0, owner).map_err(|error| error.to_string())
    });
    let problems = written
        .zip(&config.files)
        .filter_map(|(written, file)| Some((written.err()?, file)));
    problems
        .map(|(problem, file)| format!("cannot write the file {}: {problem}", file.path))
        .collect()
}

/// The bytes of a file.
fn content(file: &File, store: Option<&SecretStore>) -> Result<Vec<u8>, String> {
    let text = match &file.content {
        EnvValue::Plain(text) => text.clone(),
        EnvValue::Secret(reference) => {
            let value = store.map(|store| store.value(reference));
            let value = value.ok_or_else(|| "its content cannot be read".to_owned())?;
            value
                .map_err(|error| format!("its content is lost: {error}"))?
                .expose()
                .to_owned()
        }
    };
    match file.encoding {
        Encoding::Text => Ok(text.into_bytes()),
        Encoding::Base64 => STANDARD.decode(text).map_err(|error| error.to_string()),
    }
}

/// User and group as numbers; those of root for a name the machine does not have, which validation excludes.
fn owner(text: &str, config: &MachineConfig) -> (u32, u32) {
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let user_id = |name: &str| {
        let declared = || render::declared_id(config, name);
        name.parse().ok().or_else(|| id_of(name)).or_else(declared)
    };
    let group_id = |name: &str| GROUPS.iter().find(|(known, ..)| *known == name).map(|(_, id, _)| *id);
    let uid = user_id(user).unwrap_or(0);
    let gid = match group {
        "" => uid,
        group => user_id(group).or_else(|| group_id(group)).unwrap_or(0),
    };
    (uid, gid)
}

/// Folders that are missing are root's and open to all.
fn write(path: &Path, content: &[u8], mode: u32, (uid, gid): (u32, u32)) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = parent.join(name);
    let _ = fs::remove_file(&new);
    let mut handle = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let filled = handle.write_all(content).and_then(|()| give(&handle, mode, uid, gid));
    let placed = filled.and_then(|()| fs::rename(&new, path));
    if placed.is_err() {
        let _ = fs::remove_file(&new);
    }
    placed
}

/// The mode first: it can only be set while the file is ours.
fn give(handle: &Handle, mode: u32, uid: u32, gid: u32) -> io::Result<()> {
    handle.set_permissions(fs::Permissions::from_mode(mode))?;
    if (uid, gid) == (0, 0) {
        return Ok(());
    }
    std::os::unix::fs::fchown(handle, Some(uid), Some(gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> MachineConfig {
        let verdict = keelson_machine_config::validate("t", format!("schema = 1\n{text}").as_bytes());
        verdict.accepted.expect("valid").config
    }

    #[test]
    fn owners_are_numbers_names_of_the_image_or_declared_users() {
        let config = config("[[user]]\nname = \"ann\"\n[[user]]\nname = \"bob\"\n");
        for (text, expected) in [
            ("root:root", (0, 0)),
            ("1234", (1234, 1234)),
            ("bob:wheel", (1002, 908)),
            ("core", (1000, 1000)),
            ("7:ann", (7, 1001)),
        ] {
            assert_eq!(owner(text, &config), expected, "{text}");
        }
    }

    #[test]
    fn files_are_written_with_their_folders_and_modes() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::below(root.path());
        let config = config(
            "[[file]]\npath = \"/srv/a/b\"\ncontent = \"x\"\nmode = \"0640\"\n\
             [[file]]\npath = \"/etc/logo\"\ncontent = \"/w==\"\nencoding = \"base64\"\n",
        );
        for _ in 0..2 {
            let problems = write_all(&config, None, &places);
            assert_eq!(problems, Vec::<String>::new());
        }
        assert_eq!(fs::read(places.run.join("files/srv/a/b")).unwrap(), b"x");
        assert_eq!(fs::read(places.etc.join("logo")).unwrap(), [0xff]);
        let mode = fs::metadata(places.run.join("files/srv/a/b"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert_eq!(fs::read_dir(places.run.join("files/srv/a")).unwrap().count(), 1);
    }
}
