//! Where probes ask: addresses of the machine and its networks. Names of hosts are not looked up: a probe must not fail
//! for a name server's sake.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use super::{ValueError, string_serde};

/// `http://ADDRESS[:PORT][/PATH]`; `localhost` is 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeUrl {
    /// Whom to ask.
    pub address: SocketAddr,
    /// Path and query, with the slash.
    pub path: String,
}

/// `ADDRESS:PORT`; `localhost` is 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeAddress(pub SocketAddr);

const URL_CURE: &str = "write \"http://ADDRESS:PORT/PATH\", for example \"http://127.0.0.1:8080/health\"";
const ADDRESS_CURE: &str = "write \"ADDRESS:PORT\", for example \"127.0.0.1:5432\"";

impl FromStr for ProbeUrl {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(ValueError::new("a probe asks by plain HTTP", URL_CURE));
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let plain = |c: char| c.is_ascii_graphic() && c != '#';
        if !path.chars().all(plain) {
            let problem = "the path of a probe holds spaces, '#' or letters that are not ASCII";
            return Err(ValueError::new(problem, "write them as %XX"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(ProbeUrl {
            address: address(authority, Some(80)).ok_or_else(|| no_address(authority, URL_CURE))?,
            path: format!("{slash}{path}"),
        })
    }
}

impl fmt::Display for ProbeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address, self.path)
    }
}

impl FromStr for ProbeAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let found = address(text, None);
        found.map(ProbeAddress).ok_or_else(|| no_address(text, ADDRESS_CURE))
    }
}

impl fmt::Display for ProbeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn address(text: &str, port: Option<u16>) -> Option<SocketAddr> {
    let whole = text.parse::<SocketAddr>().ok();
    let named = || {
        let port = text.strip_prefix("localhost:")?.parse().ok()?;
        Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
    };
    let without_port = || {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let host = match (text, bare) {
            ("localhost", _) => Ipv4Addr::LOCALHOST.into(),
            (_, Some(bare)) => IpAddr::V6(bare.parse().ok()?),
            (text, None) => IpAddr::V4(text.parse().ok()?),
        };
        Some(SocketAddr::new(host, port?))
    };
    let found = whole.or_else(named).or_else(without_port)?;
    (found.port() != 0).then_some(found)
}

fn no_address(text: &str, cure: &str) -> ValueError {
    ValueError::new(format!("{text:?} is not an address of a probe"), cure)
}

string_serde!(ProbeUrl, ProbeAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_back_in_one_form() {
        for (text, expected) in [
            ("http://localhost", "http://127.0.0.1:80/"),
            (
                "http://127.0.0.1:8080/health?full=1",
                "http://127.0.0.1:8080/health?full=1",
            ),
            ("http://[::1]:81", "http://[::1]:81/"),
            ("http://[::1]/a", "http://[::1]:80/a"),
            ("http://10.0.0.1?x", "http://10.0.0.1:80/?x"),
        ] {
            assert_eq!(text.parse::<ProbeUrl>().unwrap().to_string(), expected);
        }
        assert_eq!(
            "localhost:1".parse::<ProbeAddress>().unwrap().to_string(),
            "127.0.0.1:1"
        );
        assert_eq!("[::1]:22".parse::<ProbeAddress>().unwrap().to_string(), "[::1]:22");
    }

    #[test]
    fn what_a_probe_cannot_ask_is_refused() {
        for text in [
            "https://127.0.0.1/",
            "127.0.0.1",
            "http://web/",
            "http://u:p@127.0.0.1/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1/a b",
            "http://::1/",
        ] {
            assert!(text.parse::<ProbeUrl>().is_err(), "{text}");
        }
        for text in ["127.0.0.1", "db:5432", "localhost", ":80", "127.0.0.1:0", "::1:80x"] {
            assert!(text.parse::<ProbeAddress>().is_err(), "{text}");
        }
    }
}
