//! The way to the container engine.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::thread::JoinHandle;

use support::{Bench, answer, assert_logged, wait_until};

const DIAL: [&str; 3] = ["docker", "system", "dial-stdio"];

/// Takes one connection and hands it to `serve`.
fn engine<T: Send + 'static>(bench: &Bench, serve: impl FnOnce(UnixStream) -> T + Send + 'static) -> JoinHandle<T> {
    let listener = UnixListener::bind(&bench.engine).unwrap();
    std::thread::spawn(move || serve(listener.accept().unwrap().0))
}

#[test]
fn the_clients_end_reaches_the_engine_and_the_answer_still_comes() {
    let bench = Bench::start();
    let served = engine(&bench, |mut socket| {
        let mut asked = String::new();
        socket.read_to_string(&mut asked).unwrap();
        socket.write_all(b"the answer").unwrap();
        asked
    });
    let mut ssh = bench.ssh("ann", "ann");
    let mut child = ssh
        .args(DIAL)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"the question").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), b"the answer".as_slice())
    );
    assert_eq!(served.join().unwrap(), "the question");
}

#[test]
fn the_engines_end_is_the_end() {
    let bench = Bench::start();
    let served = engine(&bench, |mut socket| socket.write_all(b"gone"));
    let mut ssh = bench.ssh("core", "core");
    let child = ssh
        .args(DIAL)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    served.join().unwrap().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), b"gone".as_slice())
    );
}

#[test]
fn what_answers_more_than_it_is_asked_is_served_to_the_end() {
    // Each byte that is read is answered with a hundred, as a decompressor would: without credit that is held back, or
    // with a connection that waits for its reader, this stops or needs memory without bounds.
    const ASKED: usize = 300_000;
    let bench = Bench::start();
    let served = engine(&bench, |mut socket| {
        let mut buffer = [0; 1000];
        while let Ok(count @ 1..) = socket.read(&mut buffer) {
            socket.write_all(&vec![b'x'; count * 100]).unwrap();
        }
    });
    let mut ssh = bench.ssh("core", "core");
    let mut child = ssh
        .args(DIAL)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&vec![b'q'; ASKED]));
    let mut stdout = child.stdout.take().unwrap();
    let (mut buffer, mut total) = (vec![0; 1 << 20], 0);
    while let Ok(count @ 1..) = stdout.read(&mut buffer) {
        total += count;
    }
    assert_eq!(total, ASKED * 100);
    writer.join().unwrap().unwrap();
    served.join().unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn readers_do_not_reach_it() {
    let bench = Bench::start();
    let (code, _, error) = answer(bench.ssh("bob", "bob").args(DIAL));
    assert!(
        code == 3 && error.contains("only operators may use the container engine"),
        "{code}: {error}"
    );
    assert_logged(&["request refused", "user=bob", "docker system dial-stdio"]);
}

#[test]
fn an_engine_that_is_down_is_said() {
    let bench = Bench::start();
    let (code, _, error) = answer(bench.ssh("core", "core").args(DIAL));
    assert!(
        code == 4 && error.contains("the container engine does not answer"),
        "{code}: {error}"
    );
}

#[test]
fn its_socket_can_be_forwarded_and_no_other() {
    let bench = Bench::start();
    let served = engine(&bench, |mut socket| {
        let mut asked = String::new();
        socket.read_to_string(&mut asked).unwrap();
        socket.write_all(b"pong").unwrap();
        asked
    });
    for (user, remote, works) in [
        ("bob", "/run/docker.sock", false),
        ("core", "/etc/passwd", false),
        ("core", "/var/run/docker.sock", true),
    ] {
        let local = bench.folder().join(format!("{user}-{works}.sock"));
        let forward = format!("{}:{remote}", local.display());
        let mut ssh = bench.ssh(user, user).args(["-N", "-L", &forward]).spawn().unwrap();
        wait_until("the forwarded socket", || local.exists());
        let mut socket = UnixStream::connect(&local).unwrap();
        let mut answer = String::new();
        let _ = socket.write_all(b"ping");
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let _ = socket.read_to_string(&mut answer);
        assert_eq!(answer, if works { "pong" } else { "" }, "{user} {remote}");
        ssh.kill().unwrap();
        ssh.wait().unwrap();
    }
    assert_eq!(served.join().unwrap(), "ping");
}
