//! The journal's loop with real sockets and a real client library, in a directory of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use keelson_journald::Store;
use keelson_journald::server::{Server, Sockets};
use keelson_journald::store::Limits;
use serde_json::{Value, json};

const LIMITS: Limits = Limits {
    total: 16 << 20,
    segment: 1 << 20,
};

struct Journal {
    directory: tempfile::TempDir,
    _thread: JoinHandle<()>,
}

impl Journal {
    fn start() -> Journal {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let sockets = Sockets {
            native: Some(OwnedFd::from(UnixDatagram::bind(path("native")).unwrap())),
            syslog: Some(OwnedFd::from(UnixDatagram::bind(path("syslog")).unwrap())),
            stdout: Some(OwnedFd::from(UnixListener::bind(path("stdout")).unwrap())),
            query: Some(OwnedFd::from(UnixListener::bind(path("query")).unwrap())),
            kernel: None,
        };
        let store = Store::open(&path("store"), LIMITS, [7; 16]).unwrap();
        let server = Server::new(sockets, store, vec![("_HOSTNAME", "here".into())]).unwrap();
        let thread = std::thread::spawn(move || server.run().unwrap());
        Journal {
            directory,
            _thread: thread,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn query(&self, mut query: Value) -> BufReader<UnixStream> {
        let object = query.as_object_mut().unwrap();
        object.insert("protocol".into(), "keelson-journal".into());
        object.insert("version".into(), 1.into());
        object.insert("format".into(), "json".into());
        let mut stream = UnixStream::connect(self.path("query")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        writeln!(stream, "{query}").unwrap();
        BufReader::new(stream)
    }

    /// Follows until an entry has this message.
    fn wait_for(&self, message: &str) -> Value {
        self.query(json!({ "follow": true }))
            .lines()
            .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
            .find(|entry| entry["MESSAGE"] == message)
            .unwrap()
    }
}

fn send(path: &Path, data: &[u8]) {
    UnixDatagram::unbound().unwrap().send_to(data, path).unwrap();
}

#[test]
fn datagrams_carry_who_sent_them() {
    let journal = Journal::start();
    send(&journal.path("native"), b"");
    send(&journal.path("native"), b"MESSAGE=native one\nPRIORITY=3\n_UID=12345\n");
    send(&journal.path("syslog"), b"<13>tool[5]: syslog one");
    let entry = journal.wait_for("native one");
    assert_eq!(entry["_PID"], std::process::id().to_string());
    assert_ne!(entry["_UID"], "12345");
    assert_eq!(entry["_TRANSPORT"], "journal");
    assert_eq!(entry["_HOSTNAME"], "here");
    assert_eq!(journal.wait_for("syslog one")["SYSLOG_IDENTIFIER"], "tool");
}

#[test]
fn output_of_services_arrives_line_by_line() {
    let journal = Journal::start();
    let mut stream = UnixStream::connect(journal.path("stdout")).unwrap();
    stream
        .write_all(b"web\nweb\n6\n1\n0\n0\n0\nfirst\n<3>second\nlast")
        .unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    assert_eq!(journal.wait_for("first")["SYSLOG_IDENTIFIER"], "web");
    assert_eq!(journal.wait_for("second")["PRIORITY"], "3");
    assert_eq!(journal.wait_for("last")["_LINE_BREAK"], "eof");
}

#[test]
fn large_entries_come_as_a_sealed_file_and_others_are_refused() {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::os::fd::AsFd;

    let journal = Journal::start();
    let pass = |text: String, seals: SealFlags| {
        let file = memfd_create("entry", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
        rustix::io::write(&file, text.as_bytes()).unwrap();
        fcntl_add_seals(&file, seals).unwrap();
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(journal.path("native")).unwrap();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        sendmsg(&socket, &[], &mut control, SendFlags::empty()).unwrap();
    };
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    pass("MESSAGE=not sealed\n".into(), SealFlags::SHRINK);
    pass(format!("MESSAGE=sealed\nLARGE={}\n", "x".repeat(300_000)), all);
    assert_eq!(
        journal.wait_for("sealed")["LARGE"].as_str().map(str::len),
        Some(300_000)
    );
    let rest: Vec<String> = journal.query(json!({})).lines().map(Result::unwrap).collect();
    assert!(!rest.iter().any(|line| line.contains("not sealed")));
}

#[test]
fn queries_select_and_end_by_themselves() {
    let journal = Journal::start();
    for index in 0..50 {
        send(
            &journal.path("native"),
            format!("MESSAGE=entry {index}\nPRIORITY={}\n", index % 8).as_bytes(),
        );
    }
    journal.wait_for("entry 49");
    let count = |query: Value| journal.query(query).lines().map(Result::unwrap).count();
    assert_eq!(count(json!({ "lines": 3 })), 3);
    assert_eq!(count(json!({ "priority": 0 })), 7);
    assert_eq!(count(json!({ "boot": "previous" })), 0);
    assert_eq!(count(json!({ "unit": "nobody" })), 0);
}

#[test]
fn what_is_no_query_gets_an_error_line() {
    let journal = Journal::start();
    let mut stream = UnixStream::connect(journal.path("query")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"what?\n").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("error: "), "{answer}");
}
