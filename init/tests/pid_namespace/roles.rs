//! What the units of these tests do. A unit runs this very test program with `ROLE` in its environment.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use keelson_manager_api::Client;
use nix::sys::signal::{SigSet, Signal};

/// Plays the part, or nothing if this is an ordinary test run. Does not return from a part.
pub fn play() {
    let Ok(role) = std::env::var("ROLE") else { return };
    match role.as_str() {
        "ready" => ready(),
        "late" => late(),
        "stubborn" => stubborn(),
        "stops" => stops(),
        "echo" => echo(),
        "one-caller" => one_caller(),
        "agent" => agent(),
        _ => std::process::exit(99),
    }
    loop {
        std::thread::park();
    }
}

fn run() -> PathBuf {
    std::env::var("RUN").unwrap().into()
}

fn unit() -> String {
    std::env::var("UNIT").unwrap()
}

fn ready() {
    let socket = UnixDatagram::unbound().unwrap();
    socket
        .send_to(
            b"READY=1\nSTATUS=at your service",
            std::env::var("NOTIFY_SOCKET").unwrap(),
        )
        .unwrap();
}

fn note(file: &str) {
    let mut file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(run().join(file))
        .unwrap();
    writeln!(file, "{}", unit()).unwrap();
}

fn late() {
    std::thread::sleep(Duration::from_millis(400));
    note("order");
    ready();
}

/// This thread waits for the signal itself; a test program has others that would take it and end, so all are blocked
/// from the start by a second copy of the program.
fn stubborn() {
    with_blocked_term(ready);
}

fn stops() {
    with_blocked_term(|| {
        ready();
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGTERM);
        mask.wait().unwrap();
        note("stops");
        std::process::exit(0);
    });
}

fn with_blocked_term(then: impl FnOnce()) {
    use std::os::unix::process::CommandExt;
    if std::env::var_os("BLOCKED").is_some() {
        return then();
    }
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTERM);
    mask.thread_block().unwrap();
    let error = std::process::Command::new(std::env::current_exe().unwrap())
        .args(std::env::args().skip(1))
        .env("BLOCKED", "1")
        .exec();
    panic!("{error}");
}

fn echo() {
    let (name, socket) = keelson_sys::passed_fds::take().pop().unwrap();
    assert_eq!(name, "talk");
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(false).unwrap();
    ready();
    for stream in listener.incoming() {
        std::thread::spawn(move || answer(stream.unwrap()));
    }
}

/// Serves one caller and ends well.
fn one_caller() {
    let (_, socket) = keelson_sys::passed_fds::take().pop().unwrap();
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(false).unwrap();
    ready();
    answer(listener.accept().unwrap().0);
    std::process::exit(0);
}

fn answer(mut stream: UnixStream) {
    let mut bytes = [0; 64];
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        stream.write_all(&bytes[..length]).unwrap();
    }
}

/// Passes requests on to PID 1 from inside, one JSON line each.
fn agent() {
    let listener = UnixListener::bind(run().join(unit())).unwrap();
    ready();
    for stream in listener.incoming() {
        std::thread::spawn(move || {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap())
                .read_line(&mut line)
                .unwrap();
            let mut client = Client::connect(&run().join("control")).unwrap();
            let reply = client.request(serde_json::from_str(&line).unwrap()).unwrap();
            writeln!(stream, "{}", serde_json::to_string(&reply).unwrap()).unwrap();
        });
    }
}
