//! This program as `modprobe`: the kernel calls it as `modprobe -q -- NAME` when it misses something.

use std::process::ExitCode;
use std::{fs, io};

use super::Loader;

/// The name by which the kernel calls it.
pub const NAME: &str = "modprobe";
/// This program under that name in the real root.
pub const IN_ROOT: &str = "/usr/sbin/modprobe";
/// The kernel's setting that says which program to call.
const SETTING: &str = "/proc/sys/kernel/modprobe";

/// Lets the kernel call `program` for what it misses; with an empty path it calls nobody, and what it misses is missing.
///
/// # Errors
/// What the kernel says.
pub fn answer_kernel(program: &str) -> io::Result<()> {
    // The line end counts: writing nothing at all would change nothing.
    fs::write(SETTING, format!("{program}\n"))
}

/// What was asked for, options left out.
fn names(arguments: &[String]) -> impl Iterator<Item = &String> {
    arguments.iter().filter(|argument| !argument.starts_with('-'))
}

/// Loads every name given.
#[must_use]
pub fn run(arguments: &[String]) -> ExitCode {
    let mut loader = Loader::of_running_kernel();
    let failures = names(arguments).filter(|name| loader.load(name).is_err()).count();
    if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_kernel_are_no_names() {
        let arguments = ["-q", "--", "fs-erofs"].map(str::to_owned);
        assert_eq!(names(&arguments).collect::<Vec<_>>(), ["fs-erofs"]);
    }
}
