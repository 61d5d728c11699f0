//! A registry with one image, over plain HTTP on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// A registry that serves until the process ends.
#[derive(Debug)]
pub struct Registry {
    /// `127.0.0.1:PORT`.
    pub host: String,
}

struct Content {
    kind: &'static str,
    bytes: Vec<u8>,
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl Registry {
    /// Serves `demo/probe:1` with this layer, an uncompressed tar.
    pub fn serve(layer: Vec<u8>) -> Registry {
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "created": "2026-01-02T03:04:05Z",
            "config": {
                "Env": ["PATH=/bin", "FROM=image"],
                "Entrypoint": ["/bin/probe"],
                "Cmd": ["run"],
                "ExposedPorts": {"80/tcp": {}},
                "Labels": {"made-by": "test"},
                "WorkingDir": "/work",
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        })
        .to_string()
        .into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(&config),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest(&layer),
                "size": layer.len(),
            }],
        })
        .to_string()
        .into_bytes();
        let mut contents = BTreeMap::new();
        for blob in [config, layer] {
            let path = format!("/v2/demo/probe/blobs/{}", digest(&blob));
            contents.insert(
                path,
                Content {
                    kind: "application/octet-stream",
                    bytes: blob,
                },
            );
        }
        for name in ["1".to_owned(), digest(&manifest)] {
            let path = format!("/v2/demo/probe/manifests/{name}");
            contents.insert(
                path,
                Content {
                    kind: MANIFEST,
                    bytes: manifest.clone(),
                },
            );
        }
        contents.insert(
            "/v2/".to_owned(),
            Content {
                kind: "application/json",
                bytes: b"{}".to_vec(),
            },
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let contents = Arc::new(contents);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let contents = Arc::clone(&contents);
                std::thread::spawn(move || answer(stream, &contents));
            }
        });
        Registry { host }
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn answer(mut stream: TcpStream, contents: &BTreeMap<String, Content>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).ok()? == 0 {
            return None;
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if header.trim().is_empty() {
                break;
            }
        }
        let mut words = request.split_whitespace();
        let (method, path) = (words.next()?, words.next()?);
        let empty = Content {
            kind: "application/json",
            bytes: b"{}".to_vec(),
        };
        let (status, content) = match contents.get(path) {
            Some(content) => ("200 OK", content),
            None => ("404 Not Found", &empty),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Docker-Content-Digest: {}\r\n\r\n",
            content.kind,
            content.bytes.len(),
            digest(&content.bytes),
        );
        stream.write_all(head.as_bytes()).ok()?;
        if method != "HEAD" {
            stream.write_all(&content.bytes).ok()?;
        }
    }
}
