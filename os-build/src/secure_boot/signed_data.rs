//! Signed messages (`SignedData`) as firmware checks them: one signer, SHA-256, RSA.
//!
//! Sources: RFC 5652 5; Microsoft "Windows Authenticode Portable Executable Signature Format" 1.0.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA};
use const_oid::db::rfc5912::{ID_SHA_256, RSA_ENCRYPTION};
use der::asn1::{Any, OctetString, SetOfVec};
use der::{Decode, Encode, Sequence, ValueOrd};
use rsa::RsaPublicKey as PublicKey;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::signature::Verifier;
use sha2::Sha256;
use thiserror::Error;
use x509_cert::Certificate;
use x509_cert::attr::Attribute;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::keys::Key;
use crate::digest::sha256;

/// A signature could not be put into bytes.
#[derive(Debug, Error)]
#[error("signature: {0}")]
pub struct EncodeError(#[from] der::Error);

/// Why a signed message proves nothing.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum VerifyError {
    /// Not a signed message, or of a kind that is not read here.
    #[error("it cannot be read")]
    Unreadable,
    /// The certificate of the signer is not in it.
    #[error("the signer's certificate is missing")]
    NoCertificate,
    /// The signature is another's, or what it covers was changed.
    #[error("it was changed")]
    Wrong,
}

#[derive(Debug, Clone, Sequence)]
struct ContentInfo {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: Any,
}

#[derive(Debug, Clone, Sequence)]
struct SignedData {
    version: u8,
    digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    content: Encapsulated,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    certificates: Option<SetOfVec<Certificate>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    revocations: Option<SetOfVec<Any>>,
    signers: SetOfVec<SignerInfo>,
}

#[derive(Debug, Clone, Sequence)]
struct Encapsulated {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    content: Option<Any>,
}

#[derive(Debug, Clone, Sequence, ValueOrd)]
struct SignerInfo {
    version: u8,
    signer: IssuerAndSerial,
    digest_algorithm: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    signed: Option<SetOfVec<Attribute>>,
    signature_algorithm: AlgorithmIdentifierOwned,
    signature: OctetString,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    unsigned: Option<SetOfVec<Attribute>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence, ValueOrd)]
struct IssuerAndSerial {
    issuer: Name,
    serial: SerialNumber,
}

impl IssuerAndSerial {
    fn of(certificate: &Certificate) -> IssuerAndSerial {
        IssuerAndSerial {
            issuer: certificate.tbs_certificate().issuer().clone(),
            serial: certificate.tbs_certificate().serial_number().clone(),
        }
    }
}

/// Signs `message`, which is not part of the result: a bare `SignedData`, as firmware wants it for variables.
///
/// # Errors
/// Encoding failed.
pub fn sign_detached(key: &Key, message: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let content = Encapsulated {
        content_type: ID_DATA,
        content: None,
    };
    Ok(signed(key, content, None, key.sign(message))?.to_der()?)
}

/// Signs `content` of the given type and puts it into the result, a `ContentInfo`, as in executables.
///
/// # Errors
/// Encoding failed.
pub fn sign_attached(key: &Key, content_type: ObjectIdentifier, content: Any) -> Result<Vec<u8>, EncodeError> {
    let attribute = |oid, value: Any| -> der::Result<Attribute> {
        Ok(Attribute {
            oid,
            values: SetOfVec::from_iter([value])?,
        })
    };
    let digest = OctetString::new(sha256(content.value()))?;
    let attributes = SetOfVec::from_iter([
        attribute(ID_CONTENT_TYPE, Any::encode_from(&content_type)?)?,
        attribute(ID_MESSAGE_DIGEST, Any::encode_from(&digest)?)?,
    ])?;
    let signature = key.sign(&attributes.to_der()?);
    let content = Encapsulated {
        content_type,
        content: Some(content),
    };
    let data = signed(key, content, Some(attributes), signature)?;
    let info = ContentInfo {
        content_type: ID_SIGNED_DATA,
        content: Any::encode_from(&data)?,
    };
    Ok(info.to_der()?)
}

fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: Some(Any::null()),
    }
}

fn signed(
    key: &Key,
    content: Encapsulated,
    attributes: Option<SetOfVec<Attribute>>,
    signature: Vec<u8>,
) -> der::Result<SignedData> {
    let signer = SignerInfo {
        version: 1,
        signer: IssuerAndSerial::of(&key.certificate),
        digest_algorithm: algorithm(ID_SHA_256),
        signed: attributes,
        signature_algorithm: algorithm(RSA_ENCRYPTION),
        signature: OctetString::new(signature)?,
        unsigned: None,
    };
    Ok(SignedData {
        version: 1,
        digest_algorithms: SetOfVec::from_iter([algorithm(ID_SHA_256)])?,
        content,
        certificates: Some(SetOfVec::from_iter([key.certificate.clone()])?),
        revocations: None,
        signers: SetOfVec::from_iter([signer])?,
    })
}

/// Reads a `ContentInfo` with content in it; gives the signer's name and the content, if the signature holds. Whether
/// the signer is to be trusted is another question.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify_attached(bytes: &[u8], content_type: ObjectIdentifier) -> Result<(Name, Any), VerifyError> {
    let unreadable = |_| VerifyError::Unreadable;
    let info = ContentInfo::from_der(bytes).map_err(unreadable)?;
    let data: SignedData = info.content.decode_as().map_err(unreadable)?;
    let content = data.content.content.ok_or(VerifyError::Unreadable)?;
    let signer = data.signers.get(0).ok_or(VerifyError::Unreadable)?;
    let attributes = signer.signed.as_ref().ok_or(VerifyError::Unreadable)?;
    let digest = attributes
        .iter()
        .find(|attribute| attribute.oid == ID_MESSAGE_DIGEST)
        .and_then(|attribute| attribute.values.get(0)?.decode_as::<OctetString>().ok())
        .ok_or(VerifyError::Unreadable)?;
    let certificates = data.certificates.unwrap_or_default();
    let certificate = certificates
        .iter()
        .find(|certificate| IssuerAndSerial::of(certificate) == signer.signer)
        .ok_or(VerifyError::NoCertificate)?;
    let right_kind = data.content.content_type == content_type && digest.as_bytes() == sha256(content.value());
    if !right_kind
        || !holds(
            certificate,
            &attributes.to_der().map_err(unreadable)?,
            signer.signature.as_bytes(),
        )
    {
        return Err(VerifyError::Wrong);
    }
    Ok((certificate.tbs_certificate().subject().clone(), content))
}

fn holds(certificate: &Certificate, message: &[u8], signature: &[u8]) -> bool {
    let public = certificate.tbs_certificate().subject_public_key_info().to_der();
    let public = public.ok().and_then(|der| {
        use rsa::pkcs8::DecodePublicKey;
        PublicKey::from_public_key_der(&der).ok()
    });
    let signature = Signature::try_from(signature);
    match (public, signature) {
        (Some(public), Ok(signature)) => VerifyingKey::<Sha256>::new(public).verify(message, &signature).is_ok(),
        _ => false,
    }
}
