//! Loading modules of the running kernel.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use keelson_image_layout::paths;
use rustix::io::Errno;
use rustix::system::{finit_module, uname};
use thiserror::Error;

use super::index::{Index, Texts};
use super::normal;

/// Where the kernel lists its modules.
const SYS_MODULE: &str = "/sys/module";

/// Why a module could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// No module and no alias of this name, and nothing built in.
    #[error("no kernel module answers to {wanted:?}")]
    Unknown {
        /// What was asked for.
        wanted: String,
    },
    /// Its file could not be opened.
    #[error("cannot open the kernel module {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
    /// The kernel refused it.
    #[error("the kernel refuses the module {name}")]
    Refused {
        /// The module.
        name: String,
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
}

/// The modules of the running kernel, and which of them were loaded through this value.
#[derive(Debug)]
pub struct Loader {
    directory: PathBuf,
    index: Index,
    loaded: BTreeSet<String>,
}

impl Loader {
    /// Reads the index of the running kernel's module directory. A missing file counts as empty: an initramfs for a
    /// kernel with everything built in has none.
    #[must_use]
    pub fn of_running_kernel() -> Loader {
        let release = uname().release().to_string_lossy().into_owned();
        Loader::open(&Path::new(paths::MODULES).join(release))
    }

    /// Reads the index of a module directory.
    #[must_use]
    pub fn open(directory: &Path) -> Loader {
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        let (dep, alias, softdep, builtin) = (
            read("modules.dep"),
            read("modules.alias"),
            read("modules.softdep"),
            read("modules.builtin"),
        );
        let index = Index::parse(Texts {
            dep: &dep,
            alias: &alias,
            softdep: &softdep,
            builtin: &builtin,
        });
        Loader {
            directory: directory.to_owned(),
            index,
            loaded: BTreeSet::new(),
        }
    }

    /// Loads everything that answers to a name or an alias. `Ok(0)` when it is built in or loaded.
    ///
    /// # Errors
    /// [`LoadError::Unknown`] when nothing answers; otherwise the first failure, after trying all.
    pub fn load(&mut self, wanted: &str) -> Result<usize, LoadError> {
        let names = self.index.resolve(wanted);
        if names.is_empty() && !self.index.is_builtin(wanted) {
            return Err(LoadError::Unknown {
                wanted: wanted.to_owned(),
            });
        }
        let mut count = 0;
        let mut first_failure = None;
        for name in names {
            match self.load_module(&name) {
                Ok(loaded) => count += loaded,
                Err(error) => first_failure = first_failure.or(Some(error)),
            }
        }
        first_failure.map_or(Ok(count), Err)
    }

    /// Names of what was loaded, in order of the alphabet.
    #[must_use]
    pub fn loaded(&self) -> &BTreeSet<String> {
        &self.loaded
    }

    /// Modules that answer to a name or an alias.
    #[must_use]
    pub fn answers_to(&self, wanted: &str) -> Vec<String> {
        self.index.resolve(wanted)
    }

    /// Loads what a device asks for; devices nobody answers to are the normal case.
    pub fn load_for_device(&mut self, modalias: &str) -> usize {
        match self.load(modalias) {
            Ok(count) => count,
            Err(LoadError::Unknown { .. }) => 0,
            Err(error) => {
                log::warn!(modalias, error:% = crate::chain(&error); "no driver loaded for a device");
                0
            }
        }
    }

    fn load_module(&mut self, name: &str) -> Result<usize, LoadError> {
        let mut count = 0;
        for load in self.index.plan(name) {
            if self.loaded.contains(&load.name) {
                continue;
            }
            if is_live(Path::new(SYS_MODULE), &load.name) {
                self.loaded.insert(load.name);
                continue;
            }
            match insert(&self.directory.join(&load.path), &load.name) {
                Ok(()) => {
                    self.loaded.insert(load.name);
                    count += 1;
                }
                Err(error) if load.required => return Err(error),
                Err(error) => log::debug!(module = load.name, error:% = error; "optional module not loaded"),
            }
        }
        Ok(count)
    }
}

/// Whether the kernel has this module and is done with its start. Asked first, since the kernel itself would read the
/// whole file and check its signature before it answers that it has it.
fn is_live(modules: &Path, name: &str) -> bool {
    fs::read_to_string(modules.join(name).join("initstate")).is_ok_and(|state| state.trim() == "live")
}

/// A module that is loaded already counts as loaded.
fn insert(path: &Path, name: &str) -> Result<(), LoadError> {
    let file = File::open(path).map_err(|source| LoadError::Open {
        path: path.to_owned(),
        source,
    })?;
    match finit_module(&file, c"", 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(LoadError::Refused {
            name: normal(name),
            source: errno.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut loader = Loader::open(directory.path());
        let error = loader.load("nothing").unwrap_err();
        assert_eq!(error.to_string(), "no kernel module answers to \"nothing\"");
        assert_eq!(loader.load_for_device("pci:v1"), 0);
    }

    #[test]
    fn only_a_module_that_is_up_is_left_alone() {
        let modules = tempfile::tempdir().unwrap();
        for (name, state) in [("up", "live\n"), ("starting", "coming\n")] {
            fs::create_dir(modules.path().join(name)).unwrap();
            fs::write(modules.path().join(name).join("initstate"), state).unwrap();
        }
        fs::create_dir(modules.path().join("built_in")).unwrap();
        for (name, expected) in [
            ("up", true),
            ("starting", false),
            ("built_in", false),
            ("missing", false),
        ] {
            assert_eq!(is_live(modules.path(), name), expected, "{name}");
        }
    }

    #[test]
    fn a_missing_file_names_its_path() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("modules.dep"), "kernel/a.ko:\n").unwrap();
        let error = Loader::open(directory.path()).load("a").unwrap_err().to_string();
        assert!(error.ends_with("kernel/a.ko"), "{error}");
    }
}
