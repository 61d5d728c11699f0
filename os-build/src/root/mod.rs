//! The root file system as a tree: our programs and units, the few foreign files, the modules, and empty folders to
//! mount on. Everything belongs to root and carries one time.

mod base;
pub mod limits;
mod programs;

use std::io;
use std::path::{Path, PathBuf};

use keelson_erofs::{Node, Time, Tree, TreeError, TreePath};
use thiserror::Error;

pub use programs::{FOREIGN, PROGRAMS, UNIT_FOLDERS};

use crate::kernel::{Module, indexes};

/// What a root is made of.
#[derive(Debug, Clone, Copy)]
pub struct Ingredients<'a> {
    /// Folder with our built programs.
    pub programs: &'a Path,
    /// The repository, where unit files lie beside their programs.
    pub source: &'a Path,
    /// Leave out programs of ours that are not built yet.
    pub allow_missing: bool,
    /// Kernel release; names the module folder.
    pub kernel: &'a str,
    /// Modules in loading order.
    pub modules: &'a [&'a Module],
    /// `modules.builtin`, `modules.builtin.modinfo`.
    pub builtin: &'a [Vec<u8>; 2],
    /// Unpacked package `e2fsck-static`.
    pub e2fsck: &'a Path,
    /// Unpacked package `ca-certificates`.
    pub certificates: &'a Path,
    /// Text of os-release.
    pub os_release: &'a str,
    /// Terms of each Debian package inside: its name and its `copyright` file.
    pub copyrights: &'a [(String, PathBuf)],
    /// The pristine state file system, packed.
    pub state_template: &'a [u8],
    /// Roots of the update metadata by version, each leading to the next; the last is trusted. None in an image that does
    /// not update itself.
    pub update_roots: &'a [(u64, Vec<u8>)],
    /// JSON list of the Debian packages inside.
    pub packages: &'a [u8],
    /// Seconds since 1970 of every file.
    pub time: u64,
}

/// Why no root could be made.
#[derive(Debug, Error)]
pub enum RootError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The source folder holds no unit.
    #[error("{} holds no unit files; name the repository with --source", source_folder.display())]
    NoUnits {
        /// Folder looked in.
        source_folder: PathBuf,
    },
    /// A program of ours has not been built.
    #[error("{} missing in {folder}; build the workspace first", names.join(", "))]
    Missing {
        /// Programs.
        names: Vec<&'static str>,
        /// Where they were looked for.
        folder: PathBuf,
    },
    /// A path is no path.
    #[error("root tree")]
    Tree(#[from] TreeError),
    /// Two packages bring a unit of one name.
    #[error("unit {name} exists twice")]
    UnitTwice {
        /// File name.
        name: String,
    },
    /// The tree holds what an image must not hold.
    #[error(transparent)]
    Limits(#[from] limits::LimitError),
}

/// The tree of a root, checked against the limits of [`limits`], and the names of programs left out.
///
/// # Errors
/// See [`RootError`].
pub fn build(ingredients: &Ingredients<'_>) -> Result<(Tree, Vec<&'static str>), RootError> {
    let mut tree = Tree::default();
    base::folders(&mut tree)?;
    base::etc(&mut tree)?;
    base::os_files(&mut tree, ingredients)?;
    let missing = programs::add(&mut tree, ingredients)?;
    programs::add_units(&mut tree, ingredients.source)?;
    add_modules(&mut tree, ingredients)?;
    let tree = at_time(&tree, ingredients.time);
    limits::check(&tree)?;
    Ok((tree, missing))
}

fn add_modules(tree: &mut Tree, ingredients: &Ingredients<'_>) -> Result<(), RootError> {
    let folder = format!("usr/lib/modules/{}", ingredients.kernel);
    let mut put = |name: &str, node| tree.insert_with_parents(format!("{folder}/{name}"), node);
    for module in ingredients.modules {
        put(&module.path, Node::file_from(0o644, module.file.clone()))?;
    }
    for (name, content) in index_files(ingredients.modules, ingredients.builtin) {
        put(name, Node::file(0o644, content))?;
    }
    Ok(())
}

/// Name and content of each module index file.
#[must_use]
pub fn index_files(modules: &[&Module], builtin: &[Vec<u8>; 2]) -> [(&'static str, Vec<u8>); 5] {
    let indexes = indexes(modules);
    let [list, info] = builtin;
    [
        ("modules.dep", indexes.dep.into_bytes()),
        ("modules.alias", indexes.alias.into_bytes()),
        ("modules.softdep", indexes.softdep.into_bytes()),
        ("modules.builtin", list.clone()),
        ("modules.builtin.modinfo", info.clone()),
    ]
}

/// The same tree with one time on every node.
fn at_time(tree: &Tree, time: u64) -> Tree {
    let mtime = Time {
        seconds: i64::try_from(time).unwrap_or(0),
        nanoseconds: 0,
    };
    let mut out = Tree::new(Node {
        mtime,
        ..Node::dir(0o755)
    });
    for (path, node) in tree.iter() {
        out.set(path.clone(), Node { mtime, ..node.clone() });
    }
    out
}

fn read(path: &Path) -> Result<Vec<u8>, RootError> {
    std::fs::read(path).map_err(|source| RootError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Files of a folder, sorted by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, RootError> {
    let failed = |source| RootError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = std::fs::read_dir(folder)
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    let mut files: Vec<PathBuf> = entries
        .iter()
        .map(std::fs::DirEntry::path)
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    Ok(files)
}

/// Whether the tree has a node there.
#[must_use]
pub fn has(tree: &Tree, path: &str) -> bool {
    TreePath::parse(path).is_ok_and(|path| tree.get(&path).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::ModInfo;

    /// Folders with fake programs, units and packages.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Place {
            let place = Place(tempfile::tempdir().unwrap());
            for program in PROGRAMS {
                place.file(&format!("programs/{program}"), "\x7fELF");
            }
            place.file("source/init/units/devices.toml", "schema = 1");
            place.file("source/init/units/notes.md", "not a unit");
            place.file("e2fsck/usr/sbin/e2fsck.static", "\x7fELF");
            place.file("e2fsck/copyright", "terms");
            place.file("certificates/usr/share/ca-certificates/mozilla/a.crt", "A");
            place.file("certificates/usr/share/ca-certificates/mozilla/b.crt", "B\n");
            place.file("module.ko", "module");
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn file(&self, name: &str, content: &str) {
            let path = self.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }

        fn build(&self, allow_missing: bool) -> Result<(Tree, Vec<&'static str>), RootError> {
            let info = ModInfo::default();
            let module = Module {
                path: "kernel/fs/x.ko".into(),
                file: self.path("module.ko"),
                info,
            };
            build(&Ingredients {
                programs: &self.path("programs"),
                source: &self.path("source"),
                allow_missing,
                kernel: "6.12",
                modules: &[&module],
                builtin: &[vec![], vec![]],
                e2fsck: &self.path("e2fsck"),
                certificates: &self.path("certificates"),
                os_release: "NAME=Keelson\n",
                copyrights: &[("e2fsck-static".into(), self.path("e2fsck/copyright"))],
                packages: b"[]",
                state_template: b"template",
                update_roots: &[(1, b"{}".to_vec()), (2, b"{\"a\":1}".to_vec())],
                time: 1_700_000_000,
            })
        }
    }

    fn text(tree: &Tree, path: &str) -> String {
        use keelson_erofs::{Content, FileData};
        match &tree.get(&TreePath::parse(path).unwrap()).unwrap().content {
            Content::File(FileData::Bytes(bytes)) => String::from_utf8(bytes.clone()).unwrap(),
            Content::Symlink(target) => String::from_utf8(target.clone()).unwrap(),
            other => panic!("{path} is {other:?}"),
        }
    }

    #[test]
    fn holds_programs_units_modules_and_places_to_mount_on() {
        let (tree, missing) = Place::new().build(false).unwrap();
        assert!(missing.is_empty());
        assert_eq!(limits::executables(&tree).len(), PROGRAMS.len() + FOREIGN.len());
        assert_eq!(text(&tree, "usr/lib/keelson/units/devices.toml"), "schema = 1");
        assert!(!has(&tree, "usr/lib/keelson/units/notes.md"));
        assert!(text(&tree, "usr/lib/modules/6.12/modules.dep").starts_with("kernel/fs/x.ko:"));
        assert_eq!(text(&tree, "usr/share/ca-certificates/ca-certificates.crt"), "A\nB\n");
        assert_eq!(text(&tree, "usr/sbin/modprobe"), "../bin/keelson-init");
        assert_eq!(text(&tree, "usr/share/keelson/update/root.json"), "{\"a\":1}");
        assert!(text(&tree, "usr/share/keelson/etc/passwd").starts_with("root:x:0:0:"));
        for folder in ["dev", "etc", "proc", "run", "state", "sys", "tmp", "var"] {
            assert!(has(&tree, folder), "{folder}");
        }
        let times: Vec<i64> = tree.iter().map(|(_, node)| node.mtime.seconds).collect();
        assert!(times.iter().all(|time| *time == 1_700_000_000));
    }

    #[test]
    fn a_program_that_is_not_built_is_named() {
        let place = Place::new();
        std::fs::remove_file(place.path("programs/keelson-oci")).unwrap();
        let error = place.build(false).unwrap_err();
        assert!(
            matches!(&error, RootError::Missing { names, .. } if names == &["keelson-oci"]),
            "{error}"
        );
        assert_eq!(place.build(true).unwrap().1, ["keelson-oci"]);
        std::fs::remove_file(place.path("programs/keelson-init")).unwrap();
        assert!(place.build(true).is_err(), "nothing boots without init");
    }

    #[test]
    fn units_of_one_name_and_scripts_are_refused() {
        let place = Place::new();
        place.file("source/runtime/units/devices.toml", "schema = 1");
        assert!(matches!(place.build(false), Err(RootError::UnitTwice { name }) if name == "devices.toml"));
        let place = Place::new();
        place.file("e2fsck/usr/sbin/e2fsck.static", "#!/bin/sh");
        assert!(matches!(
            place.build(false),
            Err(RootError::Limits(limits::LimitError::Script { .. }))
        ));
    }
}
