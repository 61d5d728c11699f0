//! Syslog datagrams of `/dev/log`: `<priority>timestamp tag[pid]: message`.
//!
//! Source: RFC 3164 section 4, as syslog(3) of the C libraries writes it (no host name). Everything is optional.

use crate::entry::Fields;

/// Reads one datagram. Any bytes give an entry.
#[must_use]
pub fn parse(data: &[u8]) -> Fields {
    let text = String::from_utf8_lossy(data);
    let text = text.trim_end_matches(['\n', '\0']);
    let (priority, rest) = parse_priority(text).unwrap_or((13, text));
    let rest = skip_timestamp(rest);
    let (tag, pid, message) = parse_tag(rest);
    let mut fields = Fields::new();
    fields.push("MESSAGE", message);
    fields.push("PRIORITY", (priority & 7).to_string());
    fields.push("SYSLOG_FACILITY", (priority >> 3).to_string());
    if let Some(tag) = tag {
        fields.push("SYSLOG_IDENTIFIER", tag);
    }
    if let Some(pid) = pid {
        fields.push("SYSLOG_PID", pid);
    }
    fields
}

/// `<13>rest`.
#[must_use]
pub fn parse_priority(text: &str) -> Option<(u32, &str)> {
    let (number, rest) = text.strip_prefix('<')?.split_once('>')?;
    let number = number.parse().ok().filter(|number| *number < 192)?;
    Some((number, rest))
}

/// `Nov  4 07:00:00 ` in front of the message says nothing that the arrival does not.
fn skip_timestamp(text: &str) -> &str {
    const PATTERN: &[u8; 16] = b"Aaa _0 00:00:00 ";
    let fits = text.len() >= PATTERN.len()
        && text.bytes().zip(PATTERN).all(|(byte, form)| match form {
            b'A' => byte.is_ascii_uppercase(),
            b'a' => byte.is_ascii_lowercase(),
            b'_' => byte == b' ' || byte.is_ascii_digit(),
            b'0' => byte.is_ascii_digit(),
            fixed => byte == *fixed,
        });
    if fits {
        text.get(PATTERN.len()..).unwrap_or(text)
    } else {
        text
    }
}

/// `tag[pid]: message`.
fn parse_tag(text: &str) -> (Option<&str>, Option<&str>, &str) {
    let Some((tag, message)) = text.split_once(": ") else {
        return (None, None, text);
    };
    if tag.is_empty()
        || tag.len() > 128
        || tag.contains(|character: char| character.is_whitespace() || character == '<')
    {
        return (None, None, text);
    }
    let with_pid = tag.strip_suffix(']').and_then(|tag| tag.rsplit_once('['));
    match with_pid {
        Some((tag, pid)) if !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()) => {
            (Some(tag), Some(pid), message)
        }
        _ => (Some(tag), None, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_of_the_c_library_are_taken_apart() {
        let table = [
            (
                "<30>Nov  4 07:00:00 sshd[77]: hello",
                ("hello", "6", "3", Some("sshd"), Some("77")),
            ),
            ("<11>cron: a: b", ("a: b", "3", "1", Some("cron"), None)),
            ("just text", ("just text", "5", "1", None, None)),
            ("<999>x: y", ("<999>x: y", "5", "1", None, None)),
            ("<13>two words: no tag\n", ("two words: no tag", "5", "1", None, None)),
            ("", ("", "5", "1", None, None)),
        ];
        for (data, (message, priority, facility, tag, pid)) in table {
            let fields = parse(data.as_bytes());
            assert_eq!(fields.text("MESSAGE"), Some(message), "{data}");
            assert_eq!(fields.text("PRIORITY"), Some(priority), "{data}");
            assert_eq!(fields.text("SYSLOG_FACILITY"), Some(facility), "{data}");
            assert_eq!(fields.text("SYSLOG_IDENTIFIER"), tag, "{data}");
            assert_eq!(fields.text("SYSLOG_PID"), pid, "{data}");
        }
    }
}
