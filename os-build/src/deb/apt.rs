//! apt in a configuration of its own: private lists, cache and sources, so that neither the host's packages nor its
//! choice of release play a part, and nothing on the host changes. Signatures are checked by apt as always.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use thiserror::Error;

use super::sources::{Archives, format_stanza};

/// The release packages come from.
const SUITE: &str = "trixie";
/// The one release a single package is taken from ahead of time, and that package.
const AHEAD: (&str, &str) = ("forky", "systemd-boot-efi");
/// Settings of the host's apt that say how to reach its archive; the others are left behind.
const CARRIED: [&str; 6] = [
    "http",
    "https",
    "Check-Valid-Until",
    "Check-Date",
    "Retries",
    "ForceIPv4",
];

/// A private apt.
#[derive(Debug, Clone)]
pub struct Apt {
    place: PathBuf,
}

/// A package and its version as apt chose them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Name of the binary package.
    pub name: String,
    /// Exact version.
    pub version: String,
}

/// Why apt did not do what was asked.
#[derive(Debug, Error)]
pub enum AptError {
    /// The private configuration could not be written.
    #[error("cannot write apt's private configuration {path}")]
    Configure {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The program is not there.
    #[error("cannot run {program}; this needs a Debian host")]
    Start {
        /// The program.
        program: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// It failed.
    #[error("{command} failed:\n{message}")]
    Failed {
        /// What was run.
        command: String,
        /// Its last lines.
        message: String,
    },
    /// A package record lacks a field.
    #[error("apt's record of {package} has no {field}")]
    Record {
        /// The package asked for.
        package: String,
        /// The field missed.
        field: &'static str,
    },
}

impl Apt {
    /// Lays out the private folders below `place` and writes the configuration.
    ///
    /// # Errors
    /// A file cannot be written, or `apt-config` cannot be asked for the host's settings.
    pub fn configure(place: &Path, archives: &Archives) -> Result<Apt, AptError> {
        let apt = Apt {
            place: place.to_owned(),
        };
        for folder in ["etc", "lists/partial", "archives/partial"] {
            let path = place.join(folder);
            std::fs::create_dir_all(&path).map_err(|source| AptError::Configure { path, source })?;
        }
        let carried = carried_settings()?;
        apt.write("etc/debian.sources", &sources_file(archives))?;
        apt.write("etc/preferences", &preferences())?;
        apt.write("etc/status", "")?;
        apt.write("apt.conf", &configuration(place, &carried))?;
        Ok(apt)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), AptError> {
        let path = self.place.join(name);
        std::fs::write(&path, text).map_err(|source| AptError::Configure { path, source })
    }

    /// Fetches the package lists.
    ///
    /// # Errors
    /// apt's own message: unreachable archive, bad signature.
    pub fn update(&self) -> Result<(), AptError> {
        run(self.command("apt-get").args(["update", "-q", "--error-on=any"])).map(drop)
    }

    /// The record (control fields) of a package's candidate version, or of `name=version`.
    ///
    /// # Errors
    /// apt knows no such package.
    pub fn show(&self, package: &str) -> Result<String, AptError> {
        let output = run(self.command("apt-cache").args(["show", "--no-all-versions", package]))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Every package that installing `names` on an empty system would bring, without recommendations.
    ///
    /// # Errors
    /// The dependencies cannot be satisfied.
    pub fn closure(&self, names: &[&str]) -> Result<Vec<Choice>, AptError> {
        let output = run(self
            .command("apt-get")
            .args(["install", "--simulate", "-q", "--no-install-recommends"])
            .args(names))?;
        Ok(parse_simulation(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Downloads one exact version into `folder`.
    ///
    /// # Errors
    /// apt's own message.
    pub fn download(&self, choice: &Choice, folder: &Path) -> Result<(), AptError> {
        let exact = format!("{}={}", choice.name, choice.version);
        run(self
            .command("apt-get")
            .args(["download", "-q", &exact])
            .current_dir(folder))
        .map(drop)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", self.place.join("apt.conf"))
            .env("LC_ALL", "C.UTF-8");
        command
    }
}

fn run(command: &mut Command) -> Result<Output, AptError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|source| AptError::Start {
        program: program.clone(),
        source,
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let words = command
        .get_args()
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    Err(AptError::Failed {
        command: format!("{program} {words}"),
        message: last_lines(&String::from_utf8_lossy(&output.stderr), 8),
    })
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines
        .get(lines.len().saturating_sub(count)..)
        .unwrap_or_default()
        .join("\n")
}

fn sources_file(archives: &Archives) -> String {
    let main = format_stanza(&archives.debian, &format!("{SUITE} {}", AHEAD.0));
    main + &format_stanza(&archives.security, &format!("{SUITE}-security"))
}

fn preferences() -> String {
    let (suite, package) = AHEAD;
    format!(
        "Package: *\nPin: release n={suite}\nPin-Priority: -1\n\n\
         Package: {package}\nPin: release n={suite}\nPin-Priority: 990\n"
    )
}

/// The host's own settings on how to reach its archive, in apt's syntax.
///
/// # Errors
/// `apt-config` cannot be run.
pub fn carried_settings() -> Result<String, AptError> {
    let host = run(Command::new("apt-config").args(["dump", "Acquire"]))?;
    let text = String::from_utf8_lossy(&host.stdout);
    let carried = text.lines().filter(|line| is_carried(line));
    Ok(carried.map(|line| format!("{line}\n")).collect())
}

fn configuration(place: &Path, carried: &str) -> String {
    let place = place.display();
    format!(
        "Dir::State \"{place}\";\nDir::State::lists \"{place}/lists\";\nDir::State::status \"{place}/etc/status\";\n\
         Dir::Cache \"{place}\";\nDir::Cache::archives \"{place}/archives\";\n\
         Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\n\
         Dir::Etc::sourcelist \"{place}/etc/debian.sources\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::preferences \"{place}/etc/preferences\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
         APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\nAPT::Sandbox::User \"\";\n\
         Acquire::Languages \"none\";\n{carried}"
    )
}

fn is_carried(line: &str) -> bool {
    line.strip_prefix("Acquire::")
        .and_then(|rest| rest.split([':', ' ']).next())
        .is_some_and(|name| CARRIED.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

/// `Inst NAME (VERSION ARCHIVE [ARCH])` lines of a simulation.
fn parse_simulation(text: &str) -> Vec<Choice> {
    let line = |line: &str| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
        Some(Choice {
            name: name.to_owned(),
            version: rest.split_whitespace().next()?.to_owned(),
        })
    };
    let mut choices: Vec<Choice> = text.lines().filter_map(line).collect();
    choices.sort_by(|a, b| a.name.cmp(&b.name));
    choices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_on_reaching_the_archive_are_carried() {
        let table = [
            ("Acquire::http::Proxy \"http://p.example:3128\";", true),
            ("Acquire::Check-Valid-Until \"false\";", true),
            ("Acquire::Languages:: \"none\";", false),
            ("Acquire::IndexTargets::deb::X \"\";", false),
            ("Acquire::https::Verify-Peer \"true\";", true),
            ("APT::Get::Assume-Yes \"true\";", false),
        ];
        for (line, carried) in table {
            assert_eq!(is_carried(line), carried, "{line}");
        }
    }

    #[test]
    fn reads_a_simulated_installation() {
        let text = "Reading package lists...\nInst zlib1g (1:1.3.dfsg+really1.3.1-1 Debian:13.1/stable [amd64])\n\
            Inst libc6 (2.41-12 Debian:13.1/stable [amd64]) []\nConf libc6 (2.41-12 Debian:13.1/stable [amd64])\n";
        let choice = |name: &str, version: &str| Choice {
            name: name.to_owned(),
            version: version.to_owned(),
        };
        assert_eq!(
            parse_simulation(text),
            [choice("libc6", "2.41-12"), choice("zlib1g", "1:1.3.dfsg+really1.3.1-1")]
        );
    }

    #[test]
    fn only_one_package_is_taken_ahead_of_the_release() {
        assert!(preferences().contains("Package: *\nPin: release n=forky\nPin-Priority: -1\n"));
    }
}
