//! Standard output of services: a stream with a header of seven lines, then text.
//!
//! Source: systemd's stdout stream protocol (`sd_journal_stream_fd(3)`): identifier, unit, priority, level prefix,
//! and three forwarding flags of which none has a meaning here.

use crate::entry::Fields;
use crate::syslog;

/// Longest line; what is longer is split and marked.
pub const LINE_BYTES: usize = 48 << 10;
const HEADER_LINES: usize = 7;

/// One connection's state.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    buffer: Vec<u8>,
    header: Vec<String>,
}

/// What the header said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header<'a> {
    identifier: &'a str,
    priority: &'a str,
    level_prefix: bool,
}

impl Stream {
    /// A fresh connection.
    #[must_use]
    pub fn new() -> Stream {
        Stream::default()
    }

    /// Takes bytes and gives the entries they complete.
    pub fn push(&mut self, data: &[u8]) -> Vec<Fields> {
        self.buffer.extend(data);
        let mut entries = Vec::new();
        while let Some((line, end)) = self.next_line() {
            entries.extend(self.line(line, end));
        }
        entries
    }

    /// The connection ended: gives what stood without a newline.
    pub fn finish(&mut self) -> Option<Fields> {
        let rest = std::mem::take(&mut self.buffer);
        if rest.is_empty() { None } else { self.line(rest, "eof") }
    }

    /// The unit the header named; only a hint, the trusted one comes from the kernel.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        self.header.get(1).map(String::as_str).filter(|unit| !unit.is_empty())
    }

    fn next_line(&mut self) -> Option<(Vec<u8>, &'static str)> {
        let newline = self
            .buffer
            .iter()
            .take(LINE_BYTES + 1)
            .position(|byte| matches!(byte, b'\n' | 0));
        match newline {
            Some(at) => {
                let end = if self.buffer.get(at) == Some(&0) { "nul" } else { "" };
                let mut line: Vec<u8> = self.buffer.drain(..=at).collect();
                line.pop();
                Some((line, end))
            }
            None if self.buffer.len() > LINE_BYTES => Some((self.buffer.drain(..LINE_BYTES).collect(), "line-max")),
            None => None,
        }
    }

    fn line(&mut self, line: Vec<u8>, end: &'static str) -> Option<Fields> {
        if self.header.len() < HEADER_LINES {
            self.header.push(String::from_utf8_lossy(&line).into_owned());
            return None;
        }
        let header = self.read_header();
        let text = std::str::from_utf8(&line).ok();
        let prefixed = text.filter(|_| header.level_prefix).and_then(syslog::parse_priority);
        let (priority, message) = match prefixed {
            Some((level, rest)) if level < 8 => (level.to_string(), rest.as_bytes().to_vec()),
            _ => (header.priority.to_owned(), line.clone()),
        };
        if message.is_empty() {
            return None;
        }
        let mut fields = Fields::new();
        fields.push("MESSAGE", message);
        fields.push("PRIORITY", priority);
        if !header.identifier.is_empty() {
            fields.push("SYSLOG_IDENTIFIER", header.identifier);
        }
        fields.push("_TRANSPORT", "stdout");
        if !end.is_empty() {
            fields.push("_LINE_BREAK", end);
        }
        Some(fields)
    }

    fn read_header(&self) -> Header<'_> {
        let line = |index: usize| self.header.get(index).map_or("", String::as_str);
        let priority = if matches!(line(2).as_bytes(), [b'0'..=b'7']) {
            line(2)
        } else {
            "6"
        };
        Header {
            identifier: line(0),
            priority,
            level_prefix: line(3) == "1",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &[u8] = b"netd\nnetd\n6\n1\n0\n0\n0\n";

    fn messages(entries: &[Fields]) -> Vec<(&str, &str)> {
        entries
            .iter()
            .map(|fields| {
                (
                    fields.text("PRIORITY").unwrap_or(""),
                    fields.text("MESSAGE").unwrap_or(""),
                )
            })
            .collect()
    }

    #[test]
    fn lines_carry_the_level_of_prefix_or_header() {
        let mut stream = Stream::new();
        let entries = stream.push(&[HEADER, b"plain\n<3>bad\n\n<99>odd\n"].concat());
        assert_eq!(messages(&entries), [("6", "plain"), ("3", "bad"), ("6", "<99>odd")]);
        assert_eq!(stream.unit(), Some("netd"));
    }

    #[test]
    fn the_last_line_needs_no_newline() {
        let mut stream = Stream::new();
        assert!(stream.push(&[HEADER, b"end"].concat()).is_empty());
        let last = stream.finish().unwrap();
        assert_eq!(last.text("MESSAGE"), Some("end"));
        assert_eq!(last.text("_LINE_BREAK"), Some("eof"));
        assert_eq!(stream.finish(), None);
    }

    #[test]
    fn long_lines_are_split_and_marked() {
        let mut stream = Stream::new();
        stream.push(HEADER);
        let entries = stream.push(&vec![b'x'; LINE_BYTES + 5]);
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].text("_LINE_BREAK"), Some("line-max"));
        assert_eq!(stream.push(b"\n")[0].get("MESSAGE").map(<[u8]>::len), Some(5));
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_makes_no_difference(text in "[a-z<>3\n]{0,60}", cut in 0usize..80) {
            let data = [HEADER, text.as_bytes()].concat();
            let mut whole = Stream::new();
            let mut expected = whole.push(&data);
            expected.extend(whole.finish());
            let (first, second) = data.split_at(cut.min(data.len()));
            let mut parts = Stream::new();
            let mut found = parts.push(first);
            found.extend(parts.push(second));
            found.extend(parts.finish());
            prop_assert_eq!(found, expected);
        }
    }
}
