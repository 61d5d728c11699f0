//! Fetching of the page.

use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;

/// Longest wait for one answer.
const ONE_ANSWER: Duration = Duration::from_secs(10);
/// Lines of a page that are shown.
const SHOWN: usize = 24;

/// An answer of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// For instance `200 OK`.
    pub status: String,
    /// Text of the answer.
    pub body: String,
}

impl Page {
    /// Its first lines, indented.
    #[must_use]
    pub fn excerpt(&self) -> String {
        let lines = self.body.lines().take(SHOWN).map(|line| format!("    {line}\n"));
        format!("    {}\n{}", self.status, lines.collect::<String>())
    }
}

/// A client for the loopback address; no proxy comes between.
///
/// # Errors
/// TLS cannot be set up.
pub fn client() -> Result<Client> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error says that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder()
        .no_proxy()
        .timeout(ONE_ANSWER)
        .build()
        .context("HTTP client")
}

/// Fetches a page.
///
/// # Errors
/// Nothing answers, or not in time.
pub async fn page(client: &Client, url: &str) -> Result<Page> {
    let answer = client.get(url).send().await?;
    let status = answer.status().to_string();
    Ok(Page {
        status,
        body: answer.text().await?,
    })
}
