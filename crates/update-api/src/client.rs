//! Asking once, and waiting for the answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::{LINE_MOST, Reply, Request};

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens, or not to this caller.
    #[error("cannot connect to the update agent at {path}: does the unit `update` run?")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Answer of the kernel.
        #[source]
        source: io::Error,
    },
    /// The connection broke, or the answer took too long.
    #[error("the update agent does not answer")]
    Exchange(#[source] io::Error),
    /// The answer is none.
    #[error("the update agent's answer cannot be understood")]
    Answer(#[source] serde_json::Error),
}

/// A connection to the agent.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Connects; each answer may take `within`.
    ///
    /// # Errors
    /// [`AskError::Connect`].
    pub fn open(socket: &Path, within: Duration) -> Result<Connection, AskError> {
        let connected = UnixStream::connect(socket).and_then(|stream| {
            stream.set_read_timeout(Some(within))?;
            stream.set_write_timeout(Some(within))?;
            Ok(stream)
        });
        let stream = connected.map_err(|source| AskError::Connect {
            path: socket.to_owned(),
            source,
        })?;
        Ok(Connection {
            stream: BufReader::new(stream),
        })
    }

    /// Asks.
    ///
    /// # Errors
    /// [`AskError::Exchange`].
    pub fn ask(&mut self, request: &Request) -> Result<(), AskError> {
        let mut line = serde_json::to_vec(request).map_err(AskError::Answer)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).map_err(AskError::Exchange)
    }

    /// The next answer; after [`Request::Watch`] one after the other.
    ///
    /// # Errors
    /// [`AskError::Exchange`], [`AskError::Answer`].
    pub fn answer(&mut self) -> Result<Reply, AskError> {
        let mut answer = String::new();
        let mut bounded = (&mut self.stream).take(LINE_MOST as u64);
        bounded.read_line(&mut answer).map_err(AskError::Exchange)?;
        if answer.is_empty() {
            return Err(AskError::Exchange(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_str(&answer).map_err(AskError::Answer)
    }
}

/// One request and its first answer, which may take `within`.
///
/// # Errors
/// [`AskError`]; a refusal is a [`Reply`].
pub fn ask(socket: &Path, request: &Request, within: Duration) -> Result<Reply, AskError> {
    let mut connection = Connection::open(socket, within)?;
    connection.ask(request)?;
    connection.answer()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn an_answer_comes_back_and_a_silent_end_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            for answer in ["{\"reply\":\"accepted\"}\n", ""] {
                let (stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                assert_eq!(line, "{\"request\":\"check\"}\n");
                (&stream).write_all(answer.as_bytes()).unwrap();
            }
        });
        let within = Duration::from_secs(5);
        assert_eq!(ask(&path, &Request::Check, within).unwrap(), Reply::Accepted);
        assert!(matches!(
            ask(&path, &Request::Check, within),
            Err(AskError::Exchange(_))
        ));
        server.join().unwrap();
        std::fs::remove_file(&path).unwrap();
        let error = ask(&path, &Request::Check, within).unwrap_err().to_string();
        assert!(error.contains("unit `update`"), "{error}");
    }
}
