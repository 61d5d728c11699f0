//! One exchange with a time server.

use super::clock;
use super::packet::{self, NtpError, Sample};
use crate::random::kernel_bytes;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

const PORT: u16 = 123;
const PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no sample.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Nothing came in time.
    #[error("no answer")]
    Silent,
    /// The socket failed.
    #[error("cannot be reached")]
    Io(#[from] io::Error),
    /// What came is not used.
    #[error(transparent)]
    Refused(#[from] NtpError),
}

/// Asks the server once.
///
/// # Errors
/// [`QueryError`].
pub async fn ask(server: IpAddr) -> Result<Sample, QueryError> {
    let any: IpAddr = match server {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(SocketAddr::new(server, PORT)).await?;
    tokio::time::timeout(PATIENCE, exchange(&socket))
        .await
        .map_err(|_| QueryError::Silent)?
}

async fn exchange(socket: &UdpSocket) -> Result<Sample, QueryError> {
    let cookie = u64::from_ne_bytes(kernel_bytes());
    let (sent, since) = (clock::now(), Instant::now());
    socket.send(&packet::request(cookie)).await?;
    let mut buffer = [0; 512];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // The steady clock measures the way there and back, whatever happens to the other meanwhile.
        let received = sent + since.elapsed();
        match packet::judge(buffer.get(..length).unwrap_or_default(), cookie, sent, received) {
            Err(NtpError::Foreign | NtpError::Unasked) => {}
            judged => return Ok(judged?),
        }
    }
}
