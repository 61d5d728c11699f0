//! This program as `modprobe`: the kernel calls it as `modprobe -q -- NAME` when it misses something.

use std::process::ExitCode;

use super::Loader;

/// The name by which the kernel calls it.
pub const NAME: &str = "modprobe";

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
