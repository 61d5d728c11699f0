//! A folder over HTTP on this host, for tests and for trying things out: one thread a connection, single ranges, a record of
//! what was asked for, and faults on demand. Not for the outside world.

mod fault;
mod request;
mod response;

use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use fault::{Fault, Kind};
use request::Request;

/// A connection on which nobody asks for anything is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that lives as long as the process; [`Server::stop`] ends it sooner.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What all connections see.
#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    faults: Mutex<Vec<Fault>>,
    record: Mutex<Vec<Served>>,
    stopped: std::sync::atomic::AtomicBool,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Path asked for, with its slash.
    pub path: String,
    /// First byte asked for, 0 for all.
    pub start: u64,
    /// Status of the answer.
    pub status: u16,
    /// Bytes of the body that were handed to the network.
    pub bytes: u64,
}

impl Server {
    /// Serves `folder` on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken.
    pub fn start(folder: &Path, address: SocketAddr, faults: Vec<Fault>) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            faults: Mutex::new(faults),
            record: Mutex::new(Vec::new()),
            stopped: false.into(),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &own));
        Ok(Server { address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Other faults from the next request on.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        *self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// What was served so far.
    #[must_use]
    pub fn record(&self) -> Vec<Served> {
        self.shared
            .record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes no further connection.
    pub fn stop(&self) {
        self.shared.stopped.store(true, std::sync::atomic::Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes the one that waits
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        if shared.stopped.load(std::sync::atomic::Ordering::SeqCst) {
            return;
        }
        if let Ok(connection) = connection {
            let shared = Arc::clone(shared);
            // A client that goes away ends its thread with an error nobody needs.
            std::thread::spawn(move || drop(converse(&connection, &shared)));
        }
    }
}

fn converse(connection: &TcpStream, shared: &Shared) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection);
    while let Some(request) = Request::read(&mut reader)? {
        let faults = shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kind = fault::choose(&faults, &request.path);
        let served = response::answer(connection, &shared.folder, &request, kind)?;
        let goes_on = served.1;
        shared
            .record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(served.0);
        if !goes_on {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "server_test.rs"]
mod tests;
