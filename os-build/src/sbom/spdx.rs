//! The parts of an SPDX 2.3 document that ours has, as JSON. Source: SPDX Specification 2.3, JSON schema.

use serde::Serialize;

/// What nobody claims to know.
pub const UNKNOWN: &str = "NOASSERTION";
/// The document itself.
pub const DOCUMENT: &str = "SPDXRef-DOCUMENT";

/// A document.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// `SPDX-2.3`.
    pub spdx_version: &'static str,
    /// Licence of the document.
    pub data_license: &'static str,
    /// [`DOCUMENT`].
    #[serde(rename = "SPDXID")]
    pub id: &'static str,
    /// Name of what it describes.
    pub name: String,
    /// A URI of its own.
    pub document_namespace: String,
    /// When and by what it was made.
    pub creation_info: CreationInfo,
    /// Packages.
    pub packages: Vec<Package>,
    /// Files.
    pub files: Vec<FileEntry>,
    /// What contains, comes from or is linked with what.
    pub relationships: Vec<Relationship>,
}

/// When and by what a document was made.
#[derive(Debug, Clone, Serialize)]
pub struct CreationInfo {
    /// `2026-11-20T08:00:00Z`.
    pub created: String,
    /// `Tool: …`.
    pub creators: Vec<String>,
}

/// A package.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// Identifier within the document.
    #[serde(rename = "SPDXID")]
    pub id: String,
    /// Name.
    pub name: String,
    /// Version.
    pub version_info: String,
    /// Where it can be had; ours say that by package URL.
    pub download_location: &'static str,
    /// Whether files of it are listed.
    pub files_analyzed: bool,
    /// Digest over the digests of those files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_verification_code: Option<VerificationCode>,
    /// Licence concluded by us.
    pub license_concluded: &'static str,
    /// Licence its authors declare.
    pub license_declared: String,
    /// Copyright text; Debian's lie in the image.
    pub copyright_text: &'static str,
    /// Where it was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_info: Option<String>,
    /// A remark for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Digests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checksums: Vec<Checksum>,
    /// Package URL.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_refs: Vec<ExternalRef>,
}

/// A digest.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checksum {
    /// `SHA1` or `SHA256`.
    pub algorithm: &'static str,
    /// Hexadecimal.
    pub checksum_value: String,
}

/// A digest over the files of a package.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationCode {
    /// SHA-1 over the sorted SHA-1s of the files (SPDX 2.3, 7.9).
    pub package_verification_code_value: String,
}

/// A name in another system.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRef {
    /// `PACKAGE-MANAGER`.
    pub reference_category: &'static str,
    /// `purl`.
    pub reference_type: &'static str,
    /// The name.
    pub reference_locator: String,
}

/// A file.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    /// Identifier within the document.
    #[serde(rename = "SPDXID")]
    pub id: String,
    /// Path, beginning with `./`.
    pub file_name: String,
    /// SHA-1, which the format asks for, and SHA-256.
    pub checksums: Vec<Checksum>,
    /// Licence concluded by us.
    pub license_concluded: &'static str,
    /// Copyright text.
    pub copyright_text: &'static str,
}

/// A directed relation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relationship {
    /// From.
    pub spdx_element_id: String,
    /// For instance `CONTAINS`.
    pub relationship_type: &'static str,
    /// To.
    pub related_spdx_element: String,
}

impl FileEntry {
    /// An entry with the digests of `content`.
    #[must_use]
    pub fn new(number: usize, name: String, content: &[u8]) -> FileEntry {
        let sum = |algorithm, checksum_value| Checksum {
            algorithm,
            checksum_value,
        };
        FileEntry {
            id: format!("SPDXRef-File-{number}"),
            file_name: name,
            checksums: vec![
                sum("SHA1", sha1_smol::Sha1::from(content).digest().to_string()),
                sum("SHA256", crate::digest::hex(&crate::digest::sha256(content))),
            ],
            license_concluded: UNKNOWN,
            copyright_text: UNKNOWN,
        }
    }
}

impl VerificationCode {
    /// The code of these files.
    #[must_use]
    pub fn of(files: &[&FileEntry]) -> VerificationCode {
        let sums = files.iter().flat_map(|file| &file.checksums);
        let mut sums: Vec<&str> = sums
            .filter(|sum| sum.algorithm == "SHA1")
            .map(|sum| sum.checksum_value.as_str())
            .collect();
        sums.sort_unstable();
        VerificationCode {
            package_verification_code_value: sha1_smol::Sha1::from(sums.concat()).digest().to_string(),
        }
    }
}

/// An identifier made of `kind` and `name`: letters, digits, `.` and `-`.
#[must_use]
pub fn identifier(kind: &str, name: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || letter == '.' {
            letter
        } else {
            '-'
        }
    };
    format!("SPDXRef-{kind}-{}", name.chars().map(plain).collect::<String>())
}

/// Licence expressions of old crates write `/` for `OR`.
#[must_use]
pub fn expression(license: Option<&str>) -> String {
    license.map_or_else(|| UNKNOWN.to_owned(), |text| text.replace('/', " OR "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_hold_only_what_the_format_allows() {
        assert_eq!(identifier("Deb", "libstdc++6_1:2"), "SPDXRef-Deb-libstdc--6-1-2");
    }

    #[test]
    fn old_licence_expressions_are_made_new() {
        assert_eq!(expression(Some("MIT/Apache-2.0")), "MIT OR Apache-2.0");
        assert_eq!(expression(None), UNKNOWN);
    }
}
