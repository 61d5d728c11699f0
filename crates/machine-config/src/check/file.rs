//! Rules for files: each path once, content that can be decoded, an owner that exists.

use std::collections::BTreeMap;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::sink::{Finding, Findings};
use super::view::{Found, View};
use crate::diagnostic::Code;
use crate::value::{FilePath, ValueError};

pub(crate) fn check(root: View<'_, '_>, out: &mut Findings) {
    // A user whose name is missing or misspelt may be the one that is meant.
    let names = root.list("user").into_iter().map(|user| Some(user.text("name")?.text));
    let users: Option<Vec<&str>> = names.collect();
    let mut seen: BTreeMap<String, Range<usize>> = BTreeMap::new();
    for (index, file) in root.list("file").into_iter().enumerate() {
        let key = |leaf: &str| format!("file[{index}].{leaf}");
        if let Some(path) = file.text("path") {
            once(&path, &key("path"), &mut seen, out);
        }
        if let Some(owner) = file.text("owner")
            && let Some(users) = &users
            && let Err(error) = owner_exists(owner.text, users)
        {
            out.push(Finding::error(Code::BadValue, owner.span, &key("owner"), error.problem).cure(error.cure));
        }
        let coded = file.text("encoding").is_some_and(|encoding| encoding.text == "base64");
        if let Some(content) = file
            .text("content")
            .filter(|content| coded && STANDARD.decode(content.text).is_err())
        {
            let message = "the content is not base64";
            let finding = Finding::error(Code::BadValue, content.span, &key("content"), message);
            out.push(finding.cure("encode it on one line, or leave `encoding` out"));
        }
    }
}

fn once(path: &Found<'_>, key: &str, seen: &mut BTreeMap<String, Range<usize>>, out: &mut Findings) {
    let Ok(parsed) = path.text.parse::<FilePath>() else {
        return;
    };
    match seen.get(parsed.as_str()) {
        Some(earlier) => {
            let message = format!("the file {parsed} is declared twice");
            let finding = Finding::error(Code::Repeated, path.span.clone(), key, message);
            out.push(
                finding
                    .cure("merge the two")
                    .related("first declared here", earlier.clone()),
            );
        }
        None => drop(seen.insert(parsed.as_str().to_owned(), path.span.clone())),
    }
}

/// Whether user and group are numbers, or names of the image or of `users`.
pub(crate) fn owner_exists(owner: &str, users: &[&str]) -> Result<(), ValueError> {
    use keelson_image_layout::users::{GROUPS, USERS};
    for (index, part) in owner.split(':').enumerate() {
        let known = part.parse::<u32>().is_ok()
            || USERS.iter().any(|user| user.name == part)
            || users.contains(&part)
            || (index == 1 && GROUPS.iter().any(|(name, ..)| *name == part));
        if !known {
            let cure = "name a user that is declared, root, or a number";
            return Err(ValueError::new(
                format!("the machine has no user or group {part:?}"),
                cure,
            ));
        }
    }
    Ok(())
}
