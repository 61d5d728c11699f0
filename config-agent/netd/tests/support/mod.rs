//! A machine, its router and a container, each in a network namespace of its own, with the real daemon
//! running in the machine and dnsmasq in the router.

#![allow(dead_code, reason = "each test file uses a part")]

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use keelson_netd::resolver::{control, serve};
use keelson_netd::run::{World, run};
use keelson_netd::time::clock::Hand;
use keelson_netlink::link::Namespace as Where;
use keelson_netlink::{Address, LinkChange, NewLink, Route, RouteSocket, netns};
use nix::sched::{CloneFlags, unshare};
use rustix::fd::AsFd;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 44, 0, 1);
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
pub const CONTAINER: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);

/// Waits until `look` finds something.
pub fn eventually<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[derive(Clone)]
pub struct Namespace(pub Arc<File>);

impl Namespace {
    pub fn new() -> Option<Self> {
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(std::io::Error::from)
                .and_then(|()| File::open("/proc/thread-self/ns/net"))
        });
        match made.join().unwrap() {
            Ok(file) => Some(Self(Arc::new(file))),
            Err(error) => {
                eprintln!("skipped: cannot make a network namespace: {error}");
                None
            }
        }
    }

    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        netns::run_in(self.0.as_fd(), work).unwrap()
    }

    pub fn route(&self) -> RouteSocket {
        RouteSocket::open_in(self.0.as_fd()).unwrap()
    }

    pub fn up(&self, name: &str, addresses: &[(IpAddr, u8)]) {
        let mut route = self.route();
        let link = route.index_of(name).unwrap();
        for (ip, prefix) in addresses {
            route.add_address(&Address::new(link, *ip, *prefix)).unwrap();
        }
        route
            .change_link(
                link,
                &LinkChange {
                    up: Some(true),
                    ..LinkChange::default()
                },
            )
            .unwrap();
    }

    pub fn set_up(&self, name: &str, up: bool) {
        let mut route = self.route();
        let link = route.index_of(name).unwrap();
        route
            .change_link(
                link,
                &LinkChange {
                    up: Some(up),
                    ..LinkChange::default()
                },
            )
            .unwrap();
    }

    /// One question to `server`; None when nothing comes back in six seconds.
    pub fn ask(&self, server: impl Into<IpAddr>, name: &str, kind: RecordType) -> Option<Message> {
        let server = SocketAddr::new(server.into(), serve::PORT);
        self.inside(|| {
            let any: IpAddr = if server.is_ipv4() {
                [0; 4].into()
            } else {
                [0u8; 16].into()
            };
            let socket = UdpSocket::bind((any, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
            socket.connect(server).unwrap();
            socket.send(&query(name, kind)).unwrap();
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer).ok()?;
            Message::from_vec(&buffer[..length]).ok()
        })
    }

    pub fn ask_stream(&self, server: impl Into<IpAddr>, name: &str, kind: RecordType) -> Message {
        let server = SocketAddr::new(server.into(), serve::PORT);
        self.inside(|| {
            let mut stream = TcpStream::connect(server).unwrap();
            let query = query(name, kind);
            let length = u16::try_from(query.len()).unwrap();
            stream.write_all(&[&length.to_be_bytes()[..], &query].concat()).unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut response = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut response).unwrap();
            Message::from_vec(&response).unwrap()
        })
    }
}

fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_str(name).unwrap(), kind));
    message.to_vec().unwrap()
}

/// Text of the answer records' data, sorted.
pub fn data(message: &Message) -> Vec<String> {
    let mut data: Vec<_> = message.answers.iter().map(|record| record.data.to_string()).collect();
    data.sort();
    data
}

pub struct Lab {
    pub machine: Namespace,
    pub router: Namespace,
    pub container: Namespace,
    pub files: tempfile::TempDir,
    /// Addresses and lease time of the DHCP server.
    pub range: &'static str,
    daemon: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    dnsmasq: Option<Child>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop_daemon();
        self.stop_router();
        if std::thread::panicking() {
            eprintln!("--- dnsmasq\n{}--- status\n{:#}", self.router_log(), self.status());
        }
    }
}

impl Lab {
    /// Namespaces and cables; nothing runs yet. The machine's `eth0` leads to the router's `lan`, its
    /// bridge `keelson0` to the container's `eth0`.
    pub fn new() -> Option<Self> {
        let lab = Self {
            machine: Namespace::new()?,
            router: Namespace::new()?,
            container: Namespace::new()?,
            files: tempfile::tempdir().unwrap(),
            range: "10.44.0.50,10.44.0.60,2m",
            daemon: None,
            dnsmasq: None,
        };
        let cable = |from: &Namespace, name: &str, to: &Namespace, peer: &str| {
            let peer_namespace = Some(Where::Fd(to.0.as_fd()));
            from.route()
                .create_link(name, &NewLink::Veth { peer, peer_namespace })
                .unwrap()
        };
        cable(&lab.machine, "eth0", &lab.router, "lan");
        lab.router.up("lo", &[]);
        lab.router
            .up("lan", &[(ROUTER.into(), 24), ("fd44::1".parse().unwrap(), 64)]);
        let mut machine = lab.machine.route();
        let bridge = machine.create_link("keelson0", &NewLink::Bridge).unwrap();
        let port = cable(&lab.machine, "veth0", &lab.container, "eth0");
        let change = LinkChange {
            up: Some(true),
            master: Some(bridge),
            ..LinkChange::default()
        };
        machine.change_link(port, &change).unwrap();
        lab.machine.up("keelson0", &[(GATEWAY.into(), 24)]);
        lab.container.up("lo", &[]);
        lab.container.up("eth0", &[(CONTAINER.into(), 24)]);
        let default = Route::default_via(GATEWAY.into());
        lab.container.route().add_route(&default).unwrap();
        Some(lab)
    }

    /// Starts dnsmasq in the router; None (with the reason printed) when there is none.
    pub fn start_router(&mut self, extra: &[&str]) -> Option<()> {
        let leases = self.path("leases");
        let mut arguments = vec![
            "--keep-in-foreground".to_owned(),
            "--conf-file=/dev/null".into(),
            "--user=root".into(),
            "--pid-file=".into(),
            format!("--dhcp-leasefile={}", leases.display()),
            format!("--log-facility={}", self.path("dnsmasq.log").display()),
            "--log-dhcp".into(),
            "--interface=lan".into(),
            "--bind-interfaces".into(),
            "--except-interface=lo".into(),
            "--no-resolv".into(),
            "--no-hosts".into(),
            "--no-ping".into(),
            "--dhcp-authoritative".into(),
            format!("--dhcp-range={}", self.range),
            "--dhcp-range=fd44::,ra-only,64,2m".into(),
            "--enable-ra".into(),
            "--ra-param=lan,4,120".into(),
            "--dhcp-option=option:mtu,1400".into(),
            "--dhcp-option=option:ntp-server,10.44.0.1".into(),
            "--dhcp-option=option6:dns-server,[fd44::1]".into(),
            "--dhcp-option=option6:domain-search,six.example.test".into(),
            "--dhcp-option=option:domain-search,example.test,more.example.test".into(),
            "--domain=example.test".into(),
            "--local=/example.test/".into(),
            "--host-record=known.example.test,192.0.2.7,fd44::7".into(),
            "--local-ttl=2".into(),
        ];
        arguments.extend((0..8).map(|n| format!("--txt-record=big.example.test,{n}{}", "x".repeat(240))));
        arguments.extend(extra.iter().map(|argument| (*argument).to_owned()));
        let spawned = self.router.inside(|| {
            Command::new("/usr/sbin/dnsmasq")
                .args(&arguments)
                .stdin(Stdio::null())
                .stderr(Stdio::inherit())
                .spawn()
        });
        match spawned {
            Ok(child) => self.dnsmasq = Some(child),
            Err(error) => {
                assert!(
                    std::env::var_os("KEELSON_STRICT").is_none(),
                    "no dnsmasq (package dnsmasq-base)"
                );
                eprintln!("skipped: no dnsmasq: {error}");
                return None;
            }
        }
        eventually("dnsmasq serves", 10, || {
            self.router
                .ask(ROUTER, "known.example.test.", RecordType::A)
                .map(|_| ())
        });
        Some(())
    }

    pub fn stop_router(&mut self) {
        if let Some(mut child) = self.dnsmasq.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    pub fn router_log(&self) -> String {
        std::fs::read_to_string(self.path("dnsmasq.log")).unwrap_or_default()
    }

    /// Starts the daemon in the machine. The host's clock is out of its reach.
    pub fn start_daemon(&mut self) {
        keelson_daemon::init_logging("netd-test");
        let world = World {
            status: self.path("status.json"),
            clock: self.path("clock"),
            boot_facts: self.path("boot.json"),
            machine_config: self.path("machine.json"),
            records: control::open(&self.path("resolver.sock")).unwrap(),
            dns_port: serve::PORT,
            hand: Hand::Dry,
        };
        let (stop, stopped) = oneshot::channel();
        let machine = self.machine.clone();
        let thread = std::thread::spawn(move || {
            machine.inside(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                let stopped = async { drop(stopped.await) };
                tokio::task::LocalSet::new()
                    .block_on(&runtime, run(world, stopped))
                    .unwrap();
            });
        });
        self.daemon = Some((stop, thread));
    }

    pub fn stop_daemon(&mut self) {
        if let Some((stop, thread)) = self.daemon.take() {
            let _ = stop.send(());
            thread.join().unwrap();
        }
    }

    pub fn status(&self) -> serde_json::Value {
        let text = std::fs::read_to_string(self.path("status.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The leased address, once there is one.
    pub fn leased(&self) -> String {
        eventually("a lease", 10, || {
            let status = self.status();
            status["links"][0]["lease"]["address"].as_str().map(str::to_owned)
        })
    }
}
