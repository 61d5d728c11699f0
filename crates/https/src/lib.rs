//! The machine's client of servers out there: whom it believes, how it looks up names, how long it waits. For the
//! container engine and the update agent.

mod tls;

use std::time::Duration;

use reqwest::ClientBuilder;

pub use tls::{TlsError, client_config};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest silence within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const AGENT: &str = concat!("keelson/", env!("CARGO_PKG_VERSION"));

/// A client that trusts the usual authorities and the certificates in these PEM texts. Names are looked up by the
/// resolver of `/etc/resolv.conf`; no proxy.
///
/// # Errors
/// [`TlsError`].
pub fn builder(ca: &[String]) -> Result<ClientBuilder, TlsError> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(client_config(ca)?)
        .http1_only()
        .no_proxy()
        .hickory_dns(true)
        .user_agent(AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT))
}
