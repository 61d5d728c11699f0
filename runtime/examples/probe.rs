//! A static program for images of tests: everything a container is asked to show.
//!
//! `run` sleeps until SIGTERM ends it; `serve PORT TEXT` answers HTTP with the text and the caller's address;
//! `fetch ADDRESS` prints what an HTTP server answers; `show` prints who and where it is; `engine PATH` asks the engine at
//! a socket; `fill PATH` writes until it is stopped; `write PATH TEXT` and `read PATH` do so; `cat` repeats its input;
//! `both` writes to both outputs and ends with 3; `flood BYTES` writes as many; `terminal` tells its terminal's size for
//! each line until `quit`.

use std::error::Error;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run"] => run(),
        ["exit", code] => std::process::exit(code.parse()?),
        ["serve", port, text] => serve(port, text),
        ["fetch", address] => say(&fetch(address)?),
        ["show"] => show(),
        ["engine", path] => say(&engine(path)?),
        ["fill", path] => fill(path),
        ["write", path, text] => Ok(fs::write(path, text)?),
        ["read", path] => say(&fs::read_to_string(path)?),
        ["say", text] => say(text),
        ["cat"] => cat(),
        ["both"] => {
            both()?;
            std::process::exit(3)
        }
        ["flood", bytes] => flood(bytes.parse()?),
        ["terminal"] => {
            terminal()?;
            std::process::exit(5)
        }
        other => Err(format!("what is {other:?}?").into()),
    }
}

fn say(text: &str) -> Done {
    let mut out = std::io::stdout();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// As process 1 it must ask for SIGTERM, or the kernel keeps it away.
fn run() -> Done {
    use nix::sys::signal::{SigSet, Signal};
    let mut wanted = SigSet::empty();
    wanted.add(Signal::SIGTERM);
    wanted.thread_block()?;
    wanted.wait()?;
    Ok(())
}

fn serve(port: &str, text: &str) -> Done {
    let port: u16 = port.parse()?;
    let any = std::net::Ipv6Addr::UNSPECIFIED;
    let listener =
        TcpListener::bind((any, port)).or_else(|_| TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, port)))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        let body = format!("{text} to {}", stream.peer_addr()?.ip());
        let mut request = [0u8; 1024];
        let _ = stream.read(&mut request);
        let length = body.len();
        let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
    }
    Ok(())
}

fn fetch(address: &str) -> Result<String, Box<dyn Error>> {
    let to = address.to_socket_addrs()?.next().ok_or("no address")?;
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}

fn show() -> Done {
    let status = fs::read_to_string("/proc/self/status")?;
    for key in ["Uid", "Gid", "CapEff", "NoNewPrivs", "Seccomp"] {
        let line = status.lines().find(|line| line.split(':').next() == Some(key));
        say(line.unwrap_or_default())?;
    }
    say(&format!("pid {}", std::process::id()))?;
    say(&format!("cwd {}", std::env::current_dir()?.display()))?;
    say(&format!(
        "host {}",
        fs::read_to_string("/proc/sys/kernel/hostname")?.trim()
    ))?;
    for (key, value) in std::env::vars() {
        say(&format!("env {key}={value}"))?;
    }
    Ok(())
}

fn engine(path: &str) -> Result<String, Box<dyn Error>> {
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(b"GET /info HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

fn fill(path: &str) -> Done {
    let mut file = fs::File::create(path)?;
    let block = vec![b'x'; 1 << 20];
    loop {
        file.write_all(&block)?;
    }
}

fn cat() -> Done {
    let copied = std::io::copy(&mut std::io::stdin(), &mut std::io::stdout())?;
    say(&format!("end after {copied}"))
}

fn both() -> Done {
    say("to output")?;
    Ok(writeln!(std::io::stderr(), "to error")?)
}

fn flood(bytes: usize) -> Done {
    let line = [b"x".repeat(99), b"\n".to_vec()].concat();
    let mut out = std::io::stdout().lock();
    for _ in 0..bytes / line.len() {
        out.write_all(&line)?;
    }
    Ok(out.flush()?)
}

fn terminal() -> Done {
    for line in std::io::stdin().lines() {
        if line? == "quit" {
            break;
        }
        let size = rustix::termios::tcgetwinsize(std::io::stdout())?;
        say(&format!("size {} {}", size.ws_row, size.ws_col))?;
    }
    Ok(())
}
