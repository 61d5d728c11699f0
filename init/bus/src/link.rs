//! The way to PID 1: what is asked goes over a connection of its own and waits outside the loop; what PID 1 tells comes
//! over another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keelson_manager_api::{Client, ClientError, Notice, Reply, Request, UnitStatus};
use tokio::sync::{Semaphore, mpsc};
use zbus::DBusError;

/// Requests under way at once. Each takes a thread.
const MOST_REQUESTS: usize = 6;
/// A start may take as long as the unit's file allows; who asks may stop waiting earlier.
const LONGEST: Duration = Duration::from_secs(300);

/// What can go wrong with a request, as it goes over the bus.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.keelson.Error")]
pub enum Error {
    /// The wire.
    #[zbus(error)]
    Bus(zbus::Error),
    /// There is no such unit.
    NoSuchUnit(String),
    /// The unit did not come up, or it could not be done.
    Failed(String),
    /// A later request for the same unit took its place.
    Superseded(String),
    /// The machine is going down.
    ShuttingDown(String),
    /// Too much is being asked for at once.
    Busy(String),
    /// The program that could do it does not answer, or this one is refused.
    Unreachable(String),
}

/// Asks PID 1.
#[derive(Debug, Clone)]
pub struct Link {
    socket: PathBuf,
    places: Arc<Semaphore>,
}

impl Link {
    /// At this socket.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Link {
            socket: socket.to_owned(),
            places: Arc::new(Semaphore::new(MOST_REQUESTS)),
        }
    }

    /// Asks for something to be done, and waits until it is.
    ///
    /// # Errors
    /// It is not done.
    pub async fn order(&self, request: Request) -> Result<(), Error> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let text = format!("{MOST_REQUESTS} requests are under way; ask again when one has ended");
            return Err(Error::Busy(text));
        };
        let socket = self.socket.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut client = Client::connect(&socket)?;
            client.set_timeout(Some(LONGEST))?;
            client.request(request)
        });
        match asked.await {
            Ok(answer) => judge(answer),
            Err(error) => Err(Error::Failed(error.to_string())),
        }
    }
}

fn judge(answer: Result<Reply, ClientError>) -> Result<(), Error> {
    use keelson_manager_api::Refusal;
    match answer {
        Ok(Reply::Refused { refusal, message }) => Err(match refusal {
            Refusal::NoSuchUnit => Error::NoSuchUnit(format!("{message}; ListUnits names those there are")),
            Refusal::Superseded => Error::Superseded(message),
            Refusal::ShuttingDown => Error::ShuttingDown(message),
            Refusal::NotAllowed => Error::Unreachable(format!("the bus itself is refused: {message}")),
            _ => Error::Failed(message),
        }),
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Unreachable(format!("PID 1 does not answer: {error}"))),
    }
}

/// What PID 1 tells, from a thread of its own that ends with the connection: first all units, then every change.
///
/// # Errors
/// PID 1 does not answer.
pub fn follow(socket: &Path) -> Result<(Vec<UnitStatus>, mpsc::Receiver<Notice>), ClientError> {
    let mut client = Client::connect(socket)?;
    client.set_timeout(Some(Duration::from_secs(10)))?;
    // Changes between the two questions come as notices.
    client.request(Request::Subscribe)?;
    let units = match client.request(Request::List)? {
        Reply::Units { units } => units,
        _ => Vec::new(),
    };
    client.set_timeout(None)?;
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        while let Ok(notice) = client.next_notice() {
            if sender.blocking_send(notice).is_err() {
                break;
            }
        }
    });
    Ok((units, receiver))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keelson_manager_api::Refusal;

    #[test]
    fn refusals_have_names_and_cures() {
        let table = [
            (Refusal::NoSuchUnit, "org.keelson.Error.NoSuchUnit"),
            (Refusal::Failed, "org.keelson.Error.Failed"),
            (Refusal::Superseded, "org.keelson.Error.Superseded"),
            (Refusal::ShuttingDown, "org.keelson.Error.ShuttingDown"),
            (Refusal::NotAllowed, "org.keelson.Error.Unreachable"),
            (Refusal::Unknown, "org.keelson.Error.Failed"),
        ];
        for (refusal, name) in table {
            let message = "why not".to_owned();
            let error = judge(Ok(Reply::Refused { refusal, message })).unwrap_err();
            assert_eq!(error.name(), name);
            assert!(error.description().unwrap().contains("why not"));
        }
        assert!(judge(Ok(Reply::Done)).is_ok());
        assert_eq!(
            judge(Err(ClientError::Closed)).unwrap_err().name(),
            "org.keelson.Error.Unreachable"
        );
    }
}
