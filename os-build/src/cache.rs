//! The cache outside the clone: downloaded packages and what was derived from them. Everything in it can be deleted
//! at any time and comes back; nothing in it is trusted without its digest.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// Why the cache cannot be used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// Neither `KEELSON_CACHE`, `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("no place for the cache: set KEELSON_CACHE to a folder")]
    NoPlace,
    /// A file or folder of the cache could not be made.
    #[error("cannot write {path} in the cache")]
    Write {
        /// The path concerned.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl Cache {
    /// The cache of this user: `$KEELSON_CACHE`, else `$XDG_CACHE_HOME/keelson`, else `~/.cache/keelson`.
    ///
    /// # Errors
    /// None of the three variables is set.
    pub fn of_user() -> Result<Cache, CacheError> {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = variable("KEELSON_CACHE")
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("keelson")))
            .or_else(|| Some(variable("HOME")?.join(".cache/keelson")))
            .ok_or(CacheError::NoPlace)?;
        Ok(Cache { root })
    }

    /// A cache in a folder of the caller's choice.
    #[must_use]
    pub fn at(root: &Path) -> Cache {
        Cache { root: root.to_owned() }
    }

    /// A folder of the cache, made if missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf, CacheError> {
        let path = self.root.join(name);
        std::fs::create_dir_all(&path).map_err(|source| CacheError::Write {
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    /// A folder that is filled once and then only read: `fill` works in a fresh one, which takes its place by one
    /// rename, so that an interrupted run leaves nothing half made.
    ///
    /// # Errors
    /// `fill` failed, or the folder could not be put in place.
    pub fn filled_once<E: From<CacheError>>(
        &self,
        name: &str,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let path = self.root.join(name);
        if path.is_dir() {
            return Ok(path);
        }
        let parent = path.parent().unwrap_or(&self.root).to_owned();
        let failed = |source| CacheError::Write {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(&parent).map_err(failed)?;
        let fresh = tempfile::tempdir_in(&parent).map_err(failed)?;
        fill(fresh.path())?;
        match std::fs::rename(fresh.path(), &path) {
            Ok(()) => drop(fresh.keep()),
            Err(_) if path.is_dir() => {} // another build was faster
            Err(source) => return Err(failed(source).into()),
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_filled_once_and_a_failed_filling_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::at(place.path());
        let failed = cache.filled_once::<CacheError>("a/b", |path| {
            std::fs::write(path.join("half"), "").unwrap();
            Err(CacheError::NoPlace)
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(place.path().join("a")).unwrap().count(), 0);

        let mut fillings = 0;
        for _ in 0..2 {
            let path = cache
                .filled_once::<CacheError>("a/b", |path| {
                    fillings += 1;
                    std::fs::write(path.join("whole"), "x").unwrap();
                    Ok(())
                })
                .unwrap();
            assert_eq!(std::fs::read(path.join("whole")).unwrap(), b"x");
        }
        assert_eq!(fillings, 1);
    }
}
