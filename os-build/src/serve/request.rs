//! What a client asks for: method, path and at most one range.
//!
//! Source: RFC 9112 (messages), RFC 9110 section 14 (ranges).

use std::io::{self, BufRead, Read};

/// Longest head of a request.
const HEAD: u64 = 16 << 10;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `HEAD` are answered.
    pub method: String,
    /// Path without query, percent signs resolved.
    pub path: String,
    /// First byte and last byte, if the client named them.
    pub range: Option<(u64, Option<u64>)>,
    /// Whether the client goes on using the connection.
    pub keep: bool,
}

impl Request {
    /// The next request of a connection; `None` at its end.
    pub fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
        let mut head = Vec::new();
        let mut limited = reader.take(HEAD);
        loop {
            let mut line = Vec::new();
            limited.read_until(b'\n', &mut line)?;
            match line.as_slice() {
                [] => return Ok(None),
                b"\r\n" | b"\n" if head.is_empty() => {}
                b"\r\n" | b"\n" => break,
                _ => head.push(String::from_utf8_lossy(&line).trim_end().to_owned()),
            }
        }
        Ok(parse(&head))
    }
}

fn parse(head: &[String]) -> Option<Request> {
    let (first, fields) = head.split_first()?;
    let mut words = first.split(' ');
    let (method, path, protocol) = (words.next()?, words.next()?, words.next()?);
    let field = |name: &str| {
        let lines = fields.iter().filter_map(|line| line.split_once(':'));
        let mut named = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim())
    };
    Some(Request {
        method: method.to_owned(),
        path: decode(path.split('?').next()?)?,
        range: field("range").and_then(range),
        keep: protocol == "HTTP/1.1" && !field("connection").is_some_and(|word| word.eq_ignore_ascii_case("close")),
    })
}

/// `bytes=A-B` or `bytes=A-`; anything else counts as no range.
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start = start.parse().ok()?;
    match end {
        "" => Some((start, None)),
        end => end
            .parse()
            .ok()
            .filter(|end| *end >= start)
            .map(|end| (start, Some(end))),
    }
}

fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_one_after_the_other() {
        let text = "GET /a%2Bb~1.json?x HTTP/1.1\r\nHost: here\r\nRange: bytes=5-9\r\n\r\n\
                    HEAD / HTTP/1.1\r\nrange: bytes=7-\r\nConnection: Close\r\n\r\n";
        let mut bytes = text.as_bytes();
        let first = Request::read(&mut bytes).unwrap().unwrap();
        assert_eq!(
            (first.path.as_str(), first.range, first.keep),
            ("/a+b~1.json", Some((5, Some(9))), true)
        );
        let second = Request::read(&mut bytes).unwrap().unwrap();
        assert_eq!(
            (second.method.as_str(), second.range, second.keep),
            ("HEAD", Some((7, None)), false)
        );
        assert_eq!(Request::read(&mut bytes).unwrap(), None);
    }

    #[test]
    fn other_ranges_are_none() {
        for text in ["bytes=9-5", "bytes=-5", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b"] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
