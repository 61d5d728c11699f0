//! Asking until there is an answer, and handing it on.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use keelson_image_layout::metadata::{Answer, Message, Outcome};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use crate::client::{Client, ENDPOINTS, Limits};
use crate::ec2;
use crate::failure::{Failure, pause};

/// How long to try.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Bounds of one request.
    pub limits: Limits,
    /// Time until a failure is reported; asking goes on behind it.
    pub budget: Duration,
    /// Pause between attempts after that.
    pub slow: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            budget: Duration::from_secs(30),
            slow: Duration::from_secs(10),
        }
    }
}

/// Asks the endpoints in turn until one answers everything. Says to `socket` that it fails when the budget is used up,
/// or at once if only a person can help; and in the end what was found.
///
/// # Errors
/// The socket does not take the answer.
pub async fn until_found(endpoints: &[SocketAddr], patience: &Patience, socket: &Path) -> anyhow::Result<()> {
    let clients: Vec<(SocketAddr, Client)> = endpoints
        .iter()
        .map(|endpoint| Ok((*endpoint, Client::new(*endpoint, patience.limits)?)))
        .collect::<anyhow::Result<_>>()?;
    let begun = Instant::now();
    let mut attempts = 0;
    let mut last = Failed::nowhere();
    let mut reported: Option<Failure> = None;
    loop {
        attempts += 1;
        let round = one_round(&clients);
        let answered = match reported {
            Some(_) => Ok(round.await),
            None => tokio::time::timeout_at((begun + patience.budget).into(), round).await,
        };
        let message = |endpoint: SocketAddr, outcome| Message {
            format: 1,
            endpoint: endpoint.ip().to_string(),
            attempts,
            took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            outcome,
        };
        match answered {
            Ok(Ok((endpoint, answer))) => {
                log::info!(endpoint:%, attempts; "the metadata service has answered");
                send(socket, &message(endpoint, Outcome::Found(answer))).await?;
                return Ok(());
            }
            Ok(Err(failed)) => last = failed,
            // What went wrong before is more than that the time is up.
            Err(_) => {}
        }
        let Failed { endpoint, failure } = &last;
        log::debug!(endpoint:%, attempts; "the metadata service does not answer: {failure}");
        let over = begun.elapsed() >= patience.budget || !failure.may_pass();
        if over && reported.as_ref() != Some(failure) {
            log::warn!(endpoint:%, attempts; "the metadata service does not answer: {failure}");
            let problem = failure.to_string();
            send(socket, &message(*endpoint, Outcome::Failing { problem })).await?;
            reported = Some(failure.clone());
        }
        let left = (begun + patience.budget).saturating_duration_since(Instant::now());
        let wait = match reported {
            Some(_) => patience.slow,
            None => pause(failure, attempts, jitter()).min(left),
        };
        tokio::time::sleep(wait).await;
    }
}

/// Why nobody answered.
struct Failed {
    endpoint: SocketAddr,
    failure: Failure,
}

impl Failed {
    /// Before the first attempt has ended.
    fn nowhere() -> Self {
        Self {
            endpoint: ENDPOINTS[0],
            failure: Failure::Silent {
                path: "/latest".to_owned(),
            },
        }
    }
}

/// One attempt at each endpoint until one answers; of failures the first that says more than that there is no way.
async fn one_round(clients: &[(SocketAddr, Client)]) -> Result<(SocketAddr, Answer), Failed> {
    let mut first: Option<Failed> = None;
    for (endpoint, client) in clients {
        let failure = match ec2::fetch(client).await {
            Ok(answer) => return Ok((*endpoint, answer)),
            Err(failure) => failure,
        };
        let says_more = failure != Failure::NoRoute;
        if first
            .as_ref()
            .is_none_or(|known| known.failure == Failure::NoRoute && says_more)
        {
            let endpoint = *endpoint;
            first = Some(Failed { endpoint, failure });
        }
    }
    Err(first.unwrap_or_else(Failed::nowhere))
}

async fn send(socket: &Path, message: &Message) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(&bytes).await?;
    stream.shutdown().await
}

fn jitter() -> u8 {
    let mut byte = [0];
    let _ = rustix::rand::getrandom(&mut byte, rustix::rand::GetRandomFlags::empty());
    let [byte] = byte;
    byte
}
