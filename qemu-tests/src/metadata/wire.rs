//! HTTP/1.1 over any stream, as much as a metadata service needs.

use std::io::{self, Read, Write};

/// A request without a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Path.
    pub path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// Reads one from a stream; `None` when the other side closed it.
    ///
    /// # Errors
    /// The stream failed, or sends something else.
    pub fn read(stream: &mut impl Read) -> io::Result<Option<Request>> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > 16 << 10 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if stream.read(&mut byte)? == 0 {
                return Ok(None);
            }
            head.extend(byte);
        }
        let text = String::from_utf8(head).map_err(|_| io::ErrorKind::InvalidData)?;
        Request::parse(&text)
            .map(Some)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Reads a head.
    #[must_use]
    pub fn parse(text: &str) -> Option<Request> {
        let (first, rest) = text.split_once("\r\n")?;
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers = rest.lines().filter_map(|line| line.split_once(':'));
        Some(Request {
            method,
            path,
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
                .collect(),
        })
    }

    /// A header by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status.
    pub code: u16,
    /// Where to go instead.
    pub location: Option<String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Response {
    /// A file.
    #[must_use]
    pub fn ok(body: Vec<u8>) -> Response {
        Response {
            code: 200,
            location: None,
            body,
        }
    }

    /// A status with a page about it.
    #[must_use]
    pub fn status(code: u16, title: &str) -> Response {
        Response {
            code,
            ..Response::ok(format!("<html><title>{code} - {title}</title></html>\n").into_bytes())
        }
    }

    /// The head, announcing a body of this length.
    #[must_use]
    pub fn head(&self, length: usize) -> Vec<u8> {
        let code = self.code;
        let location = self
            .location
            .as_deref()
            .map_or_else(String::new, |place| format!("Location: {place}\r\n"));
        format!("HTTP/1.1 {code} X\r\nServer: EC2ws\r\n{location}Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes()
    }

    /// The whole of it.
    ///
    /// # Errors
    /// The stream failed.
    pub fn write(&self, stream: &mut impl Write) -> io::Result<()> {
        stream.write_all(&self.head(self.body.len()))?;
        stream.write_all(&self.body)?;
        stream.flush()
    }
}
