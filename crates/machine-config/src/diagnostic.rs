//! What is wrong with a document, and where: for people and for programs.
//!
//! A diagnostic carries the excerpt it shows, with secret values already masked; no later step sees the source.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// The most errors that one report lists.
pub const MAX_ERRORS: usize = 50;

/// What kind of mistake. The text form is stable: programs may compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Not UTF-8, or too long to be a document.
    NotText,
    /// Another format than the native one.
    ForeignFormat,
    /// Not TOML.
    Syntax,
    /// A key or table defined twice.
    DuplicateKey,
    /// A version of the format that this release does not know.
    UnsupportedSchema,
    /// A feature that this release lacks.
    UnsupportedFeature,
    /// A key that does not exist there.
    UnknownKey,
    /// A key that must be there and is not.
    MissingKey,
    /// A value of another type.
    WrongType,
    /// Not one of the words that are possible.
    BadWord,
    /// A number, size or time beyond its bounds.
    OutOfRange,
    /// A name that cannot be one.
    BadName,
    /// Text without the form that is needed.
    BadValue,
    /// Not an image reference.
    BadImage,
    /// Not a public SSH key.
    BadSshKey,
    /// Not a certificate.
    BadCertificate,
    /// Not a published port.
    BadPort,
    /// The same thing twice.
    Repeated,
    /// A secret that is not declared.
    UnknownSecret,
    /// A volume that is not declared.
    UnknownVolume,
    /// A container that is not declared.
    UnknownContainer,
    /// A link that is not described.
    UnknownLink,
    /// Two claims on one port of the machine.
    PortConflict,
    /// Two mounts at one place.
    MountConflict,
    /// Keys that exclude each other, or one that needs another.
    Contradiction,
    /// A value that gives away what must be kept.
    Insecure,
    /// A key of another tool's format that has no effect here.
    NoEffect,
    /// A key of another tool's format that asks for what cannot be done here.
    Unsupported,
    /// Declared and never used.
    Unused,
    /// The checks and the types disagree: a fault of ours.
    Internal,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Whether a diagnostic refuses the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

/// A place in the document and the text around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line's text; secret values are `***`.
    pub excerpt: String,
    /// Bytes of `excerpt` that the place covers.
    pub mark: Range<usize>,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Kind.
    pub code: Code,
    /// Whether it refuses the document.
    pub severity: Severity,
    /// One sentence, lower case, without a full stop.
    pub message: String,
    /// Path of the key, empty when there is none.
    pub key: String,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
    /// Other places that play a part, each with what it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<(String, Place)>,
}

/// All that was found in one document, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Name of the document, for people.
    pub file: String,
    /// What was found, at most [`MAX_ERRORS`] errors.
    pub diagnostics: Vec<Diagnostic>,
    /// Errors beyond those listed.
    pub more: usize,
}

impl Report {
    /// Number of errors, those not listed included.
    #[must_use]
    pub fn errors(&self) -> usize {
        let listed = self.diagnostics.iter().filter(|d| d.severity == Severity::Error);
        listed.count() + self.more
    }

    /// One line per diagnostic and one for its cure, for a console without colours.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.diagnostics.iter().map(|d| d.line(&self.file))
    }
}

impl Diagnostic {
    /// `FILE:LINE:COLUMN: SEVERITY[CODE]: MESSAGE; CURE`
    #[must_use]
    pub fn line(&self, file: &str) -> String {
        let Place { line, column, .. } = &self.place;
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let cure = self.cure.as_ref().map(|cure| format!("; {cure}")).unwrap_or_default();
        format!(
            "{file}:{line}:{column}: {severity}[{}]: {}{cure}",
            self.code, self.message
        )
    }
}
