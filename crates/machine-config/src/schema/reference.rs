//! The reference page, written from the key table.

use std::fmt::Write as _;

use super::{Apply, KEYS, Key, Kind, Presence, Rule};

/// The Markdown of `docs/formats/machine-config.md`.
#[must_use]
pub fn reference_page() -> String {
    let mut page = String::from(INTRODUCTION);
    for key in KEYS {
        if is_section(key) {
            let _ = write!(page, "\n## `{}`\n\n{}\n", header(key), key.doc);
            if super::children(section_path(key)).any(|row| !is_section(row) && !is_frame(row)) {
                page.push_str("\n| key | value | without it | takes effect | |\n| --- | --- | --- | --- | --- |\n");
            }
            for row in super::children(section_path(key)).filter(|row| !is_section(row) && !is_frame(row)) {
                write_row(&mut page, row);
            }
        }
    }
    page.push_str(VALUES);
    page
}

fn write_row(page: &mut String, row: &Key) {
    let absent = match row.presence {
        Presence::Required => "**error**".to_owned(),
        Presence::Optional => "–".to_owned(),
        Presence::Default(value) => format!("`{value}`"),
    };
    let effect = match row.apply {
        Apply::Live => "at once",
        Apply::Restart => "container anew",
        Apply::Reboot => "next boot",
    };
    let secret = if row.secret { " *Secret.*" } else { "" };
    let name = if row.leaf() == "*" { "NAME" } else { row.leaf() };
    let _ = writeln!(
        page,
        "| `{name}` | {} | {absent} | {effect} | {}{secret} |",
        shape(row.kind),
        row.doc
    );
}

/// The row whose children a section lists: the table itself, or the named table below a map.
fn section_path(key: &Key) -> &'static str {
    let below = |suffix: &str| {
        KEYS.iter()
            .map(Key::parent)
            .find(|p| p.strip_prefix(key.path) == Some(suffix))
    };
    match key.kind {
        Kind::Tables => below("[]").unwrap_or(key.path),
        _ => key.path,
    }
}

/// A table that gets a section of its own.
fn is_section(key: &Key) -> bool {
    match key.kind {
        Kind::Table | Kind::Tables => true,
        Kind::Map(_) => key.path.ends_with("env"),
        _ => false,
    }
}

/// A map of tables: shown as the section of the tables in it.
fn is_frame(key: &Key) -> bool {
    matches!(key.kind, Kind::Map(_)) && !is_section(key)
}

fn header(key: &Key) -> String {
    let name = if key.path.starts_with("registry") {
        "\"HOST\""
    } else {
        "NAME"
    };
    let path = key.path.replace('*', name).replace("[]", "");
    if key.kind == Kind::Tables {
        format!("[[{path}]]")
    } else {
        format!("[{path}]")
    }
}

fn shape(kind: Kind) -> String {
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| format!("`\"{word}\"`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match kind {
        Kind::Table | Kind::Map(_) => "table".to_owned(),
        Kind::Tables => "list of tables".to_owned(),
        Kind::Text(rule) => rule_words(rule),
        Kind::Texts(rule) => format!("list: {}", rule_words(rule)),
        Kind::Word(list) => words(list),
        Kind::Words(list) => format!("list of {}", words(list)),
        Kind::Flag => "`true`, `false`".to_owned(),
        Kind::Integer(min, max) if min == max => format!("`{min}`"),
        Kind::Integer(min, max) => format!("whole number, {min} to {max}"),
        Kind::Processors => "number, 0.001 to 1024".to_owned(),
        Kind::TextOrSecret => "text or `{ secret = \"NAME\" }`".to_owned(),
        Kind::SecretText => "text".to_owned(),
    }
}

fn rule_words(rule: Rule) -> String {
    match rule {
        Rule::Free(_) => "text".to_owned(),
        Rule::Name | Rule::UserName | Rule::EnvName => "name".to_owned(),
        Rule::Hostname => "host name".to_owned(),
        Rule::Server => "host name or address".to_owned(),
        Rule::RegistryHost => "`HOST[:PORT]`".to_owned(),
        Rule::SshKey => "public key".to_owned(),
        Rule::Pem => "PEM".to_owned(),
        Rule::Image => "image reference".to_owned(),
        Rule::Port => "port".to_owned(),
        Rule::Capability => "capability".to_owned(),
        Rule::Path => "absolute path".to_owned(),
        Rule::UserSpec => "`USER[:GROUP]`".to_owned(),
        Rule::Size(min) => format!("size, {} or more", crate::value::Bytes(min)),
        Rule::Span(max) => {
            format!(
                "time, at most {}",
                crate::value::Span(std::time::Duration::from_secs(max))
            )
        }
        Rule::LinkName => "link's name".to_owned(),
        Rule::LinkPattern => "device name, `*` and `?`".to_owned(),
        Rule::Driver => "driver".to_owned(),
        Rule::Mac => "hardware address".to_owned(),
        Rule::InterfaceAddress => "`ADDRESS/BITS`".to_owned(),
        Rule::Address => "IP address".to_owned(),
        Rule::Destination => "`default` or `NETWORK/BITS`".to_owned(),
        Rule::Domain => "domain".to_owned(),
        Rule::ProbeUrl => "`http://ADDRESS[:PORT][/PATH]`".to_owned(),
        Rule::ProbeAddress => "`ADDRESS:PORT`".to_owned(),
        Rule::RepositoryUrl => "`https://HOST[:PORT][/PATH]`".to_owned(),
        Rule::ReleaseVersion => "version".to_owned(),
        Rule::FilePath => format!(
            "path below {}",
            crate::value::TREES.map(|tree| format!("`{tree}`")).join(", ")
        ),
        Rule::Mode => "mode".to_owned(),
        Rule::Timezone => "time zone".to_owned(),
        Rule::Feature => format!("features: {}", super::FEATURES.map(|f| format!("`{f}`")).join(", ")),
    }
}

const INTRODUCTION: &str = r#"# The machine's document

What an operator writes to say what a machine should be: one TOML file, the same for the first boot and every later one.
This page is written from the table that the validator itself uses (`crates/machine-config/src/schema/table.rs`); how to
hand a document to a machine stands in [provision](../tasks/provision.md).

```toml
schema = 1

[system]
hostname = "web-1"

[ssh]
keys = ["ssh-ed25519 AAAAC3Nza… me@laptop"]

[container.web]
image = "docker.io/library/nginx:1.27"
ports = ["8080:80"]
```

The rules, without exception:

- A document is applied whole or not at all. Every mistake is reported in one run (at most 50), with line, column and cure.
- A key that is not on this page is an error where it stands. Tables at the top whose name begins with `x-` are ignored and
  free for other tools.
- Nothing is converted: `"8080"` is text and `8080` is a number, and each is right in one place only.
- A secret is written once, in `[secrets.NAME]` or in place of a password. Its value leaves the document when it is
  accepted, is kept in a file of its own (0600), and appears in no report, log or generation.
- What refers to a secret or a volume refers to one that is declared in the same document.

`keelson config validate FILE` gives the machine's own answer on any computer.

## The top

| key | value | without it | |
| --- | --- | --- | --- |
| `schema` | `1` | **error** | Version of this format. |
| `requires` | list of features | – | Features the document cannot do without; a release that lacks one refuses the document. Known are `containers`, `files`, `network`, `power`, `registries`, `secrets`, `ssh`, `time`, `trust`, `updates`, `volumes`. |
"#;

const VALUES: &str = r#"
## Values

| value | how it is written |
| --- | --- |
| name | letters, digits, `_`, `.`, `-`, with a letter or digit first, at most 63; a user's name: `a-z`, digits, `_`, `-`, at most 32 |
| host name | labels of `a-z`, `0-9`, `-` joined by `.`, at most 63 bytes |
| size | digits and one of `K`, `M`, `G`, `T` (powers of 1024): `"128M"` |
| mode | three or four octal digits: `"0640"` |
| time zone | a name of the IANA database: `"Europe/Berlin"` |
| time | digits and `ms`, `s`, `m`, `h`, from large to small: `"1m30s"` |
| port | `"HOST:CONTAINER"`, `"ADDRESS:HOST:CONTAINER"`, an IPv6 address in brackets, `/udp` for UDP: `"127.0.0.1:53:53/udp"` |
| public key | a line of an OpenSSH `.pub` file without options: Ed25519, ECDSA, RSA of 2048 bits or more, and their `sk-` forms |
| capability | a name of capabilities(7) with or without `CAP_`, or `ALL` |
| link's name | letters, digits, `_`, `.`, `-`, with a letter or digit first, at most 63; a VLAN's and a bond's is the kernel's name too: at most 15 |
| hardware address | six bytes: `"52:54:00:12:34:56"` |
| image reference | `[REGISTRY/]NAME[:TAG][@sha256:DIGEST]`; without a registry `docker.io`, without a tag or digest `latest` |

## The configuration in force

`/run/keelson/config/machine.json` holds the accepted document in JSON, defaults filled in, with the same names and nesting.
`{ "secret": NAME, "version": HEX }` stands where a secret does: its value is the file `NAME` in `/run/keelson/secrets`, and
`version` is a digest keyed by the machine, so that a change of the value changes the configuration. Sizes are bytes,
processors billionths. Readers ignore fields they do not know.
"#;
