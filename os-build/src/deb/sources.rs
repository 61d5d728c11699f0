//! Which Debian archive this host uses, from its own apt sources. Our packages come from there too, so that mirrors,
//! caches and keys the owner of the machine chose keep their say.
//!
//! Source: sources.list(5), both styles.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// One archive as the host's sources describe it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stanza {
    /// Addresses.
    pub uris: Vec<String>,
    /// Suites, for instance `bookworm`, `bookworm-security`.
    pub suites: Vec<String>,
    /// Components, for instance `main`.
    pub components: Vec<String>,
    /// Value of `Signed-By` as written: paths, fingerprints or an embedded key. `None`: apt's trusted keys.
    pub signed_by: Option<String>,
}

/// The two archives everything comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archives {
    /// The main archive.
    pub debian: Stanza,
    /// The security archive.
    pub security: Stanza,
}

/// Why the host's sources are of no use.
#[derive(Debug, Error)]
pub enum SourcesError {
    /// A sources file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// No source of a Debian suite with the component `main`.
    #[error("no Debian archive in the host's apt sources ({looked_at})")]
    NoDebian {
        /// Files that were read.
        looked_at: String,
    },
}

const SUITES: [&str; 12] = [
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "sid",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "experimental",
];

impl Archives {
    /// Reads the host's sources below `etc_apt` (`/etc/apt`).
    ///
    /// # Errors
    /// A file cannot be read, or none names a Debian archive.
    pub fn of_host(etc_apt: &Path) -> Result<Archives, SourcesError> {
        let mut files = vec![etc_apt.join("sources.list")];
        if let Ok(entries) = std::fs::read_dir(etc_apt.join("sources.list.d")) {
            let mut more: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            more.sort();
            files.extend(more);
        }
        let mut stanzas = Vec::new();
        for path in files.iter().filter(|path| path.is_file()) {
            let extension = path.extension().unwrap_or_default();
            let parse = match extension.to_str() {
                Some("list") => parse_one_line,
                Some("sources") => parse_deb822,
                _ => continue,
            };
            let text = std::fs::read_to_string(path).map_err(|source| SourcesError::Read {
                path: path.clone(),
                source,
            })?;
            stanzas.extend(parse(&text));
        }
        plan_archives(&stanzas).ok_or_else(|| SourcesError::NoDebian {
            looked_at: files
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}

/// `deb [signed-by=KEY] URI SUITE COMPONENT…` lines.
#[must_use]
pub fn parse_one_line(text: &str) -> Vec<Stanza> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Stanza> {
    let line = line.split('#').next().unwrap_or_default();
    let rest = line.trim().strip_prefix("deb ")?.trim();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Stanza {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(|keys| keys.replace(',', " ")),
    })
}

/// Stanzas of `Field: value` lines separated by blank lines.
#[must_use]
pub fn parse_deb822(text: &str) -> Vec<Stanza> {
    let mut stanzas = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            stanzas.extend(stanza(&std::mem::take(&mut fields)));
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    stanzas
}

fn stanza(fields: &[(String, String)]) -> Option<Stanza> {
    let field = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let words = |name: &str| {
        field(name)
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let disabled = field("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
    if disabled || !words("types").iter().any(|kind| kind == "deb") {
        return None;
    }
    Some(Stanza {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by: field("signed-by").map(str::to_owned),
    })
}

/// Chooses the Debian archive and its security archive. A host without a security source gets the one beside its
/// main archive.
#[must_use]
pub fn plan_archives(stanzas: &[Stanza]) -> Option<Archives> {
    let of_debian = |stanza: &&Stanza, wanted: fn(&str) -> bool| {
        stanza.components.iter().any(|component| component == "main")
            && !stanza.uris.is_empty()
            && stanza.suites.iter().any(|suite| wanted(suite))
    };
    let debian = stanzas
        .iter()
        .find(|stanza| of_debian(stanza, |suite| SUITES.contains(&suite)))?;
    let security = stanzas
        .iter()
        .find(|stanza| of_debian(stanza, is_security))
        .cloned()
        .unwrap_or_else(|| Stanza {
            uris: debian
                .uris
                .iter()
                .map(|uri| format!("{}-security", uri.trim_end_matches('/')))
                .collect(),
            ..debian.clone()
        });
    Some(Archives {
        debian: debian.clone(),
        security,
    })
}

fn is_security(suite: &str) -> bool {
    suite
        .strip_suffix("-security")
        .or_else(|| suite.strip_suffix("/updates"))
        .is_some_and(|name| SUITES.contains(&name))
}

/// A stanza in deb822 style for suites of our choice.
#[must_use]
pub fn format_stanza(stanza: &Stanza, suites: &str) -> String {
    let key = stanza
        .signed_by
        .as_ref()
        .map(|key| format!("Signed-By: {key}\n"))
        .unwrap_or_default();
    format!(
        "Types: deb\nURIs: {}\nSuites: {suites}\nComponents: main\n{key}\n",
        stanza.uris.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(uri: &str, suites: &[&str], key: Option<&str>) -> Stanza {
        Stanza {
            uris: vec![uri.to_owned()],
            suites: suites.iter().map(|suite| (*suite).to_owned()).collect(),
            components: vec!["main".to_owned()],
            signed_by: key.map(str::to_owned),
        }
    }

    #[test]
    fn reads_one_line_style() {
        let text = "# deb http://old x main\n\
            deb http://a.example/debian bookworm main # the archive\n\
            deb-src http://a.example/debian bookworm main\n\
            deb [arch=amd64 signed-by=/k/one.gpg,/k/two.gpg] http://b.example/debian-security bookworm-security main\n";
        assert_eq!(
            parse_one_line(text),
            [
                stanza("http://a.example/debian", &["bookworm"], None),
                stanza(
                    "http://b.example/debian-security",
                    &["bookworm-security"],
                    Some("/k/one.gpg /k/two.gpg")
                ),
            ]
        );
    }

    #[test]
    fn reads_deb822_style_with_an_embedded_key() {
        let text = "Types: deb deb-src\n# comment\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates\n\
            Components: main\nSigned-By:\n -----BEGIN\n .\n abc\n\n\n\
            Types: deb\nEnabled: no\nURIs: http://off.example\nSuites: bookworm\nComponents: main\n";
        let key = "\n -----BEGIN\n .\n abc";
        assert_eq!(
            parse_deb822(text),
            [stanza(
                "http://a.example/debian",
                &["bookworm", "bookworm-updates"],
                Some(key)
            )]
        );
    }

    #[test]
    fn third_party_archives_are_passed_over() {
        let others = [
            stanza("http://tools.example/apt", &["cloud-sdk-bookworm"], None),
            stanza("http://node.example", &["nodistro"], None),
        ];
        assert_eq!(plan_archives(&others), None);
        let debian = stanza(
            "http://a.example/debian",
            &["bookworm", "bookworm-updates"],
            Some("/k.gpg"),
        );
        let security = stanza("http://s.example/sec", &["bookworm-security"], Some("/k.gpg"));
        let mut all = others.to_vec();
        all.extend([debian.clone(), security.clone()]);
        assert_eq!(plan_archives(&all), Some(Archives { debian, security }));
    }

    #[test]
    fn security_lies_beside_the_main_archive_when_not_given() {
        let archives = plan_archives(&[stanza("http://a.example/debian/", &["trixie"], None)]).unwrap();
        assert_eq!(archives.security.uris, ["http://a.example/debian-security"]);
    }

    #[test]
    fn what_is_written_reads_back() {
        let given = stanza("http://a.example/debian", &["trixie", "forky"], Some("/k.gpg"));
        assert_eq!(parse_deb822(&format_stanza(&given, "trixie forky")), [given]);
    }
}
