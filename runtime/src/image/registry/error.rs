//! What can go wrong with a registry.

use crate::image::digest::Digest;

use keelson_https::TlsError;

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It wants other credentials, or none would do.
    #[error("{host} refuses access to {what}")]
    Denied {
        /// The registry.
        host: String,
        /// Path that was asked for.
        what: String,
    },
    /// It does not have it.
    #[error("{host} has no {what}")]
    NotFound {
        /// The registry.
        host: String,
        /// Path that was asked for.
        what: String,
    },
    /// Another answer than expected, after all tries.
    #[error("{host} answers {status} for {what}")]
    Status {
        /// The registry.
        host: String,
        /// HTTP status.
        status: u16,
        /// Path that was asked for.
        what: String,
    },
    /// No connection, or it broke, after all tries.
    #[error("cannot reach {host}")]
    Transport {
        /// The registry.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The client cannot be made.
    #[error("cannot make a client for {host}")]
    Client {
        /// The registry.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// No TLS.
    #[error("cannot speak TLS with {host}")]
    Tls {
        /// The registry.
        host: String,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// It asks for authentication in a way we do not know.
    #[error("{host} asks for authentication in an unknown way")]
    Challenge {
        /// The registry.
        host: String,
    },
    /// The token service is not to be trusted, or does not answer with a token.
    #[error("{realm} gives no token for {host}")]
    Token {
        /// The registry.
        host: String,
        /// The token service.
        realm: String,
    },
    /// More bytes than stated or allowed.
    #[error("{host} sends more than {limit} bytes for {what}")]
    TooLarge {
        /// The registry.
        host: String,
        /// Path that was asked for.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The bytes are not those that were asked for.
    #[error("{host} sends content of digest {actual} for {expected}")]
    Digest {
        /// The registry.
        host: String,
        /// As computed.
        actual: Digest,
        /// As asked for.
        expected: Digest,
    },
    /// The bytes cannot be stored.
    #[error("cannot store a download")]
    Store(#[source] std::io::Error),
}
