//! Connections: accepted, told apart, read and written. What a message means is decided elsewhere.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use zbus::Message;
use zbus::connection::socket::channel::{Reader, Writer};
use zbus::connection::socket::{ReadHalf, Socket, WriteHalf};

use crate::access::Caller;
use crate::handshake::{self, Handshake};
use crate::router::{ClientId, Effect, MOST_CLIENTS, Router};
use crate::wire::Wire;

/// How long a client may take to say who it is.
const GREETING: Duration = Duration::from_secs(10);
/// Most bytes that wait for a client; one that reads too slowly is left.
const MOST_WAITING: usize = 256 << 10;
/// Calls on their way to our objects.
const MOST_CALLS: usize = 128;
/// Connections, those that have not said who they are included.
const MOST_CONNECTIONS: usize = MOST_CLIENTS + 16;

/// Tells who connected.
pub type Identify = Box<dyn Fn(&UnixStream) -> Option<Caller> + Send + Sync>;

/// The broker.
pub struct Server {
    identify: Identify,
    router: Arc<Mutex<Router>>,
    guid: String,
    clients: Mutex<HashMap<ClientId, Outbox>>,
    calls: mpsc::Sender<Message>,
    connections: AtomicUsize,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("router", &self.router)
            .finish_non_exhaustive()
    }
}

/// What waits for a client.
#[derive(Debug, Clone)]
struct Outbox {
    messages: mpsc::UnboundedSender<Message>,
    waiting: Arc<AtomicUsize>,
    end: Arc<Notify>,
}

impl Server {
    /// A broker that passes calls on to `objects`, the other end of their channel.
    pub fn start(
        identify: Identify,
        router: Arc<Mutex<Router>>,
        guid: &str,
        objects: zbus::connection::socket::Channel,
    ) -> Arc<Self> {
        let (calls, queue) = mpsc::channel(MOST_CALLS);
        let server = Arc::new(Server {
            identify,
            router,
            guid: guid.to_owned(),
            clients: Mutex::default(),
            calls,
            connections: AtomicUsize::new(0),
        });
        let (reader, writer) = objects.split().take();
        tokio::spawn(pass_calls(queue, writer));
        tokio::spawn(server.clone().pass_answers(reader));
        server
    }

    /// Serves until nobody was there for `idle`. Who connects after that waits at the socket, which is not this
    /// program's.
    ///
    /// # Errors
    /// The socket cannot be listened to.
    pub async fn run(self: &Arc<Self>, listener: OwnedFd, idle: Duration) -> io::Result<()> {
        let listener = std::os::unix::net::UnixListener::from(listener);
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let mut seen = Instant::now();
        loop {
            if self.connections.load(Ordering::Relaxed) > 0 {
                seen = Instant::now();
            }
            match timeout(idle.min(Duration::from_secs(5)), listener.accept()).await {
                Ok(Ok((stream, _))) => self.accept(stream),
                Ok(Err(error)) => {
                    // Out of descriptors, for one: the client waits at the socket.
                    log::warn!("cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(_) if seen.elapsed() >= idle => return Ok(()),
                Err(_) => {}
            }
        }
    }

    fn accept(self: &Arc<Self>, stream: UnixStream) {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            log::warn!("a client is turned away: there are {MOST_CONNECTIONS} connections");
            return;
        }
        let server = self.clone();
        tokio::spawn(async move {
            let caller = (server.identify)(&stream);
            if caller.is_none() {
                log::warn!("a caller without a grant is refused");
            }
            if let Err(error) = server.serve(stream, caller).await {
                log::debug!("a connection ended: {error}");
            }
            server.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn serve(&self, mut stream: UnixStream, caller: Option<Caller>) -> zbus::Result<()> {
        let early = timeout(GREETING, greet(&mut stream, &self.guid, caller.is_some()));
        let early = early.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let Some(caller) = caller else { return Ok(()) };
        let place = caller.place.clone();
        let id = match self.router().add(caller) {
            Ok(id) => id,
            Err(error) => {
                log::warn!("{place} is turned away: {error}");
                return Ok(());
            }
        };
        let (read, write) = stream.into_split();
        let (messages, queue) = mpsc::unbounded_channel();
        let outbox = Outbox {
            messages,
            waiting: Arc::default(),
            end: Arc::default(),
        };
        self.clients().insert(id, outbox.clone());
        let mut writer = tokio::spawn(write_out(queue, outbox.waiting.clone(), write));
        let ended = tokio::select! {
            ended = self.read(id, Wire::new(read, early)) => ended,
            () = outbox.end.notified() => Ok(()),
        };
        self.router().remove(id);
        self.clients().remove(&id);
        // Nothing more comes; what waits may still be written.
        drop(outbox);
        if timeout(Duration::from_secs(1), &mut writer).await.is_err() {
            writer.abort();
        }
        ended
    }

    async fn read(&self, id: ClientId, mut wire: Wire<OwnedReadHalf>) -> zbus::Result<()> {
        let greeting = Instant::now() + GREETING;
        loop {
            let message = wire.next();
            let greeted = self.router().client(id).is_some_and(|client| client.greeted);
            let message = if greeted {
                message.await?
            } else {
                let late = |_| io::Error::from(io::ErrorKind::TimedOut);
                tokio::time::timeout_at(greeting, message).await.map_err(late)??
            };
            self.take(|router| router.from_client(id, &message));
            // A client that never stops talking does not stop the others.
            tokio::task::yield_now().await;
        }
    }

    async fn pass_answers(self: Arc<Self>, mut reader: Reader) {
        loop {
            let message = reader.receive_message(0, &mut Vec::new(), &mut Vec::new()).await;
            let Ok(message) = message else { return };
            self.take(|router| router.from_service(&message));
        }
    }

    /// Performs under the router's lock, so that everybody sees one order.
    fn take(&self, message: impl FnOnce(&mut Router) -> Vec<Effect>) {
        let mut router = self.router();
        let effects = message(&mut router);
        self.perform(effects);
    }

    fn perform(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(id, message) => self.send(id, message),
                Effect::Close(id) => self.end(id),
                Effect::Call(message) => {
                    if self.calls.try_send(message).is_err() {
                        log::warn!("too many calls at once; one is lost");
                    }
                }
            }
        }
    }

    fn send(&self, id: ClientId, message: Message) {
        let Some(outbox) = self.clients().get(&id).cloned() else {
            return;
        };
        let bytes = message.data().len();
        if outbox.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes > MOST_WAITING {
            log::warn!("a client is left: it does not read");
            self.end(id);
        } else {
            // A writer that is gone has ended the connection.
            let _ = outbox.messages.send(message);
        }
    }

    fn end(&self, id: ClientId) {
        if let Some(outbox) = self.clients().remove(&id) {
            outbox.end.notify_one();
        }
    }

    fn router(&self) -> MutexGuard<'_, Router> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<ClientId, Outbox>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Talks until messages begin; gives what was read of them already.
async fn greet(stream: &mut UnixStream, guid: &str, admitted: bool) -> io::Result<Vec<u8>> {
    let mut handshake = Handshake::new(guid, admitted);
    let mut input = Vec::new();
    while !handshake.is_done() {
        let mut piece = [0; handshake::MOST];
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        input.extend_from_slice(piece.get(..length).unwrap_or_default());
        let answer = handshake.take(&mut input).map_err(io::Error::other)?;
        stream.write_all(&answer).await?;
    }
    Ok(input)
}

async fn write_out(mut queue: mpsc::UnboundedReceiver<Message>, waiting: Arc<AtomicUsize>, mut write: OwnedWriteHalf) {
    while let Some(message) = queue.recv().await {
        if write.write_all(message.data()).await.is_err() {
            return;
        }
        waiting.fetch_sub(message.data().len(), Ordering::Relaxed);
    }
}

async fn pass_calls(mut queue: mpsc::Receiver<Message>, mut writer: Writer) {
    while let Some(message) = queue.recv().await {
        if writer.send_message(&message).await.is_err() {
            return;
        }
    }
}
