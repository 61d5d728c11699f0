//! Files of the machine that a document may write: where they may stand, who may read them.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, string_serde};

/// Absolute, normal path below one of [`TREES`], and not one that the system writes itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePath(String);

/// Permission bits, `0000` to `0777`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

/// Where files may be written. Each lies in memory and is filled anew at each boot.
pub const TREES: [&str; 3] = ["/etc", "/opt", "/srv"];

/// What the system itself writes below `/etc`, with what to use instead; a name ending in `/` is a directory.
const OWN: [(&str, &str); 22] = [
    ("/etc/passwd", "declare users"),
    ("/etc/shadow", "there are no passwords; users log in with keys"),
    ("/etc/group", "declare users with groups"),
    ("/etc/gshadow", "declare users with groups"),
    ("/etc/sudoers", "put users into the group wheel"),
    ("/etc/sudoers.d/", "put users into the group wheel"),
    ("/etc/hostname", "set the host name"),
    ("/etc/hosts", "set the host name"),
    ("/etc/resolv.conf", "set the network's name servers"),
    ("/etc/netplan/", "give a network configuration"),
    ("/etc/network/", "give a network configuration"),
    ("/etc/systemd/", "declare a container for what a unit would run"),
    ("/etc/cron.d/", "declare a container for what would be run"),
    ("/etc/docker/", "set registries, mirrors and limits in the document"),
    ("/etc/ssh/", "keys and users are all that can be set"),
    ("/etc/ssl/", "give certificates as trusted authorities"),
    ("/etc/sysctl.conf", "the kernel's settings are the image's"),
    ("/etc/sysctl.d/", "the kernel's settings are the image's"),
    ("/etc/localtime", "set the time zone"),
    ("/etc/timezone", "set the time zone"),
    ("/etc/machine-id", "the machine makes its own"),
    ("/etc/os-release", "it is the image's"),
];

impl FilePath {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FilePath {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let path = super::absolute_path(text)?;
        let below = |tree: &str| path.strip_prefix(tree).is_some_and(|rest| rest.starts_with('/'));
        if let Some((_, cure)) = OWN
            .iter()
            .find(|(own, _)| path == own.trim_end_matches('/') || (own.ends_with('/') && path.starts_with(own)))
        {
            return Err(ValueError::new(format!("{path} is the system's own"), *cure));
        }
        if !TREES.iter().any(|tree| below(tree)) {
            let problem = format!("no file can be written to {path}: the system is immutable");
            let cure = format!(
                "write below {} and mount it into a container from there",
                TREES.join(", ")
            );
            return Err(ValueError::new(problem, cure));
        }
        Ok(Self(path))
    }
}

impl FromStr for Mode {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let cure = "write three or four octal digits, for example \"0644\"";
        let octal = matches!(text.len(), 3 | 4) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let bits = u32::from_str_radix(text, 8).ok().filter(|_| octal);
        match bits {
            None => Err(ValueError::new(format!("{text:?} is not a file's mode"), cure)),
            Some(bits) if bits > 0o777 => Err(ValueError::new(
                "set-user, set-group and sticky bits are not possible",
                format!("write \"{:04o}\"", bits & 0o777),
            )),
            Some(bits) => Ok(Self(bits)),
        }
    }
}

impl Mode {
    /// Whether everyone may read the file.
    #[must_use]
    pub fn is_public(self) -> bool {
        self.0 & 0o004 != 0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

string_serde!(FilePath, Mode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stand_where_nothing_of_the_system_does() {
        for (path, good) in [
            ("/etc/app/app.conf", true),
            ("/srv/www/index.html", true),
            ("/opt//app/x", true),
            ("/etc", false),
            ("/etc/passwd", false),
            ("/etc/ssh/sshd_config.d/x", false),
            ("/etc/sshx", true),
            ("/usr/local/bin/x", false),
            ("/etc/../x", false),
            ("etc/x", false),
        ] {
            assert_eq!(path.parse::<FilePath>().is_ok(), good, "{path}");
        }
        assert_eq!("/opt//app/x".parse::<FilePath>().unwrap().as_str(), "/opt/app/x");
    }

    #[test]
    fn modes_are_octal() {
        for (text, bits) in [
            ("0644", Some(0o644)),
            ("600", Some(0o600)),
            ("4755", None),
            ("0o644", None),
            ("64", None),
            ("0888", None),
        ] {
            assert_eq!(text.parse::<Mode>().ok().map(|mode| mode.0), bits, "{text}");
        }
    }
}
