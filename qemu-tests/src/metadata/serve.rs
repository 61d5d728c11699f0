//! The mock on a socket, or on standard input and output for one connection of QEMU's.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::wire::{Request, Response};
use super::{Fault, Instance, Misbehaviour};

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Method.
    pub method: String,
    /// Path.
    pub path: String,
}

/// What all connections share.
#[derive(Debug, Default)]
struct Shared {
    instance: Mutex<Instance>,
    faults: Mutex<Vec<Fault>>,
    asked: Mutex<Vec<Asked>>,
    over: AtomicBool,
}

/// A running mock; it ends with the value.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken.
    pub fn start(address: SocketAddr, instance: Instance, faults: Vec<Fault>) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let hop_limit = instance.hop_limit;
        let shared = Arc::new(Shared {
            instance: Mutex::new(instance),
            faults: Mutex::new(faults),
            ..Shared::default()
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_thread.over.load(Ordering::SeqCst) {
                    return;
                }
                if let Some(hops) = hop_limit {
                    let _ = stream.set_ttl(hops);
                }
                let shared = Arc::clone(&of_thread);
                thread::spawn(move || shared.converse(&mut &stream, &mut &stream));
            }
        });
        Ok(Server { address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        locked(&self.shared.asked).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(100));
    }
}

/// One connection on standard input and output.
pub fn serve_stdio(instance: Instance, faults: Vec<Fault>) {
    let shared = Shared {
        instance: Mutex::new(instance),
        faults: Mutex::new(faults),
        ..Shared::default()
    };
    shared.converse(&mut io::stdin().lock(), &mut io::stdout().lock());
}

impl Shared {
    /// Answers until either side has enough.
    fn converse(&self, input: &mut impl Read, output: &mut impl Write) {
        while let Ok(Some(request)) = Request::read(input) {
            let asked = Asked {
                method: request.method.clone(),
                path: request.path.clone(),
            };
            locked(&self.asked).push(asked);
            let response = locked(&self.instance).answer(&request);
            let done = match self.fault_for(&request.path) {
                None => response.write(output).is_ok(),
                Some(Misbehaviour::Replaced(instance)) => {
                    *locked(&self.instance) = *instance;
                    Response::status(503, "Fault").write(output).is_ok()
                }
                Some(what) => misbehave(&what, &response, output).unwrap_or(false),
            };
            if !done {
                return;
            }
        }
    }

    fn fault_for(&self, path: &str) -> Option<Misbehaviour> {
        let mut faults = locked(&self.faults);
        let fault = faults
            .iter_mut()
            .find(|fault| fault.times > 0 && path.starts_with(fault.path))?;
        fault.times -= 1;
        Some(fault.what.clone())
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the connection goes on.
fn misbehave(what: &Misbehaviour, response: &Response, output: &mut impl Write) -> io::Result<bool> {
    /// Longer than any client of ours waits.
    const LONG: Duration = Duration::from_secs(60);
    match what {
        Misbehaviour::Hang => thread::sleep(LONG),
        Misbehaviour::HangAfterHead => {
            output.write_all(&response.head(response.body.len()))?;
            output.flush()?;
            thread::sleep(LONG);
        }
        Misbehaviour::Trickle(pause) => {
            for byte in [response.head(response.body.len()), response.body.clone()].concat() {
                output.write_all(&[byte])?;
                output.flush()?;
                thread::sleep(*pause);
            }
        }
        Misbehaviour::Status(code) => return Response::status(*code, "Fault").write(output).map(|()| true),
        Misbehaviour::Late(pause) => {
            thread::sleep(*pause);
            return response.write(output).map(|()| true);
        }
        Misbehaviour::Truncate => {
            output.write_all(&response.head(response.body.len()))?;
            output.write_all(response.body.get(..response.body.len() / 2).unwrap_or_default())?;
        }
        Misbehaviour::TooLongLength => {
            output.write_all(&response.head(response.body.len() + 10))?;
            output.write_all(&response.body)?;
            output.flush()?;
            thread::sleep(LONG);
        }
        Misbehaviour::Redirect(place) => {
            let response = Response {
                location: Some(place.clone()),
                ..Response::status(302, "Found")
            };
            return response.write(output).map(|()| true);
        }
        Misbehaviour::Garbage => output.write_all(b"\x16\x03\x01 no http at all\n\n")?,
        Misbehaviour::Body(bytes) => return Response::ok(bytes.clone()).write(output).map(|()| true),
        // The one that changes what is served is not of the connection.
        Misbehaviour::Close | Misbehaviour::Replaced(_) => {}
    }
    Ok(false)
}
