//! Requests to one endpoint: authentication, retries, bounded answers. Sends credentials only to the
//! endpoint and to the token service it names; redirects to other hosts lose them.

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;

use super::challenge::{Challenge, parse_challenge};
use super::error::RegistryError;
use super::retry::{Failure, RetryPolicy, decide_retry};
use super::settings::{Credentials, Endpoint};

const REDIRECTS_MAX: usize = 10;
const TOKEN_MAX: u64 = 1 << 20;

/// A request: path below the repository, what is accepted, from which byte.
#[derive(Debug, Clone, Copy)]
pub struct Get<'a> {
    /// `manifests/latest`, `blobs/sha256:…`.
    pub path: &'a str,
    /// The `Accept` header, if any.
    pub accept: Option<&'a str>,
    /// First byte wanted; 0 for all.
    pub from: u64,
}

/// A client of one endpoint.
#[derive(Debug)]
pub struct RegistryClient {
    endpoint: Endpoint,
    http: Client,
    policy: RetryPolicy,
    authorization: Mutex<Option<HeaderValue>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl RegistryClient {
    /// A client; connects to nothing yet.
    pub fn new(endpoint: Endpoint, policy: RetryPolicy) -> Result<Self, RegistryError> {
        let host = || endpoint.host.clone();
        let builder =
            keelson_https::builder(&endpoint.ca).map_err(|source| RegistryError::Tls { host: host(), source })?;
        let http = builder
            .redirect(Policy::custom(decide_redirect))
            .build()
            .map_err(|source| RegistryError::Client { host: host(), source })?;
        Ok(Self {
            endpoint,
            http,
            policy,
            authorization: Mutex::new(None),
        })
    }

    /// The endpoint's host, for messages.
    pub fn host(&self) -> &str {
        &self.endpoint.host
    }

    /// How patient the client is.
    pub const fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    /// Sends a request until it is answered with success.
    pub async fn get(&self, get: &Get<'_>) -> Result<Response, RegistryError> {
        let mut attempt = 0;
        let mut authenticated = false;
        loop {
            attempt += 1;
            let failure = match self.send(get).await {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && !authenticated => {
                    authenticated = true;
                    attempt -= 1;
                    self.authenticate(answer.headers(), get.path).await?;
                    continue;
                }
                Ok(answer) => Err(answer),
                Err(error) => Ok(error),
            };
            let kind = match &failure {
                Ok(_) => Failure::Transport,
                Err(answer) => Failure::Status(answer.status().as_u16(), retry_after(answer.headers())),
            };
            let Some(pause) = decide_retry(&self.policy, attempt, kind) else {
                return Err(match failure {
                    Ok(source) => RegistryError::Transport {
                        host: self.endpoint.host.clone(),
                        source,
                    },
                    Err(answer) => self.refusal(&answer, get.path),
                });
            };
            log::debug!(registry = self.endpoint.host.as_str(), attempt, pause:? = pause; "registry is asked again");
            tokio::time::sleep(pause).await;
        }
    }

    /// A whole answer of at most `limit` bytes.
    pub async fn get_bounded(&self, get: &Get<'_>, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let answer = self.get(get).await?;
            let source = match read_bounded(answer, limit).await {
                Ok(Some(bytes)) => return Ok(bytes),
                Ok(None) => {
                    let (host, what) = (self.endpoint.host.clone(), get.path.to_owned());
                    return Err(RegistryError::TooLarge { host, what, limit });
                }
                Err(source) => source,
            };
            match decide_retry(&self.policy, attempt, Failure::Transport) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => {
                    return Err(RegistryError::Transport {
                        host: self.endpoint.host.clone(),
                        source,
                    });
                }
            }
        }
    }

    async fn send(&self, get: &Get<'_>) -> Result<Response, reqwest::Error> {
        // The base ends in a slash and the path is ours: tag grammar or a digest.
        let url = format!("{}{}", self.endpoint.base, get.path);
        let mut request = self.http.get(url);
        if let Some(accept) = get.accept {
            request = request.header(ACCEPT, accept);
        }
        if get.from > 0 {
            request = request.header(RANGE, format!("bytes={}-", get.from));
        }
        let authorization = self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.send().await
    }

    fn refusal(&self, answer: &Response, path: &str) -> RegistryError {
        let (host, what) = (self.endpoint.host.clone(), path.to_owned());
        match answer.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Denied { host, what },
            StatusCode::NOT_FOUND => RegistryError::NotFound { host, what },
            status => RegistryError::Status {
                host,
                status: status.as_u16(),
                what,
            },
        }
    }

    /// Answers a challenge: name and password, or a token got with them or without.
    async fn authenticate(&self, headers: &HeaderMap, path: &str) -> Result<(), RegistryError> {
        let host = || self.endpoint.host.clone();
        let challenges: Vec<Challenge> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| parse_challenge(value.to_str().ok()?))
            .collect();
        let bearer = challenges
            .iter()
            .find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        let value = match (bearer.or(challenges.first()), &self.endpoint.credentials) {
            (None, _) => return Err(RegistryError::Challenge { host: host() }),
            (Some(Challenge::Basic), Some(credentials)) => basic(credentials),
            (Some(Challenge::Basic), None) => {
                return Err(RegistryError::Denied {
                    host: host(),
                    what: path.to_owned(),
                });
            }
            (Some(Challenge::Bearer { realm, service, scope }), credentials) => {
                let url = self.token_url(realm, service.as_deref(), scope.as_deref())?;
                format!("Bearer {}", self.token(url, credentials.as_ref()).await?)
            }
        };
        let mut value = HeaderValue::from_str(&value).map_err(|_| RegistryError::Token {
            host: host(),
            realm: host(),
        })?;
        value.set_sensitive(true);
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    /// A token service is spoken to with TLS unless the registry itself is not.
    fn token_url(&self, realm: &str, service: Option<&str>, scope: Option<&str>) -> Result<Url, RegistryError> {
        let refused = || RegistryError::Token {
            host: self.endpoint.host.clone(),
            realm: realm.to_owned(),
        };
        let mut url = Url::parse(realm).map_err(|_| refused())?;
        let plain = url.scheme() == "http" && self.endpoint.base.scheme() == "http";
        if url.scheme() != "https" && !plain {
            return Err(refused());
        }
        let repository = self
            .endpoint
            .base
            .path()
            .trim_start_matches("/v2/")
            .trim_end_matches('/');
        let own_scope = format!("repository:{repository}:pull");
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", scope.unwrap_or(&own_scope));
        drop(query);
        Ok(url)
    }

    async fn token(&self, url: Url, credentials: Option<&Credentials>) -> Result<String, RegistryError> {
        let (host, realm) = (
            self.endpoint.host.clone(),
            url.host_str().unwrap_or_default().to_owned(),
        );
        let mut request = self.http.get(url);
        if let Some(credentials) = credentials {
            request = request.header(AUTHORIZATION, basic(credentials));
        }
        let answer = request.send().await.map_err(|source| RegistryError::Transport {
            host: realm.clone(),
            source,
        })?;
        if matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(RegistryError::Denied {
                host,
                what: "a token".to_owned(),
            });
        }
        let bytes = read_bounded(answer, TOKEN_MAX).await;
        let token = bytes.ok().flatten().and_then(|bytes| {
            let answer: TokenAnswer = serde_json::from_slice(&bytes).ok()?;
            answer.token.or(answer.access_token)
        });
        token.ok_or(RegistryError::Token { host, realm })
    }
}

fn basic(credentials: &Credentials) -> String {
    let pair = format!("{}:{}", credentials.username, credentials.password);
    format!("Basic {}", BASE64.encode(pair))
}

/// Ten redirects at most, and never from TLS to plain HTTP.
fn decide_redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let downgrade =
        attempt.previous().last().is_some_and(|url| url.scheme() == "https") && attempt.url().scheme() != "https";
    if downgrade {
        attempt.error("redirect from https to http")
    } else if attempt.previous().len() > REDIRECTS_MAX {
        attempt.error("too many redirects")
    } else {
        attempt.follow()
    }
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// The body, `None` when it is longer than `limit`.
async fn read_bounded(mut answer: Response, limit: u64) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}
