//! Asking the container engine over its socket, one request of HTTP/1.0 at a time, whose answer ends with the connection.
//! Blocking, and bounded in time and length. Beside it, the file in which the engine says where declared containers stand.

pub mod declared;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

/// A longer answer is none.
const MOST_BYTES: u64 = 16 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// The socket.
    #[error("the container engine cannot be asked")]
    Socket(#[from] io::Error),
    /// What came is no response of HTTP.
    #[error("the container engine gives no answer")]
    Form,
}

/// What the engine answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status, 100 to 999.
    pub status: u16,
    /// What follows the head.
    pub body: Vec<u8>,
}

/// One request: method, path with the version of the API, and a body in JSON. `within` bounds each wait for bytes.
///
/// # Errors
/// [`AskError`]; a status that says no is an [`Answer`].
pub fn ask(socket: &Path, method: &str, path: &str, body: Option<&str>, within: Duration) -> Result<Answer, AskError> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let content = body.map_or(String::new(), |body| {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
    });
    let head = format!("{method} {path} HTTP/1.0\r\nHost: keelson\r\n{content}\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.unwrap_or_default().as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer)?;
    parse_answer(&answer)
}

/// Status and body of a response that ended with its connection.
///
/// # Errors
/// [`AskError::Form`].
pub fn parse_answer(answer: &[u8]) -> Result<Answer, AskError> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.ok_or(AskError::Form)?);
    Ok(Answer {
        status: parse_status(head).ok_or(AskError::Form)?,
        body: body.get(4..).unwrap_or_default().to_vec(),
    })
}

/// The status in the first line of a response.
#[must_use]
pub fn parse_status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r' || *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok().filter(|status| (100..1000).contains(status))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_request_and_its_answer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; 4096];
            let mut length = 0;
            while !asked[..length].ends_with(b"{}") {
                length += stream.read(&mut asked[length..]).unwrap();
            }
            stream
                .write_all(b"HTTP/1.0 201 Created\r\nx: y\r\n\r\n{\"Id\":1}")
                .unwrap();
            String::from_utf8(asked[..length].to_vec()).unwrap()
        });
        let answer = ask(&path, "POST", "/v1.44/x", Some("{}"), Duration::from_secs(10)).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (201, &b"{\"Id\":1}"[..]));
        let asked = server.join().unwrap();
        assert!(asked.starts_with("POST /v1.44/x HTTP/1.0\r\n") && asked.contains("Content-Length: 2\r\n"));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for answer in [
            &b""[..],
            b"HTTP/1.0 200 OK\r\n",
            b"\r\n\r\n[]",
            b"HTTP/1.0 20 OK\r\n\r\n",
            b"SSH-2.0 200\r\n\r\n",
        ] {
            assert!(parse_answer(answer).is_err());
        }
        assert!(ask(Path::new("/nonexistent"), "GET", "/", None, Duration::from_secs(1)).is_err());
    }
}
