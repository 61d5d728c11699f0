//! Files of a repository over HTTP, whole for metadata and in ranges for segments: given up when nothing comes, never
//! faster than the document allows, and counted.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelson_tuf::{Body, Fetch, FetchError, Location};
use reqwest::header::RANGE;
use reqwest::{Response, StatusCode};
use thiserror::Error;
use tokio::time::timeout;

use super::pace::Pace;

/// Until a server has begun to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// A server that takes longer for this many bytes is given up: one byte a minute would take for ever.
const SLOWEST: (u64, Duration) = (16 << 10, Duration::from_secs(120));

/// Why an answer is of no use.
#[derive(Debug, Error)]
enum Unusable {
    #[error("the server answers {0}")]
    Status(StatusCode),
    #[error("the server does not answer within {} s", ANSWERS_WITHIN.as_secs())]
    Silent,
    #[error("the server sends less than {} bytes in {} s", SLOWEST.0, SLOWEST.1.as_secs())]
    Slow,
    #[error("the server answers with another range than was asked for")]
    Range,
}

/// A repository on a server.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    base: String,
    pace: Arc<Pace>,
}

impl Http {
    /// The repository at this address, which ends without a slash.
    #[must_use]
    pub fn new(client: reqwest::Client, base: &str, pace: Arc<Pace>) -> Http {
        Http {
            client,
            base: base.to_owned(),
            pace,
        }
    }

    /// Bytes that came so far, of everything.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.pace.fetched()
    }

    fn address(&self, location: &Location) -> String {
        let kind = match location {
            Location::Metadata(_) => "metadata",
            Location::Target(_) => "targets",
        };
        format!("{}/{kind}/{location}", self.base)
    }

    /// A range of a file. A server without ranges sends all of it, and what comes before is thrown away.
    ///
    /// # Errors
    /// It cannot be had.
    pub async fn range(&self, location: &Location, range: Range<u64>) -> Result<Answer, FetchError> {
        let header = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let asked = self.client.get(self.address(location)).header(RANGE, header);
        let answer = self.answer(asked).await?;
        let skip = match answer.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(&answer, range.start) => 0,
            StatusCode::OK => range.start,
            StatusCode::PARTIAL_CONTENT => return Err(other(Unusable::Range)),
            status => return Err(other(Unusable::Status(status))),
        };
        Ok(self.body(answer, skip))
    }

    async fn answer(&self, asked: reqwest::RequestBuilder) -> Result<Response, FetchError> {
        let answer = timeout(ANSWERS_WITHIN, asked.send()).await;
        let answer = answer.map_err(|_| other(Unusable::Silent))?.map_err(other)?;
        match answer.status() {
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Err(FetchError::NotFound),
            status if status.is_success() => Ok(answer),
            status => Err(other(Unusable::Status(status))),
        }
    }

    fn body(&self, response: Response, skip: u64) -> Answer {
        Answer {
            response,
            skip,
            pace: Arc::clone(&self.pace),
            window: (0, Duration::ZERO),
        }
    }
}

/// `Content-Range: bytes START-END/LENGTH`.
fn begins_at(answer: &Response, start: u64) -> bool {
    let value = answer
        .headers()
        .get("content-range")
        .and_then(|value| value.to_str().ok());
    let first = value.and_then(|value| value.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    first == Some(start)
}

impl Fetch for Http {
    type Body = Answer;

    async fn open(&self, location: &Location) -> Result<Answer, FetchError> {
        let answer = self.answer(self.client.get(self.address(location))).await?;
        Ok(self.body(answer, 0))
    }
}

/// An answer whose bytes are still coming.
#[derive(Debug)]
pub struct Answer {
    response: Response,
    /// Bytes before those that were asked for.
    skip: u64,
    pace: Arc<Pace>,
    /// Bytes and time of waiting since the speed was last judged.
    window: (u64, Duration),
}

impl Answer {
    async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let left = SLOWEST.1.saturating_sub(self.window.1);
        let began = tokio::time::Instant::now();
        let chunk = timeout(left, self.response.chunk()).await;
        let chunk = chunk.map_err(|_| other(Unusable::Slow))?.map_err(other)?;
        let count = chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        self.window = (self.window.0 + count, self.window.1 + began.elapsed());
        if self.window.0 >= SLOWEST.0 {
            self.window = (0, Duration::ZERO);
        }
        self.pace.took(count).await;
        Ok(chunk)
    }
}

impl Body for Answer {
    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let Some(mut chunk) = self.next().await? else {
                return Ok(None);
            };
            let unwanted = self.skip.min(chunk.len() as u64);
            self.skip -= unwanted;
            let wanted = chunk.split_off(usize::try_from(unwanted).unwrap_or(usize::MAX));
            if !wanted.is_empty() {
                return Ok(Some(wanted));
            }
        }
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> FetchError {
    FetchError::Other(Box::new(Chain(error)))
}

/// An error whose causes are told with it: those of connections say nothing by themselves.
#[derive(Debug)]
struct Chain<E>(E);

impl<E: std::error::Error + 'static> std::fmt::Display for Chain<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::words::chain(&self.0))
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Chain<E> {}
