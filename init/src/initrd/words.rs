//! Words that somebody added to the kernel's command line. The stub appends those of the hypervisor (SMBIOS) and of
//! addons to the one that was signed with the kernel, Secure Boot or not. The signed one ends in `--`: behind it the
//! kernel takes words for arguments of this program, which takes none. They are only reported.

use std::fs;

use crate::kmsg;

const COMMAND_LINE: &str = "/proc/cmdline";
const END: &str = " -- ";

/// Says which words were added, if any.
pub fn report() {
    let line = fs::read_to_string(COMMAND_LINE).unwrap_or_default();
    if let Some(words) = added(&line) {
        kmsg::say_failure(format_args!("words added to the command line have no effect: {words}"));
    }
}

fn added(line: &str) -> Option<&str> {
    let (_, words) = line.split_once(END)?;
    Some(words.trim()).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::added;

    #[test]
    fn added_words_are_those_behind_the_end() {
        assert_eq!(added("console=ttyS0 quiet --\n"), None);
        assert_eq!(added("console=ttyS0 -- rdinit=/x a -- b\n"), Some("rdinit=/x a -- b"));
        assert_eq!(added(""), None);
    }
}
