//! The reference page, written from the tables.

use std::fmt::Write as _;

use super::topics::{Field, MAPS, TOPICS, Treatment};

/// The Markdown of `docs/formats/cloud-config.md`.
#[must_use]
pub fn reference_page() -> String {
    let mut page = String::from(INTRODUCTION);
    let honoured = TOPICS.iter().filter_map(|topic| match topic.treatment {
        Treatment::Honoured(_, what) => Some((topic.key, what, "")),
        _ => None,
    });
    section(
        &mut page,
        "Honoured",
        "| key | what it does here |\n| --- | --- |\n",
        honoured,
    );
    let noted = TOPICS.iter().filter_map(|topic| match topic.treatment {
        Treatment::Noted(why) => Some((topic.key, why, "")),
        _ => None,
    });
    section(&mut page, "Without effect", "| key | why |\n| --- | --- |\n", noted);
    let refused = TOPICS.iter().filter_map(|topic| match topic.treatment {
        Treatment::Refused(why, cure) | Treatment::RefusedFor(_, why, cure) => Some((topic.key, why, cure)),
        _ => None,
    });
    section(
        &mut page,
        "Refused",
        "| key | why | instead |\n| --- | --- | --- |\n",
        refused,
    );
    for (path, fields) in MAPS {
        let _ = write!(page, "\n### `{path}`\n\n| key | verdict |\n| --- | --- |\n");
        for (name, field) in fields {
            let verdict = match field {
                Field::Read => "honoured".to_owned(),
                Field::Noted(why) => format!("without effect: {why}"),
                Field::Refused(why, cure) => format!("refused: {why}; {cure}"),
            };
            let _ = writeln!(page, "| `{name}` | {verdict} |");
        }
    }
    page.push_str(VALUES);
    page
}

fn section<'t>(page: &mut String, title: &str, head: &str, rows: impl Iterator<Item = (&'t str, &'t str, &'t str)>) {
    let _ = write!(page, "\n## {title}\n\n{head}");
    for (key, what, more) in rows {
        let more = if more.is_empty() {
            String::new()
        } else {
            format!(" {more} |")
        };
        let _ = writeln!(page, "| `{key}` | {what} |{more}");
    }
}

const INTRODUCTION: &str = r#"# cloud-config

A document in cloud-init's format, for people who have one. It begins with the line `#cloud-config` and means what the same
keys mean elsewhere, as far as an immutable system without shell and package manager can do it. This page is written from
the tables that the reader itself uses (`crates/machine-config/src/cloud/topics.rs`). The native format, which can say more, is
[machine-config](machine-config.md); how to hand a document to a machine stands in [provision](../tasks/provision.md).

The rules:

- Every key gets exactly one verdict: honoured, without effect (a note in the report), or refused. No key is passed over.
- A document is applied whole or not at all. Every mistake is reported in one run, with line, column and cure.
- A key that is in no table here is an error. Keys at the top that begin with `x-` are free for other tools.
- `keelson config validate FILE` gives the machine's own answer on any computer; `keelson config plan FILE` shows what the
  machine would do.

What is accepted around it: a byte order mark, empty lines before the first one, Windows line ends, compression by gzip or zstd,
and a MIME archive with one part of the type `text/cloud-config`. Refused with a cure: `---` before the first line, templates
(`## template: jinja`), `#cloud-config-archive`, `#include`, scripts, boot hooks, and MIME parts of other types.
"#;

const VALUES: &str = r#"
## YAML

YAML 1.2 with what cloud-init's reader (YAML 1.1) makes people rely on:

| written | where | read as |
| --- | --- | --- |
| `yes`, `no`, `on`, `off`, `True`, `"true"` | a yes-or-no | true or false; `y` and `n` are texts |
| `yes`, `no`, … without quotes | a text | refused: write quotes |
| `123`, `1.10`, `0755` without quotes | a text | the characters as they stand |
| `0644`, `"0644"`, `"644"`, `0o644` | `permissions` | octal |
| `644` without quotes | `permissions` | refused: YAML makes it a decimal number |
| `010` | a whole number | octal, as in YAML 1.1 |
| `<<: *name` | a map | merged below the map's own keys |
| `!!binary` | `content` | base64; other tags but `!!str` and the like are refused |

A key defined twice is an error. Lists and maps may stand 64 deep in one another, and a document may have 65,536 values, those that
aliases repeat included.

## Files

Files lie in memory and are written at each boot. They may stand below `/etc`, `/opt` and `/srv`, except where the system itself writes
(`/etc/passwd`, `/etc/hosts`, `/etc/ssh`, …). The content of a file that not everyone may read (`permissions: "0640"`) is a secret: it is
kept apart from the configuration and is in no report. `append: true` adds to an earlier entry of the same path.

## Layers

Metadata of the source (host name, keys) count where the document says nothing. Vendor-data have the same format and count below the
document, above metadata; they may never add files, containers or authorities, and what they may not add refuses them, not
the document.
"#;
