//! Answering on the socket: who may ask, one line at a time, and a stream of changes for who watches.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use keelson_peer::Peer;
use keelson_update_api::{LINE_MOST, Refusal, Reply, Request, State, Status};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};

/// The socket's name in the unit.
const SOCKET: &str = "update";
/// Connections at once; more wait.
const MOST: usize = 32;
/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who watches is told no oftener.
const PAUSE: Duration = Duration::from_millis(250);

/// A request that changes something, and where its answer goes.
pub type Asked = (Request, oneshot::Sender<Reply>);

/// The socket that PID 1 passed.
///
/// # Errors
/// There is none.
pub fn listener() -> Result<UnixListener> {
    let sockets = keelson_daemon::passed_fds::take();
    let socket = sockets.into_iter().find(|(name, _)| name == SOCKET);
    let (_, socket) = socket.context("PID 1 passed no socket named update")?;
    of_descriptor(socket).context("listen")
}

fn of_descriptor(socket: OwnedFd) -> io::Result<UnixListener> {
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Answers until the agent ends.
pub async fn serve(listener: UnixListener, agent: mpsc::Sender<Asked>, status: watch::Receiver<Status>) {
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(MOST));
    loop {
        let Ok(place) = std::sync::Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                log::warn!(error:%; "cannot accept");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (agent, status) = (agent.clone(), status.clone());
        tokio::spawn(async move {
            if let Err(error) = answer(client, agent, status).await {
                log::debug!(error:%; "client went away");
            }
            drop(place);
        });
    }
}

async fn answer(client: UnixStream, agent: mpsc::Sender<Asked>, mut status: watch::Receiver<Status>) -> io::Result<()> {
    let may = Peer::of(&client).is_ok_and(|peer| !peer.is_in_container());
    let (reading, mut writing) = client.into_split();
    let mut reading = BufReader::new(reading);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reading).take(LINE_MOST as u64);
        let read = tokio::time::timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await;
        if read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? == 0 {
            return Ok(());
        }
        let request = match serde_json::from_slice(&line) {
            Ok(request) if may => request,
            Ok(_) => return say(&mut writing, &not_allowed()).await,
            Err(error) => {
                return say(
                    &mut writing,
                    &refused(Refusal::Malformed, format!("not understood: {error}")),
                )
                .await;
            }
        };
        match request {
            Request::Watch => return follow(&mut reading, &mut writing, &mut status).await,
            Request::Status => say(&mut writing, &of_status(&mut status)).await?,
            request => say(&mut writing, &ask(&agent, request).await).await?,
        }
    }
}

async fn ask(agent: &mpsc::Sender<Asked>, request: Request) -> Reply {
    let (answer, answered) = oneshot::channel();
    let sent = agent.send((request, answer)).await.is_ok();
    match answered.await {
        Ok(reply) if sent => reply,
        _ => refused(Refusal::Failed, "the agent ends".to_owned()),
    }
}

/// Until the client has gone, or sends anything more.
async fn follow(
    reading: &mut (impl AsyncReadExt + Unpin),
    writing: &mut (impl AsyncWriteExt + Unpin),
    status: &mut watch::Receiver<Status>,
) -> io::Result<()> {
    loop {
        let told = of_status(status);
        say(writing, &told).await?;
        // Not oftener; but that the machine goes down is told at once, for there is no later.
        let goes_down = status.wait_for(|status| status.state == State::Rebooting);
        let _ = tokio::time::timeout(PAUSE, goes_down).await;
        if of_status(status) != told {
            continue;
        }
        let mut more = [0];
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return Ok(()) },
            _ = reading.read(&mut more) => return Ok(()),
        }
    }
}

fn of_status(status: &mut watch::Receiver<Status>) -> Reply {
    let status = Box::new(status.borrow_and_update().clone());
    Reply::Status { status }
}

fn not_allowed() -> Reply {
    let message = "the caller runs in a container, or has ended";
    refused(Refusal::NotAllowed, message.to_owned())
}

/// A refusal.
#[must_use]
pub const fn refused(refusal: Refusal, message: String) -> Reply {
    Reply::Refused { refusal, message }
}

async fn say(client: &mut (impl AsyncWriteExt + Unpin), reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    let said = tokio::time::timeout(PATIENCE, client.write_all(&line)).await;
    said.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
