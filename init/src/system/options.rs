//! What the system stage is told on its command line. Without arguments it runs the machine; with `--no-hardware` it is
//! the init of a container (or of a test) and leaves mounts, devices and power alone.

use std::path::PathBuf;

use keelson_image_layout::paths;

/// Where things are, and how much of a machine there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Folder of unit files.
    pub units: PathBuf,
    /// Run-time directory: control and notify sockets.
    pub run: PathBuf,
    /// Root of the version 2 control group tree.
    pub cgroup: PathBuf,
    /// Whether PID 1 mounts, opens devices and switches the machine off.
    pub hardware: bool,
    /// Descriptor with the state of the copy before this one.
    pub restore: Option<i32>,
}

/// An argument that is not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Not one of the options.
    #[error("unknown argument {argument:?}; known are --units, --run, --cgroup, --restore, --no-hardware")]
    Unknown {
        /// The argument.
        argument: String,
    },
    /// An option without its value, or with a wrong one.
    #[error("{option} needs a value")]
    Value {
        /// The option.
        option: String,
    },
}

impl Default for Options {
    fn default() -> Self {
        Options {
            units: paths::UNITS.into(),
            run: paths::RUN.into(),
            cgroup: "/sys/fs/cgroup".into(),
            hardware: true,
            restore: None,
        }
    }
}

impl Options {
    /// Parses the arguments after `system`.
    ///
    /// # Errors
    /// [`OptionsError`] for the first one that is not understood.
    pub fn parse(arguments: &[String]) -> Result<Self, OptionsError> {
        let mut options = Options::default();
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            let mut value = || {
                rest.next()
                    .cloned()
                    .ok_or_else(|| OptionsError::Value { option: option.clone() })
            };
            match option.as_str() {
                "--units" => options.units = value()?.into(),
                "--run" => options.run = value()?.into(),
                "--cgroup" => options.cgroup = value()?.into(),
                "--no-hardware" => options.hardware = false,
                "--restore" => {
                    let number = value()?
                        .parse()
                        .map_err(|_| OptionsError::Value { option: option.clone() })?;
                    options.restore = Some(number);
                }
                _ => {
                    return Err(OptionsError::Unknown {
                        argument: option.clone(),
                    });
                }
            }
        }
        Ok(options)
    }

    /// The arguments that make a new copy of this one, restoring from descriptor `restore`.
    #[must_use]
    pub fn to_arguments(&self, restore: i32) -> Vec<std::ffi::OsString> {
        let mut arguments = vec!["system".into(), "--restore".into(), restore.to_string().into()];
        for (option, path) in [
            ("--units", &self.units),
            ("--run", &self.run),
            ("--cgroup", &self.cgroup),
        ] {
            arguments.push(option.into());
            arguments.push(path.into());
        }
        if !self.hardware {
            arguments.push("--no-hardware".into());
        }
        arguments
    }

    /// The control socket.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.run.join("control")
    }

    /// Exists while the machine goes down; says how.
    #[must_use]
    pub fn ending(&self) -> PathBuf {
        self.run.join("shutting-down")
    }

    /// Exists from the moment the boot is complete.
    #[must_use]
    pub fn boot_complete(&self) -> PathBuf {
        self.run.join("boot-complete")
    }

    /// The notify socket.
    #[must_use]
    pub fn notify(&self) -> PathBuf {
        self.run.join("notify")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_a_new_copy() {
        let options = Options {
            units: "/u".into(),
            run: "/r".into(),
            cgroup: "/c".into(),
            hardware: false,
            restore: Some(9),
        };
        let arguments: Vec<String> = options
            .to_arguments(9)
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect();
        assert_eq!(Options::parse(&arguments[1..]), Ok(options));
    }

    #[test]
    fn unknown_arguments_are_refused() {
        let parse = |words: &[&str]| Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert!(parse(&[]).unwrap().hardware);
        assert!(matches!(parse(&["--magic"]), Err(OptionsError::Unknown { .. })));
        assert!(matches!(parse(&["--units"]), Err(OptionsError::Value { .. })));
        assert!(matches!(parse(&["--restore", "x"]), Err(OptionsError::Value { .. })));
    }
}
