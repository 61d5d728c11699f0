//! HOME for a process that was given none: from the container's own passwd file.

use std::fs::File;
use std::io::Read;

/// Longest passwd file read, in bytes.
const LONGEST: u64 = 1 << 20;

/// The home directory of a user by the text of a passwd file.
pub fn parse_home(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let number = fields.nth(2)?;
        (number.parse() == Ok(uid))
            .then(|| fields.nth(2))
            .flatten()
            .filter(|home| !home.is_empty())
    })
}

/// The home directory of a user in the root this process now has; `/` if the file does not say.
pub fn read_home(uid: u32) -> String {
    let mut text = String::new();
    let read = File::open("/etc/passwd").and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    match read {
        Ok(_) => parse_home(&text, uid).unwrap_or("/").to_owned(),
        Err(_) => "/".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbad line\nx:x:7:7::\nwww:x:33:33:www:/var/www:/bin/sh\n";
        assert_eq!(parse_home(passwd, 0), Some("/root"));
        assert_eq!(parse_home(passwd, 33), Some("/var/www"));
        assert_eq!((parse_home(passwd, 7), parse_home(passwd, 8)), (None, None));
    }
}
