//! Listens for queries: loopback always, gateway addresses as long as a network has them.

use super::askers::Bounds;
use super::core::{Asker, Core, Transport};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{AbortHandle, spawn_local};

/// Port of name servers.
pub const PORT: u16 = 53;
const LARGEST_QUERY: usize = 4096;
/// Queries under way at once; more are not taken until some are answered.
const MOST_QUERIES: usize = 512;
/// Of those, of one container.
const MOST_QUERIES_EACH: usize = 64;
const MOST_CONNECTIONS: usize = 64;
const MOST_CONNECTIONS_EACH: usize = 16;
const BACKLOG: i32 = 64;
/// A connection that is silent for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
/// An address that could not be bound is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// Where the resolver listens, and within which limits.
#[derive(Debug)]
pub struct Server {
    core: Rc<Core>,
    port: u16,
    queries: Rc<Bounds>,
    connections: Rc<Bounds>,
    listeners: HashMap<IpAddr, Listener>,
}

#[derive(Debug)]
struct Listener([AbortHandle; 2]);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl Server {
    /// Listens on loopback.
    ///
    /// # Errors
    /// The IPv4 loopback port cannot be bound. IPv6 may be missing altogether.
    pub fn start(core: Rc<Core>, port: u16) -> io::Result<Self> {
        let mut server = Self {
            core,
            port,
            queries: Bounds::new(MOST_QUERIES, MOST_QUERIES_EACH),
            connections: Bounds::new(MOST_CONNECTIONS, MOST_CONNECTIONS_EACH),
            listeners: HashMap::new(),
        };
        server.listen(Ipv4Addr::LOCALHOST.into())?;
        if let Err(error) = server.listen(Ipv6Addr::LOCALHOST.into()) {
            log::info!(error:%; "no name service on the IPv6 loopback address");
        }
        Ok(server)
    }

    /// Follows the gateways. Never ends.
    pub async fn run(mut self) {
        let mut gateways = self.core.gateways();
        loop {
            let wanted = gateways.borrow_and_update().clone();
            self.listeners
                .retain(|address, _| address.is_loopback() || wanted.contains(address));
            let mut complete = true;
            for address in wanted {
                if let Err(error) = self.listen(address) {
                    log::warn!(address:%, error:%; "cannot listen for queries");
                    complete = false;
                }
            }
            let pause = async {
                match complete {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(RETRY).await,
                }
            };
            tokio::select! {
                changed = gateways.changed() => if changed.is_err() { return },
                () = pause => {}
            }
        }
    }

    fn listen(&mut self, address: IpAddr) -> io::Result<()> {
        if self.listeners.contains_key(&address) {
            return Ok(());
        }
        let at = SocketAddr::new(address, self.port);
        let datagrams = UdpSocket::from_std(open(at, SocketType::DGRAM)?.into())?;
        let streams = TcpListener::from_std(open(at, SocketType::STREAM)?.into())?;
        let (core, queries) = (Rc::clone(&self.core), Rc::clone(&self.queries));
        let one = spawn_local(serve_datagrams(core, datagrams, address, queries));
        let (core, connections) = (Rc::clone(&self.core), Rc::clone(&self.connections));
        let other = spawn_local(serve_streams(core, streams, address, connections));
        self.listeners
            .insert(address, Listener([one.abort_handle(), other.abort_handle()]));
        Ok(())
    }
}

/// Binds although the address may not be there yet: the bridge may come up after its description.
fn open(at: SocketAddr, kind: SocketType) -> io::Result<rustix::fd::OwnedFd> {
    let family = if at.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match at {
        SocketAddr::V4(_) => sockopt::set_ip_freebind(&socket, true)?,
        SocketAddr::V6(_) => sockopt::set_ipv6_freebind(&socket, true)?,
    }
    if kind == SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &at)?;
    if kind == SocketType::STREAM {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

async fn serve_datagrams(core: Rc<Core>, socket: UdpSocket, at: IpAddr, queries: Rc<Bounds>) {
    let socket = Rc::new(socket);
    let mut buffer = vec![0; LARGEST_QUERY];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An ICMP error about an earlier answer.
            Err(error) => {
                log::debug!(error:%; "datagram not received");
                continue;
            }
        };
        let Some(place) = queries.enter(from.ip()) else {
            continue;
        };
        let (core, socket) = (Rc::clone(&core), Rc::clone(&socket));
        let query = buffer.get(..length).unwrap_or_default().to_vec();
        spawn_local(async move {
            let asker = Asker { client: from.ip(), at };
            if let Some(response) = core.respond(&query, asker, Transport::Datagram).await {
                let _ = socket.send_to(&response, from).await;
            }
            drop(place);
        });
    }
}

async fn serve_streams(core: Rc<Core>, listener: TcpListener, at: IpAddr, connections: Rc<Bounds>) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                log::debug!(error:%; "connection not accepted");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let Some(place) = connections.enter(from.ip()) else {
            continue;
        };
        let core = Rc::clone(&core);
        spawn_local(async move {
            let asker = Asker { client: from.ip(), at };
            if let Err(error) = serve_stream(&core, stream, asker).await {
                log::debug!(error:%; "connection ended");
            }
            drop(place);
        });
    }
}

async fn serve_stream(core: &Rc<Core>, mut stream: TcpStream, asker: Asker) -> io::Result<()> {
    loop {
        let query = tokio::time::timeout(IDLE, read_query(&mut stream)).await??;
        let Some(response) = core.respond(&query, asker, Transport::Stream).await else {
            return Ok(());
        };
        let length = u16::try_from(response.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        let framed = [&length.to_be_bytes()[..], &response].concat();
        tokio::time::timeout(IDLE, stream.write_all(&framed)).await??;
    }
}

async fn read_query(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > LARGEST_QUERY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await?;
    Ok(query)
}
