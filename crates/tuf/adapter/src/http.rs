//! Files of a repository over HTTP.

use std::time::Duration;

use bytes::Bytes;
use keelson_tuf::{Body, Fetch, FetchError, Location};
use reqwest::StatusCode;

/// A repository on one or two servers.
#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    metadata: String,
    targets: String,
}

impl Http {
    /// A repository at these addresses, with or without a slash at the end.
    pub fn new(metadata: String, targets: String) -> anyhow::Result<Http> {
        let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(10))
            .build()?;
        Ok(Http {
            client,
            metadata,
            targets,
        })
    }

    fn address(&self, location: &Location) -> String {
        let base = match location {
            Location::Metadata(_) => &self.metadata,
            Location::Target(_) => &self.targets,
        };
        format!("{}/{location}", base.trim_end_matches('/'))
    }
}

impl Fetch for Http {
    type Body = Answer;

    async fn open(&self, location: &Location) -> Result<Answer, FetchError> {
        let answer = self.client.get(self.address(location)).send().await.map_err(other)?;
        match answer.status() {
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Err(FetchError::NotFound),
            _ => Ok(Answer(answer.error_for_status().map_err(other)?)),
        }
    }
}

/// An answer whose bytes are still coming.
#[derive(Debug)]
pub struct Answer(reqwest::Response);

impl Body for Answer {
    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        self.0.chunk().await.map_err(other)
    }
}

fn other(error: reqwest::Error) -> FetchError {
    FetchError::Other(Box::new(error))
}
