//! One metadata service over HTTP: bounded in time and size, following nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::redirect::Policy;
use reqwest::{Method, Response};

use crate::failure::Failure;

/// Where EC2's service listens; the second only in subnets with IPv6.
pub const ENDPOINTS: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)), 80),
];

/// How long the parts of one request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until there is a connection.
    pub connect: Duration,
    /// From then to the last byte.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            answer: Duration::from_secs(5),
        }
    }
}

/// An answer: its status and its whole body.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a document holds secrets")]
pub struct Reply {
    /// HTTP status.
    pub code: u16,
    /// Body.
    pub body: Vec<u8>,
}

/// A client for one address.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    /// Prepares; connects to nothing.
    ///
    /// # Errors
    /// The client cannot be made; that is a fault of ours.
    pub fn new(endpoint: SocketAddr, limits: Limits) -> anyhow::Result<Self> {
        // The service speaks plain HTTP; no certificate is trusted, so nothing else can be spoken.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("set up TLS")?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(limits.connect)
            .timeout(limits.connect + limits.answer)
            .http1_only()
            .build()
            .context("set up the HTTP client")?;
        Ok(Self {
            http,
            base: format!("http://{endpoint}"),
        })
    }

    /// Sends a request with one header and reads the whole answer, at most `limit` bytes.
    ///
    /// # Errors
    /// Anything but an HTTP answer; a status of whatever kind is none.
    pub async fn send(&self, method: Method, path: &str, header: (&str, &str), limit: usize) -> Result<Reply, Failure> {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let answer = request.header(header.0, header.1).send().await;
        let answer = answer.map_err(|error| failure(path, &error))?;
        let code = answer.status().as_u16();
        let body = body(answer, path, limit).await?;
        Ok(Reply { code, body })
    }
}

async fn body(mut answer: Response, path: &str, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failure(path, &error))? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::Broken {
                path: path.to_owned(),
                what: "the answer is too long",
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn failure(path: &str, error: &reqwest::Error) -> Failure {
    use rustix::io::Errno;
    let path = path.to_owned();
    let errno = os_error(error).and_then(|error| Errno::from_io_error(&error));
    match errno {
        Some(Errno::NETUNREACH | Errno::ADDRNOTAVAIL | Errno::NETDOWN) => Failure::NoRoute,
        // There is a way, and no neighbour of that address on it.
        Some(Errno::HOSTUNREACH) => Failure::NoConnection,
        Some(Errno::CONNREFUSED) => Failure::Refused,
        _ if error.is_connect() => Failure::NoConnection,
        _ if error.is_timeout() => Failure::Silent { path },
        _ if error.is_body() || error.is_decode() => Failure::Broken {
            path,
            what: "the answer ends too early",
        },
        _ => Failure::Broken {
            path,
            what: "the answer is not HTTP, or the connection broke",
        },
    }
}

/// The kernel's word at the root of an error.
fn os_error(error: &reqwest::Error) -> Option<io::Error> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(io::Error::from_raw_os_error(code));
        }
        source = error.source();
    }
    None
}
