//! Replacing a file so that a power cut leaves the old content or the new one, never a mixture and never nothing.
//!
//! The one place that knows the order: write a temporary file beside the target, flush it, rename it over the target,
//! flush the directory. Nothing else may write a file that must survive.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, fchmod, fsync, openat, renameat, unlinkat};

/// Ending of the temporary file; one left behind by a power cut is overwritten by the next call.
const TEMPORARY: &str = ".new";

/// Replaces `path` by `content` with the permission bits `mode`. The directory must exist. Two writers of the same
/// path must not run at once.
///
/// # Errors
/// Names the step that failed and the path; the target is then still the old file, or, if only flushing the
/// directory failed, either of them.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (directory, name) = split(path)?;
    let directory = open_directory(directory)?;
    let temporary = format!(".{name}{TEMPORARY}");
    let written = write_flushed(&directory, &temporary, content, mode)
        .map_err(|error| in_step("write the replacement of", path, &error))
        .and_then(|()| {
            renameat(&directory, &temporary, &directory, name)
                .map_err(|errno| in_step("rename the replacement of", path, &errno.into()))
        });
    if written.is_err() {
        // The target is untouched; what stands in the way of nobody may stay if even this fails.
        let _ = unlinkat(&directory, &temporary, AtFlags::empty());
    }
    written?;
    fsync(&directory).map_err(|errno| in_step("flush the directory of", path, &errno.into()))
}

/// Removes `path` durably; a file that does not exist is no error.
///
/// # Errors
/// Names the step that failed and the path.
pub fn remove(path: &Path) -> io::Result<()> {
    let (directory, name) = split(path)?;
    let directory = open_directory(directory)?;
    match unlinkat(&directory, name, AtFlags::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        other => other.map_err(|errno| in_step("remove", path, &errno.into()))?,
    }
    fsync(&directory).map_err(|errno| in_step("flush the directory of", path, &errno.into()))
}

/// Makes a directory, if it is missing, so that it survives. Its parent must exist.
///
/// # Errors
/// Names the step that failed and the path.
pub fn directory(path: &Path, mode: u32) -> io::Result<()> {
    let (parent, name) = split(path)?;
    let parent = open_directory(parent)?;
    match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode)) {
        Err(rustix::io::Errno::EXIST) => return Ok(()),
        other => other.map_err(|errno| in_step("make the directory", path, &errno.into()))?,
    }
    fsync(&parent).map_err(|errno| in_step("flush the directory of", path, &errno.into()))
}

fn split(path: &Path) -> io::Result<(PathBuf, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| in_step("replace", path, &io::ErrorKind::InvalidInput.into()))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok((parent.unwrap_or(Path::new(".")).to_owned(), name))
}

fn open_directory(path: PathBuf) -> io::Result<File> {
    File::open(&path).map_err(|error| in_step("open the directory", &path, &error))
}

fn write_flushed(directory: impl AsFd, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = File::from(openat(directory, name, flags, mode)?);
    // A leftover keeps its old mode, and the process's mask may have removed bits.
    fchmod(&file, mode)?;
    file.write_all(content)?;
    file.sync_all()
}

fn in_step(step: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{step} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_content_and_mode_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for (content, mode) in [("one, and long", 0o644), ("two", 0o600)] {
            replace(&path, content.as_bytes(), mode).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        }
        assert_eq!(names(directory.path()), ["file"]);
    }

    #[test]
    fn a_leftover_of_a_power_cut_does_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(directory.path().join(".file.new"), "torn and longer than the next").unwrap();
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["file"]);
    }

    #[test]
    fn a_failure_keeps_the_old_file_and_names_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "old").unwrap();
        let error = replace(&path, b"new", 0o600).unwrap_err().to_string();
        assert!(error.contains("taken"), "{error}");
        assert_eq!(names(directory.path()), ["taken"]);
        let missing = replace(&directory.path().join("no/file"), b"", 0o600).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn removing_twice_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        replace(&path, b"", 0o600).unwrap();
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn making_a_directory_twice_is_no_error() {
        let directory_ = tempfile::tempdir().unwrap();
        let path = directory_.path().join("sub");
        directory(&path, 0o700).unwrap();
        directory(&path, 0o700).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
    }
}
