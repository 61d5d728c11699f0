//! How registries are spoken to: what the operator says, and from it the places to ask, in order. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use crate::image::reference::{DEFAULT_HOST, Reference};

/// Where the images of `docker.io` really are.
const DEFAULT_REGISTRY: &str = "registry-1.docker.io";

/// A name and a password; printed without either.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name.
    pub username: String,
    /// Password or access token.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// How one registry is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    /// HTTP without TLS. Always so for `localhost` and loopback addresses without a `ca`.
    pub plain_http: bool,
    /// Certificates to trust besides the usual ones, PEM: authorities, or the server's own.
    pub ca: Vec<String>,
    /// The same, trusted for every registry.
    pub trusted: Vec<String>,
    /// Hosts (`host[:port]`) asked first, in order; the registry itself is the last resort. A mirror's
    /// own settings are looked up under its host.
    pub mirrors: Vec<String>,
    /// Whom to be.
    pub credentials: Option<Credentials>,
}

/// Settings by host and port, as in names of images (`docker.io`, `10.0.2.2:5000`).
pub type Registries = BTreeMap<String, RegistrySettings>;

/// The key whose settings are those of every host without settings of its own: no host has this name.
pub const OTHERS: &str = "";

/// One place to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host and port as configured, for messages.
    pub host: String,
    /// `https://host/v2/REPOSITORY/`.
    pub base: Url,
    /// Extra certificates.
    pub ca: Vec<String>,
    /// Whom to be.
    pub credentials: Option<Credentials>,
}

/// The places to ask for an image: mirrors, then the registry. `credentials` outrank the registry's
/// configured ones and are never sent to a mirror. A mirror that is no host is left out.
#[must_use]
pub fn plan_endpoints(
    reference: &Reference,
    registries: &Registries,
    credentials: Option<&Credentials>,
) -> Vec<Endpoint> {
    let settings = settings_of(registries, reference.host());
    let mut endpoints: Vec<Endpoint> = settings
        .mirrors
        .iter()
        .filter_map(|mirror| {
            let (host, plain) = split_scheme(mirror);
            let mut of_mirror = settings_of(registries, host);
            of_mirror.plain_http |= plain;
            endpoint(host, host, reference.repository(), &of_mirror)
        })
        .collect();
    let address = if reference.host() == DEFAULT_HOST {
        DEFAULT_REGISTRY
    } else {
        reference.host()
    };
    let registry = endpoint(reference.host(), address, reference.repository(), &settings);
    endpoints.extend(registry.map(|registry| Endpoint {
        credentials: credentials.cloned().or(registry.credentials),
        ..registry
    }));
    endpoints
}

/// What is set for a host, else what is set for all others.
fn settings_of(registries: &Registries, host: &str) -> RegistrySettings {
    let found = registries.get(host).or_else(|| registries.get(OTHERS));
    found.cloned().unwrap_or_default()
}

fn split_scheme(mirror: &str) -> (&str, bool) {
    let mirror = mirror.trim_end_matches('/');
    match mirror.strip_prefix("http://") {
        Some(host) => (host, true),
        None => (mirror.strip_prefix("https://").unwrap_or(mirror), false),
    }
}

fn endpoint(host: &str, address: &str, repository: &str, settings: &RegistrySettings) -> Option<Endpoint> {
    let plain = settings.plain_http || (settings.ca.is_empty() && is_loopback(address));
    let scheme = if plain { "http" } else { "https" };
    let base = Url::parse(&format!("{scheme}://{address}/v2/{repository}/")).ok()?;
    Some(Endpoint {
        host: host.to_owned(),
        base,
        ca: settings.ca.iter().chain(&settings.trusted).cloned().collect(),
        credentials: settings.credentials.clone(),
    })
}

fn is_loopback(address: &str) -> bool {
    let host = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => address,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(name: &str, registries: &Registries) -> Vec<String> {
        let reference = name.parse().unwrap();
        plan_endpoints(&reference, registries, None)
            .iter()
            .map(|e| e.base.to_string())
            .collect()
    }

    #[test]
    fn an_authority_of_the_machine_is_trusted_for_every_registry() {
        let trusting = |ca: &[&str]| RegistrySettings {
            ca: ca.iter().map(|ca| (*ca).to_owned()).collect(),
            trusted: vec!["A".to_owned()],
            ..RegistrySettings::default()
        };
        let registries = Registries::from([
            (OTHERS.to_owned(), trusting(&[])),
            ("r.example".to_owned(), trusting(&["B"])),
        ]);
        for (name, expected) in [("r.example/a", vec!["B", "A"]), ("q.example/a", vec!["A"])] {
            let endpoints = plan_endpoints(&name.parse().unwrap(), &registries, None);
            assert_eq!(endpoints[0].ca, expected, "{name}");
        }
    }

    #[test]
    fn tls_unless_told_otherwise_or_loopback() {
        let plain = RegistrySettings {
            plain_http: true,
            ..RegistrySettings::default()
        };
        let ca = RegistrySettings {
            ca: vec!["PEM".to_owned()],
            ..RegistrySettings::default()
        };
        let registries = Registries::from([("10.0.2.2:5000".to_owned(), plain), ("127.0.0.1:7000".to_owned(), ca)]);
        for (name, base) in [
            ("nginx", "https://registry-1.docker.io/v2/library/nginx/"),
            ("ghcr.io/a/b", "https://ghcr.io/v2/a/b/"),
            ("10.0.2.2:5000/a", "http://10.0.2.2:5000/v2/a/"),
            ("10.0.2.2:5001/a", "https://10.0.2.2:5001/v2/a/"),
            ("localhost:5000/a", "http://localhost:5000/v2/a/"),
            ("[::1]:5000/a", "http://[::1]:5000/v2/a/"),
            ("127.0.0.1:7000/a", "https://127.0.0.1:7000/v2/a/"),
        ] {
            assert_eq!(bases(name, &registries), [base], "{name}");
        }
    }

    #[test]
    fn mirrors_come_first_and_get_no_credentials_of_the_registry() {
        let me = Credentials {
            username: "u".to_owned(),
            password: "p".to_owned(),
        };
        let settings = RegistrySettings {
            mirrors: vec!["http://m1:80/".to_owned(), "m2".to_owned(), "not a host".to_owned()],
            ..RegistrySettings::default()
        };
        let registries = Registries::from([("docker.io".to_owned(), settings)]);
        let endpoints = plan_endpoints(&"nginx".parse().unwrap(), &registries, Some(&me));
        let seen: Vec<(&str, bool)> = endpoints
            .iter()
            .map(|e| (e.base.as_str(), e.credentials.is_some()))
            .collect();
        assert_eq!(
            seen,
            [
                ("http://m1/v2/library/nginx/", false),
                ("https://m2/v2/library/nginx/", false),
                ("https://registry-1.docker.io/v2/library/nginx/", true)
            ]
        );
        assert_eq!(format!("{me:?}"), "Credentials(…)");
    }
}
