//! Asking PID 1.

use std::time::Duration;

use anyhow::{Context as _, bail};
use keelson_image_layout::paths;
use keelson_manager_api::{Client, Refusal, Reply, Request, UnitStatus};

use super::Machine;

/// PID 1 answers a question at once; what takes longer is broken.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// A request that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why, for programs.
    pub refusal: Refusal,
    /// Why, for people.
    pub message: String,
}

impl Machine {
    /// Every unit, by name.
    ///
    /// # Errors
    /// PID 1 cannot be asked, or does not answer this caller.
    pub fn units(&self) -> anyhow::Result<Vec<UnitStatus>> {
        match self.ask(Request::List, ANSWERS_WITHIN)? {
            Ok(Reply::Units { units }) => Ok(units),
            Ok(_) => bail!("PID 1 gave an answer to another question"),
            Err(refused) => bail!("PID 1 refuses: {}", refused.message),
        }
    }

    /// One request and its answer.
    ///
    /// # Errors
    /// PID 1 cannot be asked, or does not answer `within` this time.
    pub fn ask(&self, request: Request, within: Duration) -> anyhow::Result<Result<Reply, Refused>> {
        let mut client =
            Client::connect(&self.path(paths::CONTROL)).context("ask PID 1: is this a Keelson machine?")?;
        client.set_timeout(Some(within)).context("ask PID 1")?;
        Ok(match client.request(request).context("ask PID 1")? {
            Reply::Refused { refusal, message } => Err(Refused { refusal, message }),
            reply => Ok(reply),
        })
    }
}
