//! As much of a client of Docker's API as the race needs. HTTP/1.0, so that bodies end with the connection.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// An engine's socket.
#[derive(Debug, Clone)]
pub struct Api {
    /// Where it listens.
    pub socket: PathBuf,
}

impl Api {
    /// Whether it answers.
    pub fn answers(&self) -> bool {
        self.ask("GET", "/_ping", None).is_ok()
    }

    /// How the engine keeps layers.
    pub fn storage_driver(&self) -> Result<String> {
        let info: Value = serde_json::from_str(&self.ask("GET", "/info", None)?)?;
        Ok(info
            .get("Driver")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned())
    }

    /// Creates a container; its id.
    pub fn create(&self, image: &str, command: &[&str], network: &str) -> Result<String> {
        let body = json!({ "Image": image, "Cmd": command, "HostConfig": { "NetworkMode": network } });
        let answer = self.ask("POST", "/containers/create", Some(&body))?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        Ok(answer.get("Id").and_then(Value::as_str).context("no id")?.to_owned())
    }

    /// Starts it.
    pub fn start(&self, id: &str) -> Result<()> {
        self.ask("POST", &format!("/containers/{id}/start"), None).map(drop)
    }

    /// Waits until it has ended; it must have succeeded.
    pub fn wait(&self, id: &str) -> Result<()> {
        let answer = self.ask("POST", &format!("/containers/{id}/wait"), None)?;
        let status = serde_json::from_str::<Value>(&answer)?;
        ensure!(
            status.get("StatusCode").and_then(Value::as_i64) == Some(0),
            "ended with {answer}"
        );
        Ok(())
    }

    /// Removes it, running or not.
    pub fn remove(&self, id: &str) -> Result<()> {
        self.ask("DELETE", &format!("/containers/{id}?force=true"), None)
            .map(drop)
    }

    /// Pulls an image; an error in the stream of progress is an error.
    pub fn pull(&self, name: &str) -> Result<()> {
        let answer = self.ask("POST", &format!("/images/create?fromImage={name}&tag=1"), None)?;
        ensure!(!answer.contains("\"error\""), "pull of {name}: {answer}");
        Ok(())
    }

    /// Removes an image.
    pub fn remove_image(&self, name: &str) -> Result<()> {
        self.ask("DELETE", &format!("/images/{name}:1?force=true"), None)
            .map(drop)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String> {
        let mut stream = UnixStream::connect(&self.socket).with_context(|| self.socket.display().to_string())?;
        let body = body.map(Value::to_string).unwrap_or_default();
        write!(
            stream,
            "{method} /v1.43{path} HTTP/1.0\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP's form")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "{method} {path}: {status} {body}");
        Ok(body.to_owned())
    }
}
