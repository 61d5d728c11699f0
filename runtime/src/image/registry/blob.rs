//! A blob to a file: size and digest checked as it streams, a broken stream resumed where it broke.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::Path;

use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};

use super::client::{Get, RegistryClient};
use super::error::RegistryError;
use super::retry::{Failure, decide_retry};
use crate::image::digest::{Digest, Hasher};
use crate::image::manifest::Descriptor;

/// A download under way: the file holds `length` bytes, and `hasher` has seen exactly them.
struct Partial {
    file: File,
    length: u64,
    hasher: Hasher,
}

impl Partial {
    fn create(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        Ok(Self {
            file,
            length: 0,
            hasher: Hasher::default(),
        })
    }

    fn restart(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        (self.length, self.hasher) = (0, Hasher::default());
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// How one answer ended.
enum Ended {
    /// The server closed the stream.
    Whole,
    /// It broke.
    Broken(reqwest::Error),
}

impl RegistryClient {
    /// Downloads a blob to `path`. `progress` sees the bytes there so far.
    pub async fn download(
        &self,
        blob: &Descriptor,
        path: &Path,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let mut partial = Partial::create(path).map_err(RegistryError::Store)?;
        self.fill(blob, &mut partial, progress).await?;
        let resumed_wrong = self.check(blob, &partial).err();
        if resumed_wrong.is_none() {
            return Ok(());
        }
        // Pieces of two answers may differ where the wholes do not: once more from the start.
        partial.restart().map_err(RegistryError::Store)?;
        self.fill(blob, &mut partial, progress).await?;
        self.check(blob, &partial)
    }

    fn check(&self, blob: &Descriptor, partial: &Partial) -> Result<(), RegistryError> {
        let actual = partial.hasher.clone().finish();
        if actual == blob.digest {
            return Ok(());
        }
        Err(RegistryError::Digest {
            host: self.host().to_owned(),
            actual,
            expected: blob.digest,
        })
    }

    /// Asks until the file has all bytes. A try that brought something does not count as failed.
    async fn fill(
        &self,
        blob: &Descriptor,
        partial: &mut Partial,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let mut failures = 0;
        while partial.length < blob.size || (blob.size == 0 && failures == 0) {
            let before = partial.length;
            let path = blob_path(&blob.digest);
            let answer = self
                .get(&Get {
                    path: &path,
                    accept: None,
                    from: before,
                })
                .await?;
            self.align(&answer, partial)?;
            let ended = self.receive(answer, blob, partial, progress).await?;
            if partial.length == blob.size {
                return Ok(());
            }
            failures = if partial.length > before { 1 } else { failures + 1 };
            let Some(pause) = decide_retry(self.policy(), failures, Failure::Transport) else {
                return Err(self.short(ended, &path));
            };
            log::debug!(registry = self.host(), bytes = partial.length; "download broke and is resumed");
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// A server that does not know ranges, or sends another one, sends everything again.
    fn align(&self, answer: &Response, partial: &mut Partial) -> Result<(), RegistryError> {
        let starts_here = answer.status() == StatusCode::PARTIAL_CONTENT
            && answer
                .headers()
                .get(CONTENT_RANGE)
                .and_then(|value| range_start(value.to_str().ok()?))
                .is_some_and(|start| start == partial.length);
        if starts_here || partial.length == 0 && answer.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(());
        }
        if answer.status() == StatusCode::PARTIAL_CONTENT {
            let what = "another range than asked for".to_owned();
            let (host, status) = (self.host().to_owned(), answer.status().as_u16());
            return Err(RegistryError::Status { host, status, what });
        }
        partial.restart().map_err(RegistryError::Store)
    }

    async fn receive(
        &self,
        mut answer: Response,
        blob: &Descriptor,
        partial: &mut Partial,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Ended, RegistryError> {
        loop {
            let chunk = match answer.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(Ended::Whole),
                Err(error) => return Ok(Ended::Broken(error)),
            };
            if partial.length + chunk.len() as u64 > blob.size {
                let (host, what) = (self.host().to_owned(), blob_path(&blob.digest));
                return Err(RegistryError::TooLarge {
                    host,
                    what,
                    limit: blob.size,
                });
            }
            partial.push(&chunk).map_err(RegistryError::Store)?;
            progress(partial.length);
        }
    }

    fn short(&self, ended: Ended, path: &str) -> RegistryError {
        let host = self.host().to_owned();
        match ended {
            Ended::Broken(source) => RegistryError::Transport { host, source },
            Ended::Whole => RegistryError::Status {
                host,
                status: 200,
                what: format!("{path}, cut short"),
            },
        }
    }
}

/// Path of a blob below the repository.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/{digest}")
}

/// The first byte of `bytes 5-9/10`.
fn range_start(value: &str) -> Option<u64> {
    value.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_where_a_range_starts() {
        for (value, start) in [
            ("bytes 5-9/10", Some(5)),
            ("bytes 0-0/*", Some(0)),
            ("bytes */10", None),
            ("5-9", None),
        ] {
            assert_eq!(range_start(value), start, "{value}");
        }
    }
}
