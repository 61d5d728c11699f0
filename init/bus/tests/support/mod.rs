//! A supervisor that does nothing but remember, a bus above it, and `busctl`.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keelson_busd::access::{Caller, Place};
use keelson_busd::link::{self, Link};
use keelson_busd::objects::{self, BootRecord, Units, World};
use keelson_busd::router::Router;
use keelson_busd::server::Server;
use keelson_image_layout::BusAccess;
use keelson_manager_api::{
    Hello, Kind, MAX_FRAME, Notice, Refusal, Reply, ReplyFrame, Request, RequestFrame, UnitState, UnitStatus, frame,
};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use tempfile::TempDir;
use zbus::Message;
use zbus::connection::socket::Channel;

/// A unit in a state.
pub fn unit(name: &str, state: UnitState) -> UnitStatus {
    UnitStatus {
        name: name.to_owned(),
        description: format!("the unit {name}"),
        kind: Kind::Service,
        state,
        since_ms: 1000,
        started_us: None,
        up_us: None,
        main_pid: Some(42),
        restarts: 0,
        status: None,
        failure: None,
    }
}

/// A bus that runs.
pub struct Machine {
    folder: TempDir,
    asked: Arc<Mutex<Vec<String>>>,
    subscribers: Arc<Mutex<Vec<Arc<OwnedFd>>>>,
    over: AtomicBool,
}

impl Machine {
    /// A bus on which every caller has this grant.
    pub fn start(access: Option<BusAccess>) -> Self {
        let machine = Machine {
            folder: tempfile::tempdir().unwrap(),
            asked: Arc::default(),
            subscribers: Arc::default(),
            over: AtomicBool::new(false),
        };
        machine.supervise();
        let listener = OwnedFd::from(UnixListener::bind(machine.socket()).unwrap());
        let control = machine.control();
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let caller = access.map(|access| Caller {
                    access,
                    place: Place::Container("c".repeat(64)),
                });
                let guid = zbus::Guid::generate().to_string();
                let router = Arc::new(Mutex::new(Router::new(&guid)));
                let (units, notices) = link::follow(&control).unwrap();
                let world = World {
                    link: Link::new(&control),
                    units: Units::of(units),
                    boot: Arc::new(BootRecord::default()),
                    router: router.clone(),
                };
                let (ours, theirs) = Channel::pair();
                let connection = objects::serve(&world, ours, &guid).await.unwrap();
                let server = Server::start(Box::new(move |_| caller.clone()), router, &guid, theirs);
                ready.send(()).unwrap();
                tokio::select! {
                    ended = server.run(listener, Duration::from_secs(3600)) => ended.unwrap(),
                    told = objects::tell(&world, &connection, notices) => told.unwrap(),
                }
            });
        });
        is_ready.recv().unwrap();
        machine
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    fn supervise(&self) {
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let listener = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(self.control()).unwrap()).unwrap();
        rustix::net::listen(&listener, 16).unwrap();
        let (asked, subscribers) = (self.asked.clone(), self.subscribers.clone());
        std::thread::spawn(move || {
            while let Ok(socket) = rustix::net::accept(&listener) {
                let (asked, subscribers) = (asked.clone(), subscribers.clone());
                std::thread::spawn(move || answer(&Arc::new(socket), &asked, &subscribers));
            }
        });
    }

    /// What reached the supervisor, but for looks.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The supervisor tells something.
    pub fn tell(&self, notice: Notice) {
        for subscriber in self.subscribers.lock().unwrap().iter() {
            send(subscriber.as_ref(), &notice);
        }
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("busctl");
        command.arg(format!("--address=unix:path={}", self.socket().display()));
        command.args(["--no-pager", "--timeout=20"]).args(words);
        command
    }

    pub fn spawn(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::piped()).spawn().unwrap()
    }

    pub fn busctl(&self, words: &[&str]) -> Answer {
        Answer(self.command(words).output().unwrap())
    }

    /// A connection that has said hello and read nothing of the answer.
    pub fn connect(&self) -> UnixStream {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(b"\0AUTH EXTERNAL 30\r\n").unwrap();
        let mut answer = [0; 37];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(b"OK "));
        stream.write_all(b"BEGIN\r\n").unwrap();
        let bus = "org.freedesktop.DBus";
        stream
            .write_all(&call(1, bus, "/org/freedesktop/DBus", bus, "Hello"))
            .unwrap();
        stream
    }
}

/// What `busctl` said.
pub struct Answer(Output);

impl Answer {
    pub fn good(&self) -> String {
        let told = String::from_utf8_lossy(&self.0.stderr);
        assert!(self.0.status.success(), "busctl: {told}");
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn bad(&self) -> String {
        assert!(!self.0.status.success(), "it was done");
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
}

/// A call without arguments, as bytes.
pub fn call(serial: u32, destination: &str, path: &str, interface: &str, member: &str) -> Vec<u8> {
    let message = Message::method_call(path, member)
        .serial(serial.try_into().unwrap())
        .destination(destination)
        .interface(interface)
        .build(&())
        .unwrap();
    message.data().to_vec()
}

/// Memory of this process, in which the bus runs too.
pub fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn answer(socket: &Arc<OwnedFd>, asked: &Mutex<Vec<String>>, subscribers: &Mutex<Vec<Arc<OwnedFd>>>) {
    send(socket.as_ref(), &Hello::ours());
    let _ = receive(socket.as_ref());
    while let Some(packet) = receive(socket.as_ref()) {
        let RequestFrame { id, request } = frame::decode(&packet).unwrap();
        let note = |text: String| {
            asked.lock().unwrap().push(text);
            Reply::Done
        };
        let refuse = |refusal, message: &str| Reply::Refused {
            refusal,
            message: message.to_owned(),
        };
        let reply = match request {
            Request::List => Reply::Units {
                units: vec![
                    unit("boot-complete", UnitState::Running),
                    unit("netd", UnitState::Running),
                ],
            },
            Request::Subscribe => {
                subscribers.lock().unwrap().push(socket.clone());
                Reply::Done
            }
            Request::Start { unit } if unit == "broken" => refuse(Refusal::Failed, "it is broken"),
            Request::Start { unit } if unit == "nobody" => refuse(Refusal::NoSuchUnit, "there is no unit \"nobody\""),
            Request::Start { unit } => note(format!("start {unit}")),
            Request::Stop { unit } => note(format!("stop {unit}")),
            Request::Restart { unit } => note(format!("restart {unit}")),
            Request::Reboot { words } => note(format!(
                "reboot, says {}: {}",
                words.person.unwrap_or_default(),
                words.why.unwrap_or_default()
            )),
            other => note(format!("{other:?}")),
        };
        send(socket.as_ref(), &ReplyFrame { id, reply });
    }
}

fn send(socket: impl AsFd, message: &impl serde::Serialize) {
    let packet = frame::encode(message).unwrap();
    let _ = rustix::net::send(socket, &packet, SendFlags::NOSIGNAL);
}

fn receive(socket: impl AsFd) -> Option<Vec<u8>> {
    let mut buffer = vec![0; MAX_FRAME];
    let (_, length) = rustix::net::recv(socket, &mut buffer, RecvFlags::empty()).ok()?;
    buffer.truncate(length);
    (length > 0).then_some(buffer)
}
