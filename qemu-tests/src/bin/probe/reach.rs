//! What can be reached from inside: addresses, sockets, names.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

const PATIENCE: Duration = Duration::from_secs(3);

/// `open`, or why not.
pub fn connect(address: &str) -> io::Result<String> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    Ok(match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => "open\n".into(),
        Err(error) => format!("closed: {}\n", error.kind()),
    })
}

/// Prints every open TCP port of an address, one a line.
pub fn scan(address: &str) -> io::Result<()> {
    const THREADS: u32 = 64;
    let address: std::net::IpAddr = address.parse().map_err(io::Error::other)?;
    let scanners: Vec<_> = (0..THREADS)
        .map(|first| {
            std::thread::spawn(move || {
                let mine = (1..=u32::from(u16::MAX)).skip(first as usize).step_by(THREADS as usize);
                let open = |port: &u16| TcpStream::connect_timeout(&(address, *port).into(), PATIENCE).is_ok();
                mine.filter_map(|port| u16::try_from(port).ok())
                    .filter(open)
                    .collect::<Vec<u16>>()
            })
        })
        .collect();
    for scanner in scanners {
        let open = scanner.join().map_err(|_| io::Error::other("a scanner panicked"))?;
        open.iter().for_each(|port| println!("{port}"));
    }
    Ok(())
}

/// Asks a server for a name; prints `answered`, or why not.
pub fn ask_name(server: &str) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(&question("localhost"), (server, 53))?;
    match socket.recv(&mut [0; 512]) {
        Ok(_) => println!("answered"),
        Err(error) => println!("no answer: {}", error.kind()),
    }
    Ok(())
}

/// Connects to a unix socket of any type and sends it lines (`PATH|LINE|LINE`), reading after each; says what came back
/// last.
pub fn ask_socket(argument: &str) -> io::Result<String> {
    let (path, line) = argument.split_once('|').unwrap_or((argument, ""));
    let line = line
        .replace("%22", "\"")
        .replace("%20", " ")
        .replace("%0d", "\r")
        .replace("%0a", "\n");
    let stream = UnixStream::connect(path);
    let answer = match stream {
        Ok(stream) => talk(stream, &line),
        Err(error) if error.raw_os_error() == Some(91) => sequenced(path).and_then(|stream| talk(stream, &line)),
        Err(error) => Err(error),
    };
    let answer = match answer {
        Err(error) if error.raw_os_error() == Some(91) => {
            let socket = UnixDatagram::unbound()?;
            socket.send_to(line.as_bytes(), path).map(|_| "sent".to_owned())
        }
        answer => answer,
    };
    Ok(match answer {
        Ok(text) => format!("answer: {text}\n"),
        Err(error) => format!("refused: {error}\n"),
    })
}

fn sequenced(path: &str) -> io::Result<UnixStream> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn talk(mut stream: UnixStream, line: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut last = String::new();
    for line in line.split('|') {
        stream.write_all(line.as_bytes())?;
        let mut answer = vec![0; 4096];
        let count = stream.read(&mut answer)?;
        answer.truncate(count);
        last = String::from_utf8_lossy(&answer).into_owned();
    }
    Ok(last)
}

/// Asks the configured name server for an IPv4 address; gives the reply code and the addresses.
pub fn resolve(name: &str) -> io::Result<String> {
    let configuration = fs::read_to_string("/etc/resolv.conf")?;
    let server = configuration
        .lines()
        .find_map(|line| line.strip_prefix("nameserver "))
        .unwrap_or("127.0.0.1");
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(&question(name), (server.trim(), 53))?;
    let mut reply = [0; 1500];
    let count = socket.recv(&mut reply)?;
    let reply = reply.get(..count).unwrap_or_default();
    let code = reply.get(3).copied().unwrap_or_default() & 15;
    // An address record ends in its length, 4, and the address: enough for a test's own names.
    let addresses: Vec<String> = reply
        .windows(6)
        .filter_map(|window| match window {
            [0, 4, a, b, c, d] => Some(format!("{a}.{b}.{c}.{d}")),
            _ => None,
        })
        .collect();
    Ok(format!("code {code} {}\n", addresses.join(" ")))
}

/// A DNS query for an A record, RFC 1035 section 4.1.
fn question(name: &str) -> Vec<u8> {
    let mut query = vec![0x4b, 0x4c, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        query.push(u8::try_from(label.len()).unwrap_or(0));
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}
