//! stub
use std::collections::BTreeMap;
use std::fmt;

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
    /// HTTP without TLS.
    pub plain_http: bool,
    /// Certificates to trust besides the usual ones, PEM: authorities, or the server's own.
    pub ca: Vec<String>,
    /// Hosts (`host[:port]`) asked first, in order; the registry itself is the last resort.
    pub mirrors: Vec<String>,
    /// Whom to be.
    pub credentials: Option<Credentials>,
}

/// Settings by host and port, as in names of images (`docker.io`, `10.0.2.2:5000`).
pub type Registries = BTreeMap<String, RegistrySettings>;
