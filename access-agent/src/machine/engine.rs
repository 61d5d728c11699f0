//! Asking the container engine for its list, and reading where declared containers stand.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use keelson_engine_client::declared::{DECLARED, DeclaredStatus};
use keelson_engine_client::{Answer, ask};
use keelson_image_layout::paths;
use serde::{Deserialize, Serialize};

use super::Machine;

const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
const LIST: &str = "/v1.44/containers/json?all=1";

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
        list(&ask(
            &self.path(paths::ENGINE_SOCKET),
            "GET",
            LIST,
            None,
            ANSWERS_WITHIN,
        )?)
    }

    /// Where declared containers stand; empty before the engine has said so.
    #[must_use]
    pub fn declared(&self) -> DeclaredStatus {
        self.json(DECLARED).unwrap_or_default()
    }
}

/// The containers in an answer.
fn list(answer: &Answer) -> anyhow::Result<Vec<Container>> {
    ensure!(
        answer.status == 200,
        "the container engine answers with status {}",
        answer.status
    );
    let listed: Vec<Listed> = serde_json::from_slice(&answer.body).context("understand the list of containers")?;
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

    fn answer(status: u16, body: &[u8]) -> Answer {
        Answer {
            status,
            body: body.to_vec(),
        }
    }

    #[test]
    fn a_list_is_understood() {
        let body = b"[{\"Names\":[\"/web\"],\"Image\":\"nginx\",\"State\":\"running\",\"Status\":\"Up 2 minutes\",\
            \"Ports\":[{\"IP\":\"0.0.0.0\",\"PrivatePort\":80,\"PublicPort\":8080,\"Type\":\"tcp\"},\
            {\"IP\":\"::\",\"PrivatePort\":80,\"PublicPort\":8080,\"Type\":\"tcp\"},{\"PrivatePort\":81,\"Type\":\"tcp\"}],\
            \"Later\":1},{\"Names\":[\"/db\"]}]";
        let containers = list(&answer(200, body)).unwrap();
        assert_eq!(
            containers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
            ["db", "web"]
        );
        assert_eq!(containers[1].ports, ["8080:80/tcp"]);
    }

    #[test]
    fn anything_else_is_an_error() {
        for (status, body) in [(500, &b"[]"[..]), (200, b"{}"), (200, b"")] {
            assert!(list(&answer(status, body)).is_err());
        }
    }
}
