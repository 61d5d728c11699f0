//! Which file to execute: the program's name looked up in the container's PATH.

use crate::error::{Error, Kind, Result};
use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// The value of a variable in `NAME=VALUE` entries; the last one counts.
pub fn variable<'e>(environment: &'e [String], name: &str) -> Option<&'e str> {
    environment
        .iter()
        .rev()
        .find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

/// Files to try for a program, in order: itself if it has a slash, else in each directory of PATH.
pub fn plan_candidates(program: &str, path: Option<&str>) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![PathBuf::from(program)];
    }
    path.unwrap_or_default()
        .split(':')
        .map(|directory| if directory.is_empty() { "." } else { directory })
        .map(|directory| Path::new(directory).join(program))
        .collect()
}

/// Finds the file, as the user the process has become.
pub fn find(program: &str, environment: &[String]) -> Result<PathBuf> {
    let candidates = plan_candidates(program, variable(environment, "PATH"));
    let by_path = !program.contains('/');
    let mut refused = None;
    for candidate in candidates {
        match examine(&candidate) {
            Ok(()) => return Ok(candidate),
            Err((Kind::NotFound, _)) => {}
            Err(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    let (kind, reason) = refused.unwrap_or((
        Kind::NotFound,
        if by_path {
            "executable file not found in $PATH"
        } else {
            "no such file or directory"
        },
    ));
    Err(Error::Program {
        program: program.to_owned(),
        kind,
        reason,
    })
}

fn examine(path: &Path) -> Result<(), (Kind, &'static str)> {
    let found = stat(path).map_err(refusal)?;
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        return Err((Kind::NotExecutable, "is a directory"));
    }
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).map_err(refusal)
}

/// What an errno of looking or executing says about the program.
pub fn refusal(errno: Errno) -> (Kind, &'static str) {
    match errno {
        Errno::NOENT | Errno::NOTDIR => (Kind::NotFound, "no such file or directory"),
        Errno::ACCESS | Errno::PERM => (Kind::NotExecutable, "permission denied"),
        Errno::NOEXEC => (Kind::NotExecutable, "exec format error"),
        Errno::LOOP => (Kind::NotExecutable, "too many levels of symbolic links"),
        Errno::TOOBIG => (Kind::NotExecutable, "argument list too long"),
        _ => (Kind::NotExecutable, "cannot be executed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates() {
        let show = |program, path| -> Vec<String> {
            plan_candidates(program, path)
                .iter()
                .map(|path| path.display().to_string())
                .collect()
        };
        assert_eq!(show("sh", Some("/bin:/usr/bin")), ["/bin/sh", "/usr/bin/sh"]);
        assert_eq!(show("./a", Some("/bin")), ["./a"]);
        assert_eq!(show("sh", Some("/a::/b")), ["/a/sh", "./sh", "/b/sh"]);
    }

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let environment = ["A=1".to_owned(), "AB=2".to_owned(), "A=3".to_owned()];
        assert_eq!(variable(&environment, "A"), Some("3"));
        assert_eq!(variable(&environment, "B"), None);
    }

    #[test]
    fn absence_and_refusal_differ() {
        let environment = ["PATH=/nonexistent:/etc".to_owned()];
        assert_eq!(
            find("no-such-program", &environment).unwrap_err().kind(),
            Kind::NotFound
        );
        assert_eq!(find("/etc", &environment).unwrap_err().kind(), Kind::NotExecutable);
    }
}
