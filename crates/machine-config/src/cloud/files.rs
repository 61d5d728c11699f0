//! `write_files`.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::draft::FileDraft;
use super::topics::{Field, Fields};
use super::walk::Walk;
use crate::check::{Finding, MAX_DOCUMENT, owner_exists};
use crate::diagnostic::Code;
use crate::schema::Rule;
use crate::value::{Mode, ValueError};
use crate::yaml::{Entry, Map, Node, Style, Value};

/// What a file may have.
pub(super) const FIELDS: Fields = &[
    ("append", Field::Read),
    ("content", Field::Read),
    ("defer", Field::Noted("files are written when users exist already")),
    ("encoding", Field::Read),
    ("owner", Field::Read),
    ("path", Field::Read),
    ("permissions", Field::Read),
    (
        "source",
        Field::Refused("nothing is fetched for a file", "give its content"),
    ),
];

/// How the content of a file may be written.
#[derive(Clone, Copy, Default)]
struct Coding {
    base64: bool,
    gzip: bool,
}

const CODINGS: [(&str, Coding); 10] = [
    (
        "text/plain",
        Coding {
            base64: false,
            gzip: false,
        },
    ),
    (
        "b64",
        Coding {
            base64: true,
            gzip: false,
        },
    ),
    (
        "base64",
        Coding {
            base64: true,
            gzip: false,
        },
    ),
    (
        "gz",
        Coding {
            base64: false,
            gzip: true,
        },
    ),
    (
        "gzip",
        Coding {
            base64: false,
            gzip: true,
        },
    ),
    (
        "gz+b64",
        Coding {
            base64: true,
            gzip: true,
        },
    ),
    (
        "gz+base64",
        Coding {
            base64: true,
            gzip: true,
        },
    ),
    (
        "gzip+b64",
        Coding {
            base64: true,
            gzip: true,
        },
    ),
    (
        "gzip+base64",
        Coding {
            base64: true,
            gzip: true,
        },
    ),
    (
        "text",
        Coding {
            base64: false,
            gzip: false,
        },
    ),
];

pub(super) fn write_files(walk: &mut Walk, entry: &Entry<'_>) {
    for (index, node) in walk.items(&entry.value, "write_files").iter().enumerate() {
        let path = format!("write_files[{index}]");
        if let Some(map) = walk.map(node, &path) {
            file(walk, map, node, &path);
        }
    }
}

fn file(walk: &mut Walk, map: &Map<'_>, node: &Node<'_>, at: &str) {
    let fields = walk.fields(map, FIELDS, at);
    // A file may hold anything.
    if let Some(entry) = fields.get("content") {
        walk.hidden.push(entry.value.span.clone());
    }
    let content = content(
        walk,
        fields.get("content").copied(),
        fields.get("encoding").copied(),
        at,
    );
    let mode = fields.get("permissions").map_or(Some(Mode(0o644)), |entry| {
        mode(walk, &entry.value, &format!("{at}.permissions"))
    });
    let append = fields
        .get("append")
        .and_then(|entry| walk.flag(&entry.value, &format!("{at}.append")))
        .unwrap_or(false);
    let owner = match fields.get("owner") {
        Some(entry) => walk.checked(Rule::UserSpec, &entry.value, &format!("{at}.owner")),
        None => Some("root:root".into()),
    };
    let Some(path) = fields.get("path") else {
        if !walk.may_be_lost("path") {
            walk.error(
                Code::MissingKey,
                node.span.clone(),
                at,
                format!("`{at}` has no `path`"),
                "add `path: /…`",
            );
        }
        return;
    };
    let owner_at = fields.get("owner").map_or(0..0, |entry| entry.value.span.clone());
    let span = path.value.span.clone();
    let path = walk.checked(Rule::FilePath, &path.value, &format!("{at}.path"));
    let (Some(path), Some(content), Some(mode), Some(owner)) = (path, content, mode, owner) else {
        return;
    };
    let text = |json: serde_json::Value| json.as_str().unwrap_or_default().to_owned();
    let draft = FileDraft {
        path: text(path),
        at: span,
        content,
        mode,
        owner: text(owner),
        owner_at,
    };
    add(walk, draft, append, at);
}

/// A file that is said to be appended to grows; one that is written twice is a mistake.
fn add(walk: &mut Walk, mut file: FileDraft, append: bool, at: &str) {
    match walk.draft.files.iter_mut().find(|earlier| earlier.path == file.path) {
        Some(earlier) if append => earlier.content.append(&mut file.content),
        Some(earlier) => {
            let message = format!("the file {} is written twice", file.path);
            let finding = Finding::error(Code::Repeated, file.at, &format!("{at}.path"), message);
            let first = earlier.at.clone();
            walk.findings.push(
                finding
                    .cure("merge the two, or add `append: true`")
                    .related("first written here", first),
            );
        }
        None => walk.draft.files.push(file),
    }
}

/// Owners are checked when all users are known.
pub(super) fn owners(walk: &mut Walk) {
    // Whoever cannot be read may be the one that is meant.
    if walk.draft.nameless || walk.has_lost_lines() {
        return;
    }
    let users: Vec<&str> = walk.draft.users.iter().map(|user| user.name.as_str()).collect();
    let mut wrong = Vec::new();
    for file in &walk.draft.files {
        if let Err(error) = owner_exists(&file.owner, &users) {
            wrong.push((file.owner_at.clone(), error));
        }
    }
    for (at, error) in wrong {
        walk.error(Code::BadValue, at, "write_files", error.problem, &error.cure);
    }
}

fn mode(walk: &mut Walk, node: &Node<'_>, path: &str) -> Option<Mode> {
    let Some(scalar) = node.scalar() else {
        walk.wrong(node, path, "a mode");
        return None;
    };
    let text = scalar.text.strip_prefix("0o").unwrap_or(&scalar.text);
    // Without quotes and without a zero it is a decimal number to YAML, so that 644 would mean 1204.
    if scalar.style == Style::Plain && !scalar.text.starts_with('0') {
        let message = "without quotes and without a 0 in front, YAML reads this as a decimal number";
        let cure = format!("write {:?}", format!("{text:0>4}"));
        walk.error(Code::BadValue, node.span.clone(), path, message, &cure);
        return None;
    }
    match text.parse::<Mode>() {
        Ok(mode) => Some(mode),
        Err(ValueError { problem, cure, .. }) => {
            walk.error(Code::BadValue, node.span.clone(), path, problem, &cure);
            None
        }
    }
}

/// The bytes of a file; an absent content is an empty file.
fn content(walk: &mut Walk, content: Option<&Entry<'_>>, encoding: Option<&Entry<'_>>, at: &str) -> Option<Vec<u8>> {
    let coding = match encoding {
        None => Coding::default(),
        Some(entry) => coding(walk, &entry.value, &format!("{at}.encoding"))?,
    };
    let node = match content.map(|entry| &entry.value) {
        None => return Some(Vec::new()),
        Some(node) if node.value == Value::Null => return Some(Vec::new()),
        Some(node) => node,
    };
    let path = format!("{at}.content");
    let Some(scalar) = node.scalar() else {
        walk.wrong(node, &path, "a text");
        return None;
    };
    let mut bytes = scalar.text.as_bytes().to_vec();
    for encoded in [scalar.style == Style::Binary, coding.base64] {
        if encoded {
            bytes.retain(|byte| !byte.is_ascii_whitespace());
            let Ok(decoded) = STANDARD.decode(&bytes) else {
                let cure = "encode it with base64, or leave `encoding` out";
                walk.error(
                    Code::BadValue,
                    node.span.clone(),
                    &path,
                    "the content is not base64",
                    cure,
                );
                return None;
            };
            bytes = decoded;
        }
    }
    if coding.gzip {
        match gunzip(&bytes) {
            Ok(expanded) => bytes = expanded,
            Err(problem) => {
                walk.error(
                    Code::BadValue,
                    node.span.clone(),
                    &path,
                    problem,
                    "compress it with gzip, or leave `encoding` out",
                );
                return None;
            }
        }
    }
    Some(bytes)
}

fn coding(walk: &mut Walk, node: &Node<'_>, path: &str) -> Option<Coding> {
    let text = walk.text(node, path)?;
    let found = CODINGS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    if found.is_none() {
        let message = format!("{text:?} is no encoding");
        let cure = "possible are text/plain, b64, gzip and gz+b64";
        walk.error(Code::BadWord, node.span.clone(), path, message, cure);
    }
    found.map(|(_, coding)| *coding)
}

/// What `bytes` expand to, at most as much as a document may have.
pub(crate) fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::new();
    let limit = MAX_DOCUMENT as u64 + 1;
    flate2::read::MultiGzDecoder::new(bytes)
        .take(limit)
        .read_to_end(&mut out)
        .map_err(|_| "this is not gzip, or damaged")?;
    if out.len() > MAX_DOCUMENT {
        return Err("this expands to more than a document may have");
    }
    Ok(out)
}
