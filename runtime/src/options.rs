//! The program's arguments. Pure.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where everything lies; the defaults are the machine's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `--root`: state that lasts.
    pub root: PathBuf,
    /// `--run`: state of this boot.
    pub run: PathBuf,
    /// `--socket`: where to listen; `None` takes the socket PID 1 passes.
    pub socket: Option<PathBuf>,
    /// `--shim`: the shim's program.
    pub shim: PathBuf,
    /// `--cgroups`: the cgroup tree.
    pub cgroups: PathBuf,
    /// `--journal`: the journal's socket; output goes there if it exists.
    pub journal: PathBuf,
    /// `--shutting-down`: the file PID 1 makes when the machine ends.
    pub shutting_down: PathBuf,
    /// `--config`: the machine's configuration.
    pub config: PathBuf,
    /// `--resolver`: the resolver's socket.
    pub resolver: PathBuf,
    /// `--secrets`: where values of secrets lie.
    pub secrets: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            root: "/state/containers".into(),
            run: "/run/keelson".into(),
            socket: None,
            shim: "/usr/bin/keelson-shim".into(),
            cgroups: "/sys/fs/cgroup".into(),
            journal: "/run/systemd/journal/socket".into(),
            shutting_down: "/run/keelson/shutting-down".into(),
            config: keelson_machine_config::MACHINE_JSON.into(),
            resolver: "/run/keelson/netd/resolver.sock".into(),
            secrets: keelson_machine_config::SECRETS_DIR.into(),
        }
    }
}

/// An argument that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Not one of ours.
    #[error(
        "unknown argument {0:?}; known are --root, --run, --socket, --shim, --cgroups, --journal, --config, --resolver, --secrets, --shutting-down, each with a path"
    )]
    Unknown(OsString),
    /// Its path is missing.
    #[error("{0:?} needs a path")]
    NoPath(OsString),
}

/// Parses `--name PATH` pairs.
///
/// # Errors
/// The first argument that makes no sense.
pub fn parse_options(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, OptionError> {
    let mut options = Options::default();
    let mut arguments = arguments.into_iter();
    while let Some(name) = arguments.next() {
        let slot = match name.to_str() {
            Some("--root") => &mut options.root,
            Some("--run") => &mut options.run,
            Some("--socket") => options.socket.insert(PathBuf::new()),
            Some("--shim") => &mut options.shim,
            Some("--cgroups") => &mut options.cgroups,
            Some("--journal") => &mut options.journal,
            Some("--config") => &mut options.config,
            Some("--resolver") => &mut options.resolver,
            Some("--secrets") => &mut options.secrets,
            Some("--shutting-down") => &mut options.shutting_down,
            _ => return Err(OptionError::Unknown(name)),
        };
        let path = arguments.next().ok_or(OptionError::NoPath(name))?;
        *slot = path.into();
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, OptionError> {
        parse_options(words.iter().map(OsString::from))
    }

    #[test]
    fn paths_replace_the_defaults() {
        assert_eq!(parse(&[]).unwrap(), Options::default());
        let got = parse(&["--socket", "/tmp/s", "--root", "/tmp/r"]).unwrap();
        assert_eq!((got.socket, got.root), (Some("/tmp/s".into()), "/tmp/r".into()));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(parse(&["--what"]), Err(OptionError::Unknown("--what".into())));
        assert_eq!(parse(&["--root"]), Err(OptionError::NoPath("--root".into())));
    }
}
