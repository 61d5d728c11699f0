//! Which files a dynamically linked program needs to start: its loader and, over all libraries, what they name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use object::elf::DT_NEEDED;
use object::read::elf::{ElfFile64, ProgramHeader};
use thiserror::Error;

/// Where libraries lie in Debian's packages for this architecture.
// The last is where programs of systemd find what they share.
const PLACES: [&str; 5] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib64",
    "lib64",
    "usr/lib/x86_64-linux-gnu/systemd",
];

/// Why the files of a program are not complete.
#[derive(Debug, Error)]
pub enum LibraryError {
    /// No package has a file that is needed.
    #[error("no package has {name}, which {needed_by} needs")]
    Missing {
        /// File looked for.
        name: String,
        /// Who needs it.
        needed_by: String,
    },
    /// A file is no program or library.
    #[error("{path} cannot be read as a program or library")]
    Elf {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        #[source]
        source: object::read::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

/// Every file, with the links that lead to it: path in the image → file in one of the unpacked packages.
///
/// # Errors
/// See [`LibraryError`].
pub fn linked_files(folders: &[PathBuf], program: &str) -> Result<BTreeMap<String, PathBuf>, LibraryError> {
    let mut found = BTreeMap::new();
    let mut open = vec![(program.to_owned(), "the image".to_owned())];
    while let Some((name, needed_by)) = open.pop() {
        let (path, file) = find(folders, &name).ok_or_else(|| LibraryError::Missing {
            name: name.clone(),
            needed_by,
        })?;
        if found.insert(path.clone(), file.clone()).is_some() {
            continue;
        }
        let link = std::fs::read_link(&file).ok();
        let next = match link {
            // A link within its own folder, as libraries have them.
            Some(target) => vec![beside(&path, &target)],
            None => needed(&file)?,
        };
        open.extend(next.into_iter().map(|next| (next, path.clone())));
    }
    Ok(found)
}

/// Finds a file by its path, or a library by its name.
fn find(folders: &[PathBuf], name: &str) -> Option<(String, PathBuf)> {
    let name = name.trim_start_matches('/');
    let candidates: Vec<String> = if name.contains('/') {
        vec![name.to_owned(), format!("usr/{name}")]
    } else {
        PLACES.iter().map(|place| format!("{place}/{name}")).collect()
    };
    candidates.into_iter().find_map(|path| {
        let file = folders
            .iter()
            .map(|folder| folder.join(&path))
            .find(|file| file.symlink_metadata().is_ok())?;
        // Packages that do not know of the merged /usr yet have it in the same place.
        let path = if path.starts_with("usr/") {
            path
        } else {
            format!("usr/{path}")
        };
        Some((path, file))
    })
}

fn beside(path: &str, target: &Path) -> String {
    let target = target.to_string_lossy();
    match path.rsplit_once('/') {
        Some((folder, _)) if !target.contains('/') => format!("{folder}/{target}"),
        _ => target.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

/// Loader and libraries a file names itself.
fn needed(file: &Path) -> Result<Vec<String>, LibraryError> {
    let bytes = std::fs::read(file).map_err(|source| LibraryError::Read {
        path: file.to_owned(),
        source,
    })?;
    names(&bytes).map_err(|source| LibraryError::Elf {
        path: file.to_owned(),
        source,
    })
}

fn names(bytes: &[u8]) -> Result<Vec<String>, object::read::Error> {
    let file = ElfFile64::<object::Endianness>::parse(bytes)?;
    let endian = file.endian();
    let mut names = Vec::new();
    for header in file.elf_program_headers() {
        if let Some(loader) = header.interpreter(endian, bytes)? {
            names.push(String::from_utf8_lossy(loader).into_owned());
        }
    }
    let table = file.elf_dynamic_table()?;
    for entry in table.iter().filter(|entry| entry.tag == DT_NEEDED) {
        names.push(String::from_utf8_lossy(table.string(entry)?).into_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_files_beside_them() {
        let table = [
            ("usr/lib/x/libz.so.1", "libz.so.1.3", "usr/lib/x/libz.so.1.3"),
            ("usr/lib64/ld.so", "../lib/x86_64-linux-gnu/ld.so", "ld.so"),
        ];
        for (path, target, expected) in table {
            assert_eq!(beside(path, Path::new(target)), expected);
        }
    }

    #[test]
    fn a_missing_library_names_who_needs_it() {
        let error = linked_files(&[], "usr/sbin/nginx").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no package has usr/sbin/nginx, which the image needs"
        );
    }
}
