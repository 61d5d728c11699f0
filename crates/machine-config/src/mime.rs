//! A MIME archive (RFC 2046) with one cloud-config in it, as cloud providers' consoles and tools make them.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::check::Finding;
use crate::diagnostic::Code;

/// The one document of an archive.
#[derive(Debug)]
pub(crate) enum Document {
    /// The archive's own text with blanks for all that is not the document: places stay what they are.
    InPlace(String),
    /// What the part holds, decoded.
    Decoded(String),
}

/// One part, or the archive itself.
struct Part {
    /// Bytes of the line that says its type, or of its first line.
    at: Range<usize>,
    /// `text/cloud-config`, lower case.
    kind: String,
    boundary: Option<String>,
    encoding: String,
    body: Range<usize>,
}

/// The most parts that are looked at.
const MAX_PARTS: usize = 64;

/// The cloud-config in `text`, or why there is not exactly one and nothing else.
pub(crate) fn document(text: &str) -> Result<Document, Vec<Finding>> {
    let start = text.len() - text.trim_start().len();
    let archive = part(text, start..text.len());
    let parts = match &archive.boundary {
        Some(boundary) if archive.kind.starts_with("multipart/") => parts(text, archive.body.clone(), boundary),
        _ if archive.kind.starts_with("multipart/") => {
            let error = error(
                archive.at,
                "this archive does not say what parts it",
                "write `Content-Type: multipart/mixed; boundary=\"…\"`",
            );
            return Err(vec![error]);
        }
        _ => vec![archive],
    };
    let (documents, foreign): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(|part| is_document(text, part));
    let mut errors: Vec<Finding> = foreign.into_iter().map(refusal).collect();
    errors.extend(documents.iter().skip(1).map(|part| {
        let message = "a second cloud-config: several documents are not merged";
        error(part.at.clone(), message, "put everything into one document")
    }));
    match (documents.first(), errors.is_empty()) {
        (Some(part), true) => decoded(text, part).map_err(|error| vec![*error]),
        (None, true) => Err(vec![error(
            start..start,
            "this archive has no part",
            "give it one part of the type text/cloud-config",
        )]),
        (_, false) => Err(errors),
    }
}

fn error(at: Range<usize>, message: impl Into<String>, cure: &str) -> Finding {
    Finding::error(Code::ForeignFormat, at, "", message).cure(cure)
}

fn refusal(part: &Part) -> Finding {
    let container = "declare what it would start as a `[container.NAME]` in a native document";
    let (message, cure) = match part.kind.as_str() {
        "text/x-shellscript"
        | "text/x-shellscript-per-boot"
        | "text/x-shellscript-per-instance"
        | "text/x-shellscript-per-once"
        | "text/cloud-boothook" => (
            "this part is a script, and the system has nothing that could run it".to_owned(),
            container,
        ),
        "text/x-include-url" | "text/x-include-once-url" => (
            "this part names other documents, which are not fetched".to_owned(),
            "put their content here",
        ),
        kind => (
            format!("a part of the type {kind:?} is not read"),
            "give one part of the type text/cloud-config",
        ),
    };
    error(part.at.clone(), message, cure)
}

/// By its type, or by its first line where the type says nothing.
fn is_document(text: &str, part: &Part) -> bool {
    let body = text.get(part.body.clone()).unwrap_or_default();
    let vague = matches!(part.kind.as_str(), "text/plain" | "application/octet-stream");
    part.kind == "text/cloud-config" || (vague && body.trim_start().starts_with("#cloud-config"))
}

fn decoded(text: &str, part: &Part) -> Result<Document, Box<Finding>> {
    let body = text.get(part.body.clone()).unwrap_or_default();
    match part.encoding.as_str() {
        "" | "7bit" | "8bit" | "binary" => {
            let blank = |text: &str| -> String { text.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect() };
            let before = blank(text.get(..part.body.start).unwrap_or_default());
            Ok(Document::InPlace(before + body))
        }
        "base64" => {
            let packed: String = body.split_ascii_whitespace().collect();
            let bytes = STANDARD.decode(packed).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.map(Document::Decoded).ok_or_else(|| {
                Box::new(error(
                    part.at.clone(),
                    "this part is not base64 of a text",
                    "leave the transfer encoding out",
                ))
            })
        }
        other => {
            let message = format!("the transfer encoding {other:?} is not read");
            Err(Box::new(error(part.at.clone(), message, "use base64, or none")))
        }
    }
}

fn parts(text: &str, body: Range<usize>, boundary: &str) -> Vec<Part> {
    let mut out = Vec::new();
    let mut open: Option<usize> = None;
    let mut at = body.start;
    for line in text.get(body.clone()).unwrap_or_default().split_inclusive('\n') {
        let rest = line
            .trim_end()
            .strip_prefix("--")
            .and_then(|line| line.strip_prefix(boundary));
        if let Some("" | "--") = rest {
            if let Some(start) = open.take() {
                out.push(part(text, start..at));
            }
            if rest == Some("--") || out.len() >= MAX_PARTS {
                return out;
            }
            open = Some(at + line.len());
        }
        at += line.len();
    }
    out.extend(open.map(|start| part(text, start..body.end)));
    out
}

/// Headers up to the first empty line, then the body.
fn part(text: &str, range: Range<usize>) -> Part {
    let mut out = Part {
        at: range.start..range.start,
        kind: "text/plain".to_owned(),
        boundary: None,
        encoding: String::new(),
        body: range.end..range.end,
    };
    let mut at = range.start;
    let mut header = String::new();
    let mut header_at = at..at;
    for line in text.get(range.clone()).unwrap_or_default().split_inclusive('\n') {
        let folded = line.starts_with([' ', '\t']) && !line.trim().is_empty();
        if !folded {
            take(&mut out, &header, &header_at);
            header.clear();
            header_at = at..at + line.trim_end().len();
        }
        at += line.len();
        if line.trim().is_empty() {
            out.body = at..range.end;
            break;
        }
        header.push_str(line.trim_end());
    }
    out
}

fn take(part: &mut Part, header: &str, at: &Range<usize>) {
    let Some((name, value)) = header.split_once(':') else {
        return;
    };
    let value = value.trim();
    if name.eq_ignore_ascii_case("content-type") {
        part.at = at.clone();
        part.kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        part.boundary = value.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.trim().split_once('=')?;
            name.eq_ignore_ascii_case("boundary")
                .then(|| value.trim_matches('"').to_owned())
        });
    } else if name.eq_ignore_ascii_case("content-transfer-encoding") {
        part.encoding = value.to_ascii_lowercase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(parts: &[(&str, &str)]) -> String {
        let head = "Content-Type: multipart/mixed;\n boundary=\"XX\"\nMIME-Version: 1.0\n\n";
        let parts = parts.iter().map(|(head, body)| format!("--XX\n{head}\n\n{body}\n"));
        format!("{head}{}--XX--\n", parts.collect::<String>())
    }

    #[test]
    fn finds_the_one_document() {
        let plain = archive(&[(
            "Content-Type: text/cloud-config; charset=\"us-ascii\"",
            "#cloud-config\nhostname: a",
        )]);
        match document(&plain) {
            Ok(Document::InPlace(text)) => assert_eq!(text.find("#cloud-config"), plain.find("#cloud-config")),
            other => panic!("{other:?}"),
        }
        let coded = "Content-Type: text/cloud-config\nContent-Transfer-Encoding: base64";
        match document(&archive(&[(coded, "I2Nsb3VkLWNvbmZp\nZwo=")])) {
            Ok(Document::Decoded(text)) => assert_eq!(text, "#cloud-config\n"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refuses_what_else_there_is_with_its_place() {
        let config = ("Content-Type: text/cloud-config", "#cloud-config\n");
        for (parts, expected) in [
            (vec![config, ("Content-Type: text/x-shellscript", "#!/bin/sh\n")], 1),
            (vec![config, config], 1),
            (vec![], 1),
            (
                vec![
                    ("Content-Type: image/png", "x"),
                    ("Content-Type: text/x-include-url", "x"),
                ],
                2,
            ),
            (
                vec![(
                    "Content-Type: text/cloud-config\nContent-Transfer-Encoding: base64",
                    "??",
                )],
                1,
            ),
        ] {
            assert_eq!(document(&archive(&parts)).unwrap_err().len(), expected, "{parts:?}");
        }
    }
}
