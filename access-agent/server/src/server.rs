//! The listening side: lets connections in, gives up on those that do not log in, and settles with the doorkeeper.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use russh::server::{Config, run_stream};
use rustix::net::{Shutdown, shutdown};
use tokio::net::{TcpListener, TcpStream};

use crate::accounts::Accounts;
use crate::doorkeeper::{Doorkeeper, Ending, Limits, Turned};
use crate::login::Login;
use crate::running::Running;
use crate::session::{Connection, SessionError};

/// How long the system may be out of descriptors before a connection is tried again.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(200);
/// Longest reason that is logged, in characters: some carry what the client sent.
const LONGEST_REASON: usize = 400;

/// What sessions lead to.
#[derive(Debug, Clone)]
pub struct Places {
    /// The operator's program.
    pub program: PathBuf,
    /// The engine's socket.
    pub engine: PathBuf,
    /// The programs that run.
    pub running: Running,
}

/// How a server behaves.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// The protocol's settings.
    pub protocol: Arc<Config>,
    /// Who may log in.
    pub accounts: Arc<Accounts>,
    /// What sessions lead to.
    pub places: Places,
    /// Bounds.
    pub limits: Limits,
    /// How long logging in may take.
    pub grace: Duration,
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    behaviour: Behaviour,
    door: Mutex<Doorkeeper>,
}

impl Server {
    /// Nobody is connected.
    #[must_use]
    pub fn new(behaviour: Behaviour) -> Arc<Self> {
        let door = Mutex::new(Doorkeeper::new(behaviour.limits));
        Arc::new(Self { behaviour, door })
    }

    fn door(&self) -> MutexGuard<'_, Doorkeeper> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves for ever.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((socket, from)) => self.clone().admit(socket, from),
                Err(error) => {
                    log::warn!(error:%; "a connection was not accepted");
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                }
            }
        }
    }

    fn admit(self: Arc<Self>, socket: TcpStream, from: SocketAddr) {
        let address = from.ip().to_canonical();
        match self.door().arrive(Instant::now(), address) {
            Ok(()) => {}
            Err(turned) => return report_turned(address, turned),
        }
        tokio::spawn(async move {
            let login = Arc::new(Login::default());
            let ending = self.attend(socket, address, &login).await;
            self.door().leave(Instant::now(), address, ending);
        });
    }

    /// From the first byte to the last.
    async fn attend(&self, socket: TcpStream, address: IpAddr, login: &Arc<Login>) -> Ending {
        let Ok(handle) = socket.as_fd().try_clone_to_owned() else {
            return Ending::Silent;
        };
        let _ = socket.set_nodelay(true);
        let session = self.session(socket, address, login);
        tokio::pin!(session);
        let outcome = tokio::select! {
            outcome = &mut session => outcome,
            () = self.lose_patience(address, login) => return give_up(&handle, address),
        };
        settle(address, login, &outcome)
    }

    async fn session(&self, socket: TcpStream, address: IpAddr, login: &Arc<Login>) -> Result<(), SessionError> {
        let Behaviour {
            protocol,
            accounts,
            places,
            ..
        } = self.behaviour.clone();
        let connection = Connection::new(address, accounts, places, login.clone());
        run_stream(protocol, socket, connection).await?.await
    }

    /// Ends when the time to log in has passed, and never once somebody has.
    async fn lose_patience(&self, address: IpAddr, login: &Login) {
        if tokio::time::timeout(self.behaviour.grace, login.wait()).await.is_ok() {
            self.door().welcome(address);
            std::future::pending::<()>().await;
        }
    }
}

/// The protocol's task has no handle to stop it by; without its connection it ends.
fn give_up(handle: &OwnedFd, address: IpAddr) -> Ending {
    log::warn!(address:%, reason = "nobody logged in in time"; "connection closed");
    let _ = shutdown(handle, Shutdown::Both);
    Ending::Late
}

fn report_turned(address: IpAddr, turned: Turned) {
    match turned {
        Turned::Waiting { first: false, .. } => {}
        Turned::Waiting { left, first: true } => {
            let seconds = left.as_secs();
            log::warn!(address:%, seconds, reason = "too many failures"; "connections are refused for a while");
        }
        Turned::TooManyStrangers => {
            log::warn!(address:%, reason = "too many that are not logged in"; "connection refused");
        }
        Turned::Full => log::warn!(address:%, reason = "too many connections"; "connection refused"),
    }
}

/// How a connection that is over counts; logs what went wrong before anybody was logged in.
fn settle(address: IpAddr, login: &Login, outcome: &Result<(), SessionError>) -> Ending {
    if login.is_welcome() {
        match outcome {
            Err(SessionError::CreditIgnored) => log::warn!(address:%, reason = "credit ignored"; "connection closed"),
            outcome => log::debug!(address:%, outcome:?; "connection over"),
        }
        return Ending::Welcome;
    }
    if let Some(user) = login.left_without_offer() {
        let reason = "no key was offered that could be accepted, and passwords are not";
        log::warn!(user = user, address:%, reason = reason; "login refused");
    }
    match outcome {
        Err(error) if !is_plain_end(error) => {
            let reason: String = error.to_string().chars().take(LONGEST_REASON).collect();
            log::warn!(address:%, reason = reason.as_str(); "connection refused");
            // Nothing was guessed by that: ssh-keyscan asks for algorithms that are not here.
            if login.was_refused() {
                Ending::Refused
            } else {
                Ending::Silent
            }
        }
        _ if login.was_refused() => Ending::Refused,
        _ => Ending::Silent,
    }
}

/// Whether the other side just went away.
fn is_plain_end(error: &SessionError) -> bool {
    const ENDS: [io::ErrorKind; 3] = [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe,
    ];
    match error {
        SessionError::Protocol(russh::Error::IO(error)) => ENDS.contains(&error.kind()),
        SessionError::Protocol(russh::Error::Disconnect | russh::Error::HUP) => true,
        _ => false,
    }
}
