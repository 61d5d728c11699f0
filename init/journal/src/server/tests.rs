//! What one turn takes in, and what it leaves for the next.

use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::*;
use crate::store::Limits;

const LIMITS: Limits = Limits {
    total: 64 << 20,
    segment: 8 << 20,
};

fn server(directory: &Path) -> Server {
    let sockets = Sockets {
        native: Some(UnixDatagram::bind(directory.join("native")).unwrap().into()),
        stdout: Some(UnixListener::bind(directory.join("stdout")).unwrap().into()),
        ..Sockets::default()
    };
    let store = Store::open(&directory.join("store"), LIMITS, [7; 16]).unwrap();
    Server::new(sockets, store, Vec::new()).unwrap()
}

/// Sends a message as a sealed memory file.
fn pass(path: &Path, text: &str) {
    let file = memfd_create("entry", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    std::fs::File::from(file.try_clone().unwrap())
        .write_all(text.as_bytes())
        .unwrap();
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals).unwrap();
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(path).unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [file.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    sendmsg(&socket, &[], &mut control, SendFlags::empty()).unwrap();
}

#[test]
fn many_large_messages_take_several_turns_and_all_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = server(directory.path());
    let start = server.store.next_seq();
    let part = "x".repeat(1_000_000);
    for index in 0..8 {
        let text = format!("MESSAGE=large {index}\nA={part}\nB={part}\nC={part}\n");
        pass(&directory.path().join("native"), &text);
    }
    let mut stored = Vec::new();
    for _ in 0..3 {
        server.native();
        stored.push(server.store.next_seq() - start);
    }
    assert_eq!(stored, [3, 6, 8]);
}

#[test]
fn urgent_entries_are_synced_once_at_the_end_of_their_turn() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = server(directory.path());
    let socket = UnixDatagram::unbound().unwrap();
    for priority in [6, 0, 1, 2] {
        let text = format!("MESSAGE=now\nPRIORITY={priority}\n");
        socket
            .send_to(text.as_bytes(), directory.path().join("native"))
            .unwrap();
    }
    server.native();
    assert!(server.sync_due.is_some_and(|due| due <= Instant::now()));
    assert!(server.turn(Some(Duration::ZERO)).unwrap());
    assert_eq!(server.sync_due, None);
}

#[test]
fn a_stream_of_many_lines_is_read_in_several_turns() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = server(directory.path());
    let mut stream = UnixStream::connect(directory.path().join("stdout")).unwrap();
    let text = ["u\n\n6\n0\n0\n0\n0\n", &"x\n".repeat(6000)].concat();
    stream.write_all(text.as_bytes()).unwrap();
    server.accept_stream();
    let start = server.store.next_seq();
    server.read_stream(FIRST_CONNECTION);
    let first = server.store.next_seq() - start;
    assert!((1..=2048).contains(&first), "{first}");
    for _ in 0..3 {
        server.read_stream(FIRST_CONNECTION);
    }
    assert_eq!(server.store.next_seq() - start, 6000);
}
