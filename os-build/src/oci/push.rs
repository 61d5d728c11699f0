//! Puts an image into a registry over its HTTP API.
//!
//! Source: OCI distribution specification 1.1, "Pushing a blob monolithically" and "Pushing Manifests".

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, StatusCode, Url};
use thiserror::Error;

use super::{Blob, Image, MANIFEST};

/// Why an image is not in the registry.
#[derive(Debug, Error)]
pub enum PushError {
    /// The request failed.
    #[error("the registry cannot be reached")]
    Http(#[from] reqwest::Error),
    /// It refused.
    #[error("{action}: the registry answered {status}")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// HTTP status.
        status: StatusCode,
    },
    /// It gave no usable place to upload to.
    #[error("the registry named no place to upload to")]
    Location,
    /// `base` is no address.
    #[error("{base} is no address of a registry")]
    Address {
        /// As given.
        base: String,
    },
}

/// Pushes `image` as `name:tag` to the registry at `base`, for instance `http://127.0.0.1:5000`.
///
/// # Errors
/// See [`PushError`].
pub async fn push(client: &Client, base: &str, name: &str, tag: &str, image: &Image) -> Result<(), PushError> {
    let address = || PushError::Address { base: base.to_owned() };
    let root = Url::parse(base)
        .and_then(|url| url.join(&format!("/v2/{name}/")))
        .map_err(|_| address())?;
    for blob in &image.blobs {
        push_blob(client, &root, blob).await?;
    }
    let at = root.join(&format!("manifests/{tag}")).map_err(|_| address())?;
    let request = client
        .put(at)
        .header(CONTENT_TYPE, MANIFEST)
        .body(image.manifest.bytes.clone());
    expect("push the manifest", StatusCode::CREATED, request.send().await?).map(drop)
}

async fn push_blob(client: &Client, root: &Url, blob: &Blob) -> Result<(), PushError> {
    let begin = root.join("blobs/uploads/").map_err(|_| PushError::Location)?;
    let begun = expect(
        "begin an upload",
        StatusCode::ACCEPTED,
        client.post(begin).send().await?,
    )?;
    let location = begun
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .ok_or(PushError::Location)?;
    let mut at = root.join(location).map_err(|_| PushError::Location)?;
    at.query_pairs_mut().append_pair("digest", &blob.digest);
    let request = client
        .put(at)
        .header(CONTENT_TYPE, "application/octet-stream")
        .body(blob.bytes.clone());
    expect("upload a blob", StatusCode::CREATED, request.send().await?).map(drop)
}

fn expect(action: &'static str, wanted: StatusCode, answer: Response) -> Result<Response, PushError> {
    let status = answer.status();
    if status == wanted {
        Ok(answer)
    } else {
        Err(PushError::Refused { action, status })
    }
}
