//! The initramfs: two archives one after the other, each a zstd frame of its own. The first holds the modules and
//! changes only with the kernel, the second the boot program and the release description.

use std::io;
use std::path::{Path, PathBuf};

use keelson_image_layout::{Release, paths};
use thiserror::Error;

use crate::cache::{Cache, CacheError};
use crate::cpio::Archive;
use crate::digest::{hex, sha256};
use crate::kernel::Module;
use crate::root::index_files;

/// Compression of both archives.
const LEVEL: i32 = 19;

/// What goes into an initramfs.
#[derive(Debug, Clone, Copy)]
pub struct Ingredients<'a> {
    /// The boot program.
    pub init: &'a Path,
    /// The release it boots.
    pub release: &'a Release,
    /// Modules it always loads, in order.
    pub always: &'a [&'a Module],
    /// All its modules, in loading order.
    pub modules: &'a [&'a Module],
    /// `modules.builtin`, `modules.builtin.modinfo`.
    pub builtin: &'a [Vec<u8>; 2],
}

/// Why no initramfs could be made.
#[derive(Debug, Error)]
pub enum InitramfsError {
    /// A file cannot be read, or compression failed.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The release description cannot be written as JSON.
    #[error("release description")]
    Release(#[from] serde_json::Error),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Bytes of the initramfs; compressed archives are kept in the cache by the digest of their content.
///
/// # Errors
/// See [`InitramfsError`].
pub fn build(cache: &Cache, ingredients: &Ingredients<'_>) -> Result<Vec<u8>, InitramfsError> {
    let mut bytes = compressed(cache, &modules_archive(ingredients)?)?;
    // The kernel looks for the next archive at a multiple of four and skips zeros.
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(compressed(cache, &release_archive(ingredients)?)?);
    Ok(bytes)
}

/// The archives of an initramfs, unpacked; `None` if it is made of anything else.
#[must_use]
pub fn archives(initramfs: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut archives = Vec::new();
    let mut rest = initramfs;
    while !rest.is_empty() {
        let end = zstd::zstd_safe::find_frame_compressed_size(rest).ok()?;
        archives.push(zstd::decode_all(rest.get(..end)?).ok()?);
        rest = rest.get(end..)?;
        let filling = rest.iter().take_while(|byte| **byte == 0).count();
        rest = rest.get(filling..)?;
    }
    Some(archives)
}

fn read(path: &Path) -> Result<Vec<u8>, InitramfsError> {
    std::fs::read(path).map_err(|source| InitramfsError::File {
        path: path.to_owned(),
        source,
    })
}

fn modules_archive(ingredients: &Ingredients<'_>) -> Result<Vec<u8>, InitramfsError> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "run", "sys", "tmp", "root"] {
        archive.folder(folder);
    }
    archive.character_device("dev/console", 0o600, 5, 1);
    let base = format!(
        "{}/{}",
        paths::MODULES.trim_start_matches('/'),
        ingredients.release.kernel
    );
    let mut folders = Vec::new();
    let mut file = |path: &str, content: &[u8]| {
        let path = format!("{base}/{path}");
        add_parents(&mut archive, &mut folders, &path);
        archive.file(&path, 0o644, content);
    };
    for (name, content) in index_files(ingredients.modules, ingredients.builtin) {
        file(name, &content);
    }
    for module in ingredients.modules {
        file(&module.path, &read(&module.file)?);
    }
    Ok(archive.finish())
}

fn release_archive(ingredients: &Ingredients<'_>) -> Result<Vec<u8>, InitramfsError> {
    let mut archive = Archive::default();
    archive.file("init", 0o755, &read(ingredients.init)?);
    archive.folder("keelson");
    let mut release = serde_json::to_vec_pretty(ingredients.release)?;
    release.push(b'\n');
    archive.file(paths::RELEASE.trim_start_matches('/'), 0o644, &release);
    let names = ingredients
        .always
        .iter()
        .map(|module| format!("{}\n", module.name()))
        .collect::<String>();
    archive.file(paths::INITRD_MODULES.trim_start_matches('/'), 0o644, names.as_bytes());
    Ok(archive.finish())
}

/// Adds the folders above `path` that are not there yet.
fn add_parents(archive: &mut Archive, known: &mut Vec<String>, path: &str) {
    for (at, _) in path.match_indices('/') {
        let folder = path.get(..at).unwrap_or_default();
        if !known.iter().any(|entry| entry == folder) {
            known.push(folder.to_owned());
            archive.folder(folder);
        }
    }
}

fn compressed(cache: &Cache, archive: &[u8]) -> Result<Vec<u8>, InitramfsError> {
    let digest = hex(&sha256(archive));
    let name = format!("initramfs/{digest}-{LEVEL}");
    let folder = cache.filled_once::<InitramfsError>(&name, |folder| {
        let path = folder.join("zst");
        let failed = |source| InitramfsError::File {
            path: path.clone(),
            source,
        };
        let packed = zstd::encode_all(archive, LEVEL).map_err(failed)?;
        std::fs::write(&path, packed).map_err(failed)
    })?;
    read(&folder.join("zst"))
}

#[cfg(test)]
mod tests {
    use keelson_image_layout::RootHash;
    use keelson_image_layout::verity::VerityParams;

    use super::*;
    use crate::kernel::ModInfo;

    #[test]
    fn holds_init_release_and_modules_and_is_the_same_twice() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::at(&place.path().join("cache"));
        let file = |name: &str| {
            let path = place.path().join(name);
            std::fs::write(&path, name).unwrap();
            path
        };
        let module = Module {
            path: "kernel/a/b-c.ko".into(),
            file: file("module"),
            info: ModInfo::default(),
        };
        let release = Release {
            format: 1,
            version: "1".into(),
            kernel: "6".into(),
            time: 7,
            verity: VerityParams {
                root_hash: RootHash([1; 32]),
                salt: RootHash([2; 32]),
                data_blocks: 3,
            },
        };
        let init = file("init");
        let ingredients = Ingredients {
            init: &init,
            release: &release,
            always: &[&module],
            modules: &[&module],
            builtin: &[vec![], vec![]],
        };
        let bytes = build(&cache, &ingredients).unwrap();
        assert_eq!(
            bytes,
            build(&Cache::at(&place.path().join("other")), &ingredients).unwrap()
        );
        let archives = archives(&bytes).unwrap();
        let [first, second] = archives.as_slice() else {
            panic!("{}", archives.len())
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(text(first).contains("usr/lib/modules/6/kernel/a/b-c.ko"));
        assert!(text(first).contains("usr/lib/modules/6/modules.dep"));
        assert!(text(second).contains("\"root_hash\": \"0101"));
        assert!(text(second).contains("b_c\n"));
    }
}
