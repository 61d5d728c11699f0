//! What is spoken: one generation of algorithms, nothing that is only there for old clients.
//!
//! OpenSSH 6.5 of 2014 and everything since finds a match. RSA keys of users are accepted from 2048 bits (clouds still
//! hand those out), signing with SHA-2 only.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};

/// What a client may send before it must wait, per channel, in bytes.
pub const WINDOW: u32 = 256 << 10;
/// Tries to log in on one connection; a client offers each of its keys.
const MAX_ATTEMPTS: usize = 6;
/// How long each refusal takes, whatever its reason.
const REFUSAL_TIME: Duration = Duration::from_millis(300);
/// A client that is silent is asked after this long, and given up after three questions.
const KEEPALIVE: Duration = Duration::from_secs(30);

const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];
const CIPHERS: &[cipher::Name] = &[cipher::CHACHA20_POLY1305, cipher::AES_256_GCM, cipher::AES_128_GCM];
/// Named because the protocol wants one; every cipher above authenticates by itself.
const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM];
const COMPRESSIONS: &[compression::Name] = &[compression::NONE];
/// For the host key (the first) and, as `server-sig-algs`, for keys of users.
const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::SkEd25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::SkEcdsaSha2NistP256,
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
];

/// The protocol's settings with this host key.
#[must_use]
pub fn config(host_key: PrivateKey) -> Arc<Config> {
    Arc::new(Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Keelson")),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: REFUSAL_TIME,
        // Every client begins by asking what there is.
        auth_rejection_time_initial: Some(Duration::ZERO),
        max_auth_attempts: MAX_ATTEMPTS + 1,
        keys: vec![host_key],
        window_size: WINDOW,
        // The deadline for logging in is our own; afterwards silence is no fault.
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 3,
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Borrowed(KEYS),
            host_key_certificates: Cow::Borrowed(&[]),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(COMPRESSIONS),
        },
        ..Config::default()
    })
}
