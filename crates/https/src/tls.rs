//! Whom to believe: the usual authorities, those configured, and a server whose certificate is
//! configured byte for byte (self-signed registries; the usual verifier refuses an authority as server).

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A configured certificate is not PEM, or there is none in it.
    #[error("a configured certificate cannot be read")]
    Certificate,
    /// The library refuses.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
    /// The library has no authorities to check with.
    #[error("cannot set up the check of certificates")]
    Verifier(#[source] rustls::client::VerifierBuilderError),
}

/// A client configuration that trusts the usual authorities and the certificates in these PEM texts.
///
/// # Errors
/// [`TlsError`].
pub fn client_config(ca: &[String]) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let configured = parse_certificates(ca)?;
    for certificate in &configured {
        // One that is no authority may still be a server's own.
        let _ = roots.add(certificate.clone());
    }
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(TlsError::Verifier)?;
    let verifier = Verifier {
        usual,
        configured,
        provider: Arc::clone(&provider),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn parse_certificates(ca: &[String]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut certificates = Vec::new();
    for pem in ca {
        let before = certificates.len();
        for certificate in rustls_pemfile::certs(&mut pem.as_bytes()) {
            certificates.push(certificate.map_err(|_| TlsError::Certificate)?);
        }
        if certificates.len() == before {
            return Err(TlsError::Certificate);
        }
    }
    Ok(certificates)
}

struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    configured: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("configured", &self.configured.len())
            .finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.configured.iter().any(|certificate| certificate == end_entity) {
            // Trust is in the bytes; the name must be right all the same, or one registry could pose as
            // another. The handshake proves possession of the key.
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.usual
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
