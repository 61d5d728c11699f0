//! Where secret values lie in a text that need not be valid.
//!
//! Works on characters, not on the parsed document, so that a mistake next to a password cannot uncover it. It hides too
//! much rather than too little.

use std::ops::Range;
use std::sync::LazyLock;

use crate::schema::{KEYS, Key};

/// Byte ranges of whatever stands as the value of something that sounds like a secret.
pub(crate) fn secret_ranges(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(word) = next_word(text, at) {
        at = word.end;
        let Some(start) = value_start(text, word.end) else {
            continue;
        };
        if !sounds_secret(text.get(word).unwrap_or_default()) {
            continue;
        }
        let end = value_end(text, start);
        if end > start {
            found.push(start..end);
            at = end;
        }
    }
    found
}

/// Byte ranges of what stands behind the keys of a YAML text that sound like secrets, comments included: the rest of the
/// line and the lines below it that are indented deeper.
pub(crate) fn secret_lines(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut below: Option<usize> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let body = line.trim_end();
        let indent = body.len() - body.trim_start_matches([' ', '-']).len();
        let range = at..at + body.len();
        at += line.len();
        if body.is_empty() {
            continue;
        }
        if below.is_some_and(|column| indent > column) {
            found.push(range.start + indent..range.end);
            continue;
        }
        below = None;
        let words = body.trim_start_matches([' ', '-', '#', '\t']);
        let offset = body.len() - words.len();
        for (colon, _) in words.match_indices(':') {
            let name = words.get(..colon).unwrap_or_default();
            let name = name
                .rsplit([' ', '{', ',', '"', '\''])
                .find(|word| !word.is_empty())
                .unwrap_or_default();
            if sounds_secret(name) && name != "lock_passwd" && name != "lock-passwd" {
                found.push(range.start + offset + colon + 1..range.end);
                below = Some(indent);
                break;
            }
        }
    }
    found
}

/// Whether a key of this name holds, or was meant to hold, a secret.
pub(crate) fn sounds_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    if matches!(lower.as_str(), "secret" | "secrets") {
        return false;
    }
    let telling = ["passw", "passphrase", "secret", "token", "credential", "private"];
    if telling.iter().any(|part| lower.contains(part)) {
        return true;
    }
    SECRET_NAMES.iter().any(|key| {
        let allowed = if key.len() < 6 { 1 } else { 2 };
        key.len().abs_diff(lower.chars().count()) <= allowed && strsim::levenshtein(key, &lower) <= allowed
    })
}

/// Last components of the keys that hold secrets.
static SECRET_NAMES: LazyLock<Vec<&str>> =
    LazyLock::new(|| KEYS.iter().filter(|key| key.secret).map(Key::leaf).collect());

/// Byte ranges of names and passwords in addresses: what stands before an `@` in the host part, as in
/// `https://USER:PASSWORD@HOST`.
pub(crate) fn credential_ranges(text: &str) -> Vec<Range<usize>> {
    let parts = |c: char| c.is_whitespace() || "\"'\\`,".contains(c);
    let mut found = Vec::new();
    let mut start = 0;
    for piece in text.split_inclusive(parts) {
        let before = text.get(..start).and_then(|before| before.chars().next_back());
        let opens = before.is_none_or(|c| !c.is_whitespace() && c != ',');
        if let Some(range) = credentials(piece, opens) {
            found.push(start + range.start..start + range.end);
        }
        start += piece.len();
    }
    found
}

/// `text` without names and passwords in addresses.
pub(crate) fn without_credentials(text: &str) -> String {
    let mut shown = crate::text::Text::new(text);
    shown.mask(credential_ranges(text));
    shown.redacted()
}

/// `opens` says that the piece begins a value. A digest is no host, and a host's path may hold an `@`.
fn credentials(piece: &str, opens: bool) -> Option<Range<usize>> {
    let end = piece.rfind('@')?;
    let scheme = piece.get(..end)?.find("//").map(|at| at + 2);
    let start = scheme.unwrap_or(0);
    let body = piece.get(start..end)?;
    let host = body.split('/').next().unwrap_or_default();
    let whole = host.len() == body.len();
    let digest = piece.get(end + 1..)?.starts_with("sha256:") && !(whole && scheme.is_some());
    let telling = host.contains(':') || (whole && (scheme.is_some() || opens));
    (telling && !digest && start < end).then_some(start..end)
}

/// Whatever does not part words in TOML: a damaged key is still one word.
fn is_word(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !b"=:.,#\"'[]{}".contains(&byte)
}

fn next_word(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes().get(from..)?;
    let start = bytes.iter().position(|b| is_word(*b))?;
    let length = bytes.get(start..)?.iter().position(|b| !is_word(*b));
    let end = length.map_or(bytes.len(), |length| start + length);
    Some(from + start..from + end)
}

/// Where the value begins if the word that ended at `from` is a key; a missing `=` counts too.
fn value_start(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let after = rest.strip_prefix(['"', '\'']).unwrap_or(rest);
    let after = after.trim_start_matches([' ', '\t']);
    let joined = after.strip_prefix(['=', ':']);
    let value = joined.unwrap_or(after).trim_start_matches([' ', '\t', '=']);
    // A line break before the value is a mistake that must not uncover it.
    let below = value.trim_start();
    let value = if joined.is_some() && below.starts_with(['"', '\'']) {
        below
    } else {
        value
    };
    let plausible = joined.is_some() || value.starts_with(['"', '\'', '{']);
    plausible.then(|| text.len() - value.len())
}

fn value_end(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    if is_reference(rest) {
        return start;
    }
    let length = match rest.get(..2) {
        Some(quotes @ ("\"\"" | "''")) => fenced_length(rest, quotes),
        _ if rest.starts_with(['[', '{']) => bracketed_length(rest),
        _ if rest.starts_with(['"', '\'']) => quoted_length(rest),
        _ => to_statement(rest, line_length(rest)),
    };
    start + length
}

/// After two quotes: an empty string, or a text between three, one of which may have been lost.
fn fenced_length(rest: &str, quotes: &str) -> usize {
    let body = rest.get(2..).unwrap_or_default();
    // No further than needed: the line may be the whole document.
    let tail = body.trim_start_matches([' ', '\t', '\r']);
    if tail.starts_with('\n') || ends_value(tail.get(..1).unwrap_or(tail)) {
        return 2;
    }
    let fence = quotes
        .chars()
        .next()
        .map(|quote| String::from(quote).repeat(3))
        .unwrap_or_default();
    let body = body.strip_prefix(fence.get(..1).unwrap_or_default()).unwrap_or(body);
    body.find(&fence)
        .map_or(rest.len(), |at| rest.len() - body.len() + at + 3)
}

/// Whether what follows a value on its line is what may follow one.
fn ends_value(tail: &str) -> bool {
    let tail = tail.trim_start();
    tail.is_empty() || tail.starts_with([',', '}', ']', '#'])
}

/// `{ secret = "NAME" }` names a secret and shows none.
fn is_reference(value: &str) -> bool {
    let inside = value.strip_prefix('{').map(str::trim_start);
    let Some(rest) = inside.and_then(|inside| inside.strip_prefix("secret")) else {
        return false;
    };
    rest.trim_start().strip_prefix('=').is_some_and(|rest| {
        let name = rest
            .trim_start()
            .strip_prefix('"')
            .and_then(|rest| rest.split_once('"'));
        name.is_some_and(|(name, tail)| !name.contains('\n') && tail.trim_start().starts_with('}'))
    })
}

fn line_length(rest: &str) -> usize {
    rest.find('\n').unwrap_or(rest.len())
}

/// To the closing quote; without one, or when the rest of the line does not look like what follows a value, to the next
/// line that looks like a statement.
fn quoted_length(rest: &str) -> usize {
    let line = rest.get(..line_length(rest)).unwrap_or_default();
    let bytes = line.as_bytes();
    let quote = bytes.first().copied();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == Some(b'"') => at += 1,
            _ if Some(*byte) == quote && ends_value(line.get(at + 1..).unwrap_or_default()) => return at + 1,
            _ => {}
        }
        at += 1;
    }
    to_statement(rest, line.len())
}

/// From the end of a line on, to before the next line that looks like a statement.
fn to_statement(rest: &str, mut end: usize) -> usize {
    for line in rest.get(end..).unwrap_or_default().split('\n').skip(1) {
        if looks_like_statement(line) {
            break;
        }
        end += 1 + line.len();
    }
    end
}

fn looks_like_statement(line: &str) -> bool {
    let line = line.trim();
    let key = line
        .trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_-.".contains(c))
        .trim_start();
    line.is_empty() || line.starts_with(['[', '#']) || (key.len() < line.len() && key.starts_with('='))
}

/// To the bracket that closes the first, else to the end of the text.
fn bracketed_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_values_of_secrets_however_they_are_written() {
        for text in [
            "password = \"HUNTER\"",
            "password= 'HUNTER' # note",
            "pasword = \"HUNTER\"",
            "PASSWORD: HUNTER",
            "password \"HUNTER\"",
            "\"password\" = HUNTER",
            "password = \"HUNTER",
            "password = \"x\"HUNTER\"",
            "password = \"a\\\"HUNTER\"",
            "value = \"\"\"\nHUNTER\n\"\"\"",
            "value = '''\nHUNTER",
            "value = ''x\nHUNTER'''",
            "value = \"\"x\nHUNTER\"\"\"",
            "value =\n\"HUNTER\"",
            "pas\0word = \"HUNTER\"",
            "value = \0''x\nHUNTER'''",
            "value = \"x\nHUNTER\"",
            "value = [\n  \"HUNTER\"\n]",
            "value = { text = \"HUNTER\" }",
            "r = { username = \"u\", password = \"HUNTER\" }",
            "env.DB_TOKEN = \"HUNTER\"",
            "# password = HUNTER",
        ] {
            let mut shown = crate::text::Text::new(text);
            shown.mask(secret_ranges(text));
            assert!(
                !shown.redacted().contains("HUNTER"),
                "{text:?} gave {:?}",
                shown.redacted()
            );
        }
    }

    #[test]
    fn leaves_the_rest_alone() {
        for text in [
            "password = { secret = \"db\" }",
            "[secrets.db]",
            "volume = 1",
            "image = \"nginx\" # token",
            "type = \"value\"",
        ] {
            assert_eq!(secret_ranges(text), vec![], "{text}");
        }
    }
}
