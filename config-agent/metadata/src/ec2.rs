//! EC2's instance metadata service, version 2 and nothing else: a token first, then the few things that matter.
//!
//! After Amazon's documentation of IMDSv2. Version 1 is never tried: a service that gives no token is switched off.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelson_image_layout::metadata::Answer;
use reqwest::Method;

use crate::client::{Client, Reply};
use crate::failure::Failure;

const TOKEN: &str = "/latest/api/token";
const INSTANCE_ID: &str = "/latest/meta-data/instance-id";
const HOSTNAME: &str = "/latest/meta-data/local-hostname";
const KEYS: &str = "/latest/meta-data/public-keys/";
const USER_DATA: &str = "/latest/user-data";

/// Seconds a token lives: longer than one round of questions ever takes.
const TTL: &str = "300";
/// Longest word, list or key.
const MAX_TEXT: usize = 64 << 10;
/// Longest document; Amazon allows 16 KiB.
const MAX_USER_DATA: usize = 1 << 20;
/// The most keys that are asked for.
const MAX_KEYS: usize = 16;

/// A conversation: renews its token once when it is refused.
struct Session<'a> {
    client: &'a Client,
    token: String,
    renewed: bool,
}

/// Asks everything once.
///
/// # Errors
/// The first [`Failure`].
pub async fn fetch(client: &Client) -> Result<Answer, Failure> {
    let token = token(client).await?;
    let mut session = Session {
        client,
        token,
        renewed: false,
    };
    let instance_id = session.text(INSTANCE_ID).await?;
    let Some(instance_id) = instance_id else {
        return Err(Failure::Status {
            path: INSTANCE_ID.to_owned(),
            code: 404,
        });
    };
    let hostname = session.text(HOSTNAME).await?;
    let mut public_keys = Vec::new();
    for number in parse_key_list(&session.text(KEYS).await?.unwrap_or_default()) {
        public_keys.extend(session.text(&format!("{KEYS}{number}/openssh-key")).await?);
    }
    let user_data = session.get(USER_DATA, MAX_USER_DATA).await?;
    Ok(Answer {
        instance_id: Some(instance_id),
        hostname: hostname.and_then(|names| names.split_whitespace().next().map(str::to_owned)),
        public_keys,
        user_data: user_data.map(|bytes| STANDARD.encode(bytes)),
    })
}

async fn token(client: &Client) -> Result<String, Failure> {
    let header = ("X-aws-ec2-metadata-token-ttl-seconds", TTL);
    let Reply { code, body } = client.send(Method::PUT, TOKEN, header, 1024).await?;
    match code {
        200 => parse_token(&body),
        400 | 403 | 404 | 405 => Err(Failure::NoTokens { code }),
        code => Err(Failure::Status {
            path: TOKEN.to_owned(),
            code,
        }),
    }
}

impl Session<'_> {
    /// A file of the service; `None` when there is none (404).
    async fn get(&mut self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            let header = ("X-aws-ec2-metadata-token", self.token.as_str());
            let Reply { code, body } = self.client.send(Method::GET, path, header, limit).await?;
            match code {
                200 => return Ok(Some(body)),
                404 => return Ok(None),
                401 if !self.renewed => {
                    self.renewed = true;
                    self.token = token(self.client).await?;
                }
                code => {
                    return Err(Failure::Status {
                        path: path.to_owned(),
                        code,
                    });
                }
            }
        }
    }

    async fn text(&mut self, path: &str) -> Result<Option<String>, Failure> {
        let body = self.get(path, MAX_TEXT).await?;
        body.map(|body| parse_text(path, body)).transpose()
    }
}

/// A token can stand in a header.
///
/// # Errors
/// It cannot.
pub fn parse_token(body: &[u8]) -> Result<String, Failure> {
    let text = std::str::from_utf8(body).map(str::trim_end).unwrap_or_default();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::Broken {
            path: TOKEN.to_owned(),
            what: "the answer is no token",
        });
    }
    Ok(text.to_owned())
}

/// A word or lines without control characters.
///
/// # Errors
/// It is something else, such as a page of a proxy.
pub fn parse_text(path: &str, body: Vec<u8>) -> Result<String, Failure> {
    let broken = |what| Failure::Broken {
        path: path.to_owned(),
        what,
    };
    let text = String::from_utf8(body).map_err(|_| broken("the answer is not text"))?;
    let text = text.trim();
    if text.starts_with('<') || text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(broken("the answer is something else than was asked for"));
    }
    Ok(text.to_owned())
}

/// The numbers in a list of keys, `NUMBER=NAME` a line.
#[must_use]
pub fn parse_key_list(text: &str) -> Vec<u32> {
    let numbers = text
        .lines()
        .filter_map(|line| line.split('=').next()?.trim().parse().ok());
    numbers.take(MAX_KEYS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tokens_texts_and_lists() {
        assert_eq!(parse_token(b"AQAE=\n"), Ok("AQAE=".to_owned()));
        for bad in [&b""[..], b"a b", b"\xff", b"a\r\nHost: x"] {
            assert!(parse_token(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_text("p", b"i-1\n".to_vec()), Ok("i-1".to_owned()));
        for bad in [&b"<html>"[..], b"\xff", b"a\0"] {
            assert!(parse_text("p", bad.to_vec()).is_err(), "{bad:?}");
        }
        assert_eq!(parse_key_list("0=mine\n1=other\nx\n"), [0, 1]);
        assert_eq!(parse_key_list(&"1\n".repeat(99)).len(), MAX_KEYS);
    }
}
