//! What the service answers. Pure, apart from the clock that tokens expire by.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::wire::{Request, Response};

/// Longest life of a token, seconds.
const MAX_TTL: u64 = 21600;

/// An instance, as its owner started it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Instance {
    /// Its identity.
    pub id: String,
    /// Its host name.
    pub hostname: String,
    /// The public key it was started with.
    pub key: Option<String>,
    /// Its document.
    pub user_data: Option<Vec<u8>>,
    /// Tokens live no longer than this, whatever is asked for.
    pub token_life: Option<Duration>,
    /// Time to live of the packets of answers; without it the host's.
    pub hop_limit: Option<u32>,
}

impl Instance {
    /// An instance with this document.
    #[must_use]
    pub fn with_document(document: impl Into<Vec<u8>>) -> Instance {
        Instance {
            id: "i-0123456789abcdef0".to_owned(),
            hostname: "ip-10-0-0-1.ec2.internal".to_owned(),
            user_data: Some(document.into()),
            ..Instance::default()
        }
    }

    /// The answer to a request.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Response {
        match request.method.as_str() {
            "PUT" if request.path == "/latest/api/token" => self.token(request),
            "GET" => match request.header("x-aws-ec2-metadata-token") {
                Some(token) if is_valid(token) => self.file(&request.path),
                _ => Response::status(401, "Unauthorized"),
            },
            _ => Response::status(405, "Method Not Allowed"),
        }
    }

    fn token(&self, request: &Request) -> Response {
        if request.header("x-forwarded-for").is_some() {
            return Response::status(403, "Forbidden");
        }
        let ttl = request.header("x-aws-ec2-metadata-token-ttl-seconds");
        match ttl.and_then(|text| text.parse().ok()) {
            Some(seconds @ 1..=MAX_TTL) => {
                let life = self.token_life.unwrap_or(Duration::from_secs(seconds));
                Response::ok(format!("AQAE{:x}==", (now() + life).as_millis()).into_bytes())
            }
            _ => Response::status(400, "Bad Request"),
        }
    }

    fn file(&self, path: &str) -> Response {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let body = match path {
            "/latest/meta-data/instance-id" => text(&self.id),
            "/latest/meta-data/local-hostname" => text(&self.hostname),
            "/latest/meta-data/public-keys/" => self.key.as_deref().and_then(|_| text("0=mine")),
            "/latest/meta-data/public-keys/0/openssh-key" => self.key.as_deref().and_then(text),
            "/latest/user-data" => self.user_data.clone(),
            _ => None,
        };
        body.map_or_else(|| Response::status(404, "Not Found"), Response::ok)
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn is_valid(token: &str) -> bool {
    let hex = token.strip_prefix("AQAE").and_then(|rest| rest.strip_suffix("=="));
    hex.and_then(|hex| u128::from_str_radix(hex, 16).ok())
        .is_some_and(|expiry| now().as_millis() < expiry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(instance: &Instance, text: &str) -> (u16, Vec<u8>) {
        let request = Request::parse(text).unwrap();
        let response = instance.answer(&request);
        (response.code, response.body)
    }

    #[test]
    fn a_token_is_asked_for_first() {
        let instance = Instance::with_document("schema = 1");
        let (code, _) = ask(&instance, "GET /latest/user-data HTTP/1.1\r\n\r\n");
        assert_eq!(code, 401);
        assert_eq!(ask(&instance, "PUT /latest/api/token HTTP/1.1\r\n\r\n").0, 400);
        let put = "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n";
        assert_eq!(
            ask(&instance, &format!("{put}X-Forwarded-For: 10.0.0.2\r\n\r\n")).0,
            403
        );
        let (code, token) = ask(&instance, &format!("{put}\r\n"));
        let token = String::from_utf8(token).unwrap();
        assert_eq!(code, 200);
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nX-aws-ec2-metadata-token: {token}\r\n\r\n");
        assert_eq!(ask(&instance, &get("/latest/user-data")), (200, b"schema = 1".to_vec()));
        assert_eq!(ask(&instance, &get("/latest/meta-data/public-keys/")).0, 404);
    }
}
