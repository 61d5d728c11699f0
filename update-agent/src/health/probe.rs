//! Carrying out an operator's probe. Every wait is bounded by the probe's own time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use keelson_engine_client::{Answer, ask, parse_status};
use keelson_machine_config::value::ProbeUrl;
use serde::Deserialize;

/// Longest first line of an answer.
const MOST_BYTES: usize = 1024;
/// Time between two looks at a program that was started in a container.
const EXEC_POLL: Duration = Duration::from_millis(100);

/// Whether somebody takes a connection.
///
/// # Errors
/// Nobody does in time.
pub fn tcp(address: SocketAddr, within: Duration) -> Result<()> {
    connect(address, within).map(drop)
}

fn connect(address: SocketAddr, within: Duration) -> Result<TcpStream> {
    TcpStream::connect_timeout(&address, within).with_context(|| format!("{address} takes no connection"))
}

/// Whether a GET is answered with a status from 200 to 399.
///
/// # Errors
/// It is not, in time.
pub fn http(url: &ProbeUrl, within: Duration) -> Result<()> {
    let end = Instant::now() + within;
    let mut stream = connect(url.address, within)?;
    stream.set_write_timeout(Some(within))?;
    let question = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: keelson\r\nConnection: close\r\n\r\n",
        url.path, url.address
    );
    stream
        .write_all(question.as_bytes())
        .with_context(|| format!("ask {url}"))?;
    let line = first_line(&mut stream, end).with_context(|| format!("read the answer of {url}"))?;
    let status = parse_status(&line).with_context(|| format!("{url} does not answer by HTTP"))?;
    ensure!((200..400).contains(&status), "{url} answers with status {status}");
    Ok(())
}

/// Bytes up to the end of the first line, or as many as one may have.
fn first_line(stream: &mut TcpStream, end: Instant) -> io::Result<Vec<u8>> {
    let (mut line, mut piece) = (Vec::new(), [0; 256]);
    while !line.contains(&b'\n') && line.len() < MOST_BYTES {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => break,
            count => line.extend(piece.iter().take(count)),
        }
    }
    Ok(line)
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "Id")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Looked {
    running: bool,
    exit_code: Option<i64>,
}

/// Whether a program in a container ends with 0.
///
/// # Errors
/// It does not, in time; then it may still run.
pub fn exec(engine: &Path, container: &str, command: &[String], within: Duration) -> Result<()> {
    let end = Instant::now() + within;
    let wanted = serde_json::json!({ "Cmd": command }).to_string();
    let created: Created = post(engine, &format!("/v1.44/containers/{container}/exec"), &wanted, within)
        .and_then(|answer| serde_json::from_slice(&answer.body).context("understand the container engine"))?;
    post(
        engine,
        &format!("/v1.44/exec/{}/start", created.id),
        "{\"Detach\":true}",
        within,
    )?;
    loop {
        let answer = ask(engine, "GET", &format!("/v1.44/exec/{}/json", created.id), None, within)?;
        let looked: Looked = serde_json::from_slice(&answer.body).context("understand the container engine")?;
        match looked.exit_code {
            Some(0) => return Ok(()),
            Some(code) => bail!("it ended with {code}"),
            None if Instant::now() >= end && looked.running => bail!("it did not end in time"),
            None if Instant::now() >= end => bail!("it did not start in time"),
            None => std::thread::sleep(EXEC_POLL),
        }
    }
}

fn post(engine: &Path, path: &str, body: &str, within: Duration) -> Result<Answer> {
    let answer = ask(engine, "POST", path, Some(body), within)?;
    ensure!((200..300).contains(&answer.status), "{}", message(&answer));
    Ok(answer)
}

/// What the engine says when it says no.
#[must_use]
pub fn message(answer: &Answer) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let text = json.as_ref().and_then(|json| json.get("message")?.as_str());
    text.map_or_else(
        || format!("the container engine answers with status {}", answer.status),
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(10);

    /// A server that answers one connection with these bytes.
    fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(answer);
        });
        address
    }

    fn ask_http(answer: &'static [u8]) -> Result<()> {
        let url = format!("http://{}/health", server(answer)).parse().unwrap();
        http(&url, WITHIN)
    }

    #[test]
    fn statuses_from_200_to_399_are_well() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            b"HTTP/1.0 301 Moved\r\n",
            b"HTTP/1.1 204 \r\n",
        ] {
            ask_http(answer).unwrap();
        }
        let error = ask_http(b"HTTP/1.1 503 No\r\n\r\n").unwrap_err().to_string();
        assert!(error.ends_with("answers with status 503"), "{error}");
        for answer in [&b""[..], b"SSH-2.0-x\r\n", b"HTTP/1.1\r\n"] {
            assert!(
                ask_http(answer)
                    .unwrap_err()
                    .to_string()
                    .contains("does not answer by HTTP")
            );
        }
    }

    #[test]
    fn nobody_there_is_an_error_in_time() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(tcp(closed, WITHIN).is_err());
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        tcp(address, WITHIN).unwrap();
        let url = format!("http://{address}/").parse().unwrap();
        let begun = Instant::now();
        assert!(http(&url, Duration::from_millis(50)).is_err());
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
