//! Just enough HTTP/1.1 for the tests' own client: one request per connection.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// An action: path and argument to text.
pub type Answer = fn(&str, &str) -> io::Result<String>;

/// Serves until the end of the process.
pub fn serve(port: &str, answer: Answer) -> io::Result<()> {
    let port = port.parse().map_err(io::Error::other)?;
    // Both families where there are two.
    let listener = TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)))?;
    println!("probe listens on {port}");
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            let _ = handle(stream, answer);
        });
    }
    Ok(())
}

fn handle(stream: TcpStream, answer: Answer) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let target = request.split(' ').nth(1).unwrap_or("/").to_owned();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
    }
    let (path, argument) = target.split_once('?').unwrap_or((&target, ""));
    let (status, body) = match answer(path, argument) {
        Ok(body) => ("200 OK", body),
        Err(error) => ("500 Failed", format!("{error}\n")),
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
