//! The machine's monitor: the QEMU Machine Protocol over a unix socket, one command at a time.
//!
//! Source: QEMU `docs/interop/qmp-spec`. Events that arrive between answers are kept for the caller.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// An open monitor.
#[derive(Debug)]
pub struct Monitor {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    events: Vec<Value>,
}

impl Monitor {
    /// Connects, waiting for the socket to appear, and ends the greeting.
    ///
    /// # Errors
    /// The socket did not appear in time, or what answers there does not speak the protocol.
    pub fn connect(path: &Path, patience: Duration) -> io::Result<Monitor> {
        let deadline = Instant::now() + patience;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(patience))?;
        let mut monitor = Monitor {
            reader: BufReader::new(stream.try_clone()?),
            writer: stream,
            events: Vec::new(),
        };
        monitor.next()?;
        monitor.execute("qmp_capabilities", None)?;
        Ok(monitor)
    }

    /// Runs one command and gives its `return` value.
    ///
    /// # Errors
    /// The machine ended, took too long, or refused the command (its description is the error's text).
    pub fn execute(&mut self, command: &str, arguments: Option<Value>) -> io::Result<Value> {
        let mut request = json!({ "execute": command });
        if let (Some(arguments), Some(object)) = (arguments, request.as_object_mut()) {
            object.insert("arguments".into(), arguments);
        }
        self.writer.write_all(format!("{request}\n").as_bytes())?;
        loop {
            let mut message = self.next()?;
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = message.get("error") {
                return Err(io::Error::other(format!("{command}: {error}")));
            }
            self.events.push(message);
        }
    }

    /// Takes the events seen so far.
    pub fn take_events(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.events)
    }

    fn next(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_str(&line).map_err(io::Error::other)
    }
}
