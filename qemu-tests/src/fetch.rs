//! A page of a guest, over a forwarded port.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long one request may take.
const REQUEST_PATIENCE: Duration = Duration::from_secs(60);

/// Fetches once; the body of a 200 answer.
///
/// # Errors
/// No answer, or another status, with what was said.
pub fn get(port: u16, target: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(REQUEST_PATIENCE))?;
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer of the form of HTTP")?;
    ensure!(
        head.starts_with("HTTP/1.1 200"),
        "{target}: {}: {body}",
        head.lines().next().unwrap_or_default()
    );
    Ok(body.to_owned())
}

/// Fetches until there is an answer.
///
/// # Errors
/// The last failure, when the time is up.
pub fn get_within(port: u16, target: &str, patience: Duration) -> Result<String> {
    let deadline = Instant::now() + patience;
    loop {
        match get(port, target) {
            Ok(body) => return Ok(body),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("{target} within {} s", patience.as_secs()));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// Repeats a question until its answer is as wanted.
///
/// # Errors
/// The time is up; with the last answer.
pub fn until<T: std::fmt::Debug>(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> Result<T>,
    wanted: impl Fn(&T) -> bool,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        let answer = ask();
        match answer {
            Ok(answer) if wanted(&answer) => return Ok(answer),
            answer if Instant::now() >= deadline => bail!("{what} did not happen; last: {answer:?}"),
            _ => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// A port of the host's loopback nobody listens on at the moment.
///
/// # Errors
/// None is left.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
