//! What the client asks of those who bring bytes. Addresses, connections, proxies and time limits are theirs: a server
//! that sends one byte a minute must be given up there.

use std::future::Future;

use bytes::Bytes;

use crate::error::{Error, FetchError, Problem, Refused};
use crate::location::Location;

/// Brings files of a repository.
pub trait Fetch: Sync {
    /// The bytes of a file as they come.
    type Body: Body;

    /// Asks for a file, from its beginning.
    ///
    /// # Errors
    /// `NotFound` only if the repository answered that it has no such file (HTTP 403, 404).
    fn open(&self, location: &Location) -> impl Future<Output = Result<Self::Body, FetchError>> + Send;
}

/// The bytes of a file as they come.
pub trait Body: Send {
    /// The next bytes; nothing at the end.
    ///
    /// # Errors
    /// The file broke off.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, FetchError>> + Send;
}

/// Adds the name of the file to an error of who fetches.
pub(crate) fn named(location: &Location) -> impl Fn(FetchError) -> Error {
    move |source| Error::Fetch {
        file: location.to_string(),
        source,
    }
}

/// A whole file of at most `limit` bytes; no more than that is ever held.
pub(crate) async fn whole<F: Fetch>(fetch: &F, location: &Location, limit: u64) -> Result<Vec<u8>, Error> {
    let mut body = fetch.open(location).await.map_err(named(location))?;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunk().await.map_err(named(location))? {
        if (bytes.len() as u64).saturating_add(chunk.len() as u64) > limit {
            let (file, problem) = (location.to_string(), Problem::TooLong { limit });
            return Err(Refused { file, problem }.into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
