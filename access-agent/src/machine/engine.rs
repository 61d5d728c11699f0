//! Asking the container engine for its list, over its socket with one request of HTTP/1.0, whose answer ends with the
//! connection.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use keelson_image_layout::paths;
use serde::{Deserialize, Serialize};

use super::Machine;

const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// A longer list is no answer.
const MOST_BYTES: u64 = 16 << 20;
const QUESTION: &[u8] = b"GET /v1.44/containers/json?all=1 HTTP/1.0\r\nHost: keelson\r\n\r\n";

/// A container as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Its first name.
    pub name: String,
    /// As it was asked for.
    pub image: String,
    /// Docker's word: running, exited, restarting …
    pub state: String,
    /// The same for people, with times.
    pub status: String,
    /// Published ports, `8080:80/tcp`.
    pub ports: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    image: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    private_port: u16,
    public_port: Option<u16>,
    #[serde(rename = "Type", default)]
    protocol: String,
}

impl Machine {
    /// Every container of the engine, by name.
    ///
    /// # Errors
    /// The engine does not answer, or not with a list.
    pub fn containers(&self) -> anyhow::Result<Vec<Container>> {
        let mut socket = UnixStream::connect(self.path(paths::ENGINE_SOCKET)).context("ask the container engine")?;
        socket
            .set_read_timeout(Some(ANSWERS_WITHIN))
            .context("ask the container engine")?;
        socket.write_all(QUESTION).context("ask the container engine")?;
        let mut answer = Vec::new();
        let read = socket.take(MOST_BYTES).read_to_end(&mut answer);
        read.context("read the answer of the container engine")?;
        parse_answer(&answer)
    }
}

/// The containers in an HTTP response.
///
/// # Errors
/// It is no success with a list.
pub fn parse_answer(answer: &[u8]) -> anyhow::Result<Vec<Container>> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.context("the container engine gives no answer")?);
    let status = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    ensure!(
        status.split(' ').nth(1) == Some("200"),
        "the container engine answers {status:?}"
    );
    let listed: Vec<Listed> =
        serde_json::from_slice(body.get(4..).unwrap_or_default()).context("understand the list of containers")?;
    let mut containers: Vec<Container> = listed.into_iter().map(container).collect();
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(containers)
}

fn container(listed: Listed) -> Container {
    let published = |port: &Port| {
        let public = port.public_port?;
        Some(format!("{public}:{}/{}", port.private_port, port.protocol))
    };
    let mut ports: Vec<String> = listed.ports.iter().filter_map(published).collect();
    // One line for IPv4 and IPv6.
    ports.dedup();
    let name = listed.names.first().map_or("", |name| name.trim_start_matches('/'));
    Container {
        name: name.to_owned(),
        image: listed.image,
        state: listed.state,
        status: listed.status,
        ports,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_understood() {
        let answer = b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n\
            [{\"Names\":[\"/web\"],\"Image\":\"nginx\",\"State\":\"running\",\"Status\":\"Up 2 minutes\",\
            \"Ports\":[{\"IP\":\"0.0.0.0\",\"PrivatePort\":80,\"PublicPort\":8080,\"Type\":\"tcp\"},\
            {\"IP\":\"::\",\"PrivatePort\":80,\"PublicPort\":8080,\"Type\":\"tcp\"},{\"PrivatePort\":81,\"Type\":\"tcp\"}],\
            \"Later\":1},{\"Names\":[\"/db\"]}]";
        let containers = parse_answer(answer).unwrap();
        assert_eq!(
            containers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
            ["db", "web"]
        );
        assert_eq!(containers[1].ports, ["8080:80/tcp"]);
    }

    #[test]
    fn anything_else_is_an_error() {
        for answer in [
            &b""[..],
            b"HTTP/1.0 200 OK\r\n",
            b"HTTP/1.0 500 Oh\r\n\r\n[]",
            b"HTTP/1.0 200 OK\r\n\r\n{}",
            b"\r\n\r\n[]",
        ] {
            assert!(parse_answer(answer).is_err());
        }
    }
}
