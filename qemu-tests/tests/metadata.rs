//! The asking program against the mock, with every fault: each ends in an answer or a stated problem within its time.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use keelson_image_layout::metadata::{Answer, Message, Outcome};
use keelson_metadata::ask::{Patience, until_found};
use keelson_metadata::client::Limits;
use keelson_qemu_tests::metadata::{Fault, Instance, Misbehaviour, Server};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const BUDGET: Duration = Duration::from_millis(1200);

/// Short enough for a test, in the same proportions.
fn patience() -> Patience {
    Patience {
        limits: Limits {
            connect: Duration::from_millis(150),
            answer: Duration::from_millis(350),
        },
        budget: BUDGET,
        slow: Duration::from_millis(200),
    }
}

/// What the program says, message by message, until it says what it found or `enough` messages came.
fn messages(endpoints: &[SocketAddr], enough: usize) -> Vec<(Duration, Message)> {
    messages_from(None, endpoints, enough)
}

/// The same, asked from a network namespace.
fn messages_from(namespace: Option<&str>, endpoints: &[SocketAddr], enough: usize) -> Vec<(Duration, Message)> {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let (endpoints, namespace) = (endpoints.to_vec(), namespace.map(str::to_owned));
    let begun = Instant::now();
    let asking = std::thread::spawn(move || {
        namespace.as_deref().map(enter);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let patience = patience();
            let asking = until_found(&endpoints, &patience, &socket);
            let _ = tokio::time::timeout(Duration::from_secs(10), asking).await;
        });
    });
    let mut messages = Vec::new();
    while messages.len() < enough {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let message: Message = serde_json::from_slice(&bytes).unwrap();
        let found = matches!(message.outcome, Outcome::Found(_));
        messages.push((begun.elapsed(), message));
        if found {
            asking.join().unwrap();
            break;
        }
    }
    messages
}

fn instance() -> Instance {
    Instance {
        key: Some("ssh-ed25519 AAAA me".to_owned()),
        ..Instance::with_document("schema = 1\n")
    }
}

fn with_faults(faults: Vec<Fault>) -> Server {
    Server::start(LOOPBACK, instance(), faults).unwrap()
}

fn answer_of(message: &Message) -> &Answer {
    match &message.outcome {
        Outcome::Found(answer) => answer,
        Outcome::Failing { problem } => panic!("{problem}"),
    }
}

#[test]
fn a_service_that_works_is_asked_once_for_everything() {
    let server = with_faults(Vec::new());
    let messages = messages(&[server.address()], 1);
    let answer = answer_of(&messages[0].1);
    assert_eq!(answer.instance_id.as_deref(), Some("i-0123456789abcdef0"));
    assert_eq!(answer.hostname.as_deref(), Some("ip-10-0-0-1.ec2.internal"));
    assert_eq!(answer.public_keys, ["ssh-ed25519 AAAA me"]);
    assert_eq!(answer.user_data.as_deref(), Some("c2NoZW1hID0gMQo="));
    let asked = server.asked();
    assert_eq!(asked.len(), 6, "{asked:?}");
    assert_eq!(asked[0].method, "PUT");
}

#[test]
fn an_instance_without_document_and_key_is_an_answer() {
    let instance = Instance {
        user_data: None,
        ..Instance::with_document("")
    };
    let server = Server::start(LOOPBACK, instance, Vec::new()).unwrap();
    let messages = messages(&[server.address()], 1);
    let answer = answer_of(&messages[0].1);
    assert!(answer.user_data.is_none() && answer.public_keys.is_empty());
}

/// Faults that pass: the answer comes, whole, within the budget.
#[test]
fn what_passes_is_tried_again() {
    use Misbehaviour::{Close, Garbage, Hang, HangAfterHead, Status, TooLongLength, Truncate};
    let user_data = "/latest/user-data";
    for fault in [
        Fault::once("/latest/api/token", Hang),
        Fault::once("/latest/api/token", Close),
        Fault::once("/latest/api/token", Garbage),
        Fault::once("/latest/api/token", Status(503)),
        Fault {
            path: "/latest",
            times: 3,
            what: Status(500),
        },
        Fault::once("/latest/meta-data/", Status(429)),
        Fault::once("/latest/meta-data/", Status(401)),
        Fault::once("/latest/meta-data/instance-id", Status(404)),
        Fault::once(
            "/latest/meta-data/instance-id",
            Misbehaviour::Body(b"<html>proxy</html>".to_vec()),
        ),
        Fault::once(user_data, HangAfterHead),
        Fault::once(user_data, Truncate),
        Fault::once(user_data, TooLongLength),
        Fault::once(user_data, Misbehaviour::Late(Duration::from_millis(200))),
    ] {
        let name = format!("{fault:?}");
        let server = with_faults(vec![fault]);
        let messages = messages(&[server.address()], 2);
        let (took, last) = messages.last().unwrap();
        assert_eq!(answer_of(last).user_data.as_deref(), Some("c2NoZW1hID0gMQo="), "{name}");
        assert!(*took < BUDGET + Duration::from_secs(1), "{name}: {took:?}");
    }
}

/// Faults that stay: the problem is stated within the budget and names what to do or what is wrong.
#[test]
fn what_stays_is_stated_in_time() {
    use Misbehaviour::{Body, Garbage, Hang, Redirect, Status, Trickle, Truncate};
    let elsewhere = "http://127.0.0.1:1/".to_owned();
    for (fault, expected) in [
        (Fault::always("/latest/api/token", Hang), "hop limit"),
        (
            Fault::always("/latest/api/token", Status(403)),
            "enable the metadata service",
        ),
        (
            Fault::always("/latest/api/token", Status(404)),
            "enable the metadata service",
        ),
        (Fault::always("/latest/api/token", Garbage), "not HTTP"),
        (Fault::always("/latest", Status(503)), "code 503"),
        (Fault::always("/latest/meta-data/", Status(401)), "code 401"),
        (Fault::always("/latest/user-data", Redirect(elsewhere)), "code 302"),
        (Fault::always("/latest/user-data", Truncate), "ends too early"),
        (Fault::always("/", Hang), "hop limit"),
        (Fault::always("/latest/api/token", Body(vec![b'x'; 2048])), "too long"),
        (Fault::always("/latest/api/token", Body(b"a b".to_vec())), "no token"),
        (
            Fault::always("/latest/meta-data/", Body(vec![b'x'; 128 << 10])),
            "too long",
        ),
        (
            Fault::always("/latest/meta-data/local-hostname", Body(b"a\0b".to_vec())),
            "something else",
        ),
        (Fault::always("/latest/meta-data/public-keys/0", Hang), "sends nothing"),
        (
            Fault::always("/latest/user-data", Trickle(Duration::from_millis(50))),
            "sends nothing",
        ),
        (
            Fault::always("/latest/user-data", Body(vec![b'x'; 2 << 20])),
            "too long",
        ),
    ] {
        let name = format!("{:?} {expected}", fault.path);
        let server = with_faults(vec![fault]);
        let messages = messages(&[server.address()], 1);
        let (took, message) = &messages[0];
        let Outcome::Failing { problem } = &message.outcome else {
            panic!("{name}: found");
        };
        assert!(problem.contains(expected), "{name}: {problem}");
        assert!(*took < BUDGET + Duration::from_secs(1), "{name}: {took:?}");
        // Never without a token, never elsewhere.
        let asked = server.asked();
        assert!(
            asked.iter().all(|asked| asked.path.starts_with("/latest/")),
            "{name}: {asked:?}"
        );
        if expected.starts_with("enable") {
            assert!(asked.iter().all(|asked| asked.method == "PUT"), "{name}: {asked:?}");
        }
    }
}

/// A service that speaks of another instance the second time: what comes is of one of them, never some of each.
#[test]
fn an_answer_is_of_one_instance() {
    let other = Instance {
        id: "i-2".to_owned(),
        hostname: "second second.example".to_owned(),
        key: None,
        ..Instance::with_document("schema = 1\n# the second\n")
    };
    for path in [
        "/latest/meta-data/local-hostname",
        "/latest/meta-data/public-keys/0",
        "/latest/user-data",
    ] {
        let replaced = Misbehaviour::Replaced(Box::new(other.clone()));
        let server = with_faults(vec![Fault::once(path, replaced)]);
        let messages = messages(&[server.address()], 1);
        let answer = answer_of(&messages[0].1);
        assert_eq!(answer.instance_id.as_deref(), Some("i-2"), "{path}");
        assert_eq!(answer.hostname.as_deref(), Some("second"), "{path}");
        assert!(answer.public_keys.is_empty(), "{path}: {:?}", answer.public_keys);
        assert_eq!(
            answer.user_data.as_deref(),
            Some("c2NoZW1hID0gMQojIHRoZSBzZWNvbmQK"),
            "{path}"
        );
    }
}

/// A document that is small only as long as it is compressed is handed on as it came: whoever expands it does so within
/// bounds.
#[test]
fn a_bomb_is_not_expanded_here() {
    let bomb = [0x1f, 0x8b, 8, 0, 0xff];
    let server = Server::start(LOOPBACK, Instance::with_document(bomb), Vec::new()).unwrap();
    let messages = messages(&[server.address()], 1);
    assert_eq!(answer_of(&messages[0].1).user_data.as_deref(), Some("H4sIAP8="));
}

#[test]
fn expired_tokens_are_renewed_once_a_round() {
    let instance = Instance {
        token_life: Some(Duration::from_millis(300)),
        ..instance()
    };
    let slow = Fault::once(
        "/latest/meta-data/local-hostname",
        Misbehaviour::Late(Duration::from_millis(350)),
    );
    let server = Server::start(LOOPBACK, instance, vec![slow]).unwrap();
    let messages = messages(&[server.address()], 1);
    answer_of(&messages[0].1);
    let tokens = server.asked().iter().filter(|asked| asked.method == "PUT").count();
    assert!(tokens >= 2);
}

/// Nobody listens, then somebody does: the problem is stated, and the answer comes all the same.
#[test]
fn asking_goes_on_behind_the_budget() {
    let free = std::net::TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let later = std::thread::spawn(move || {
        std::thread::sleep(BUDGET + Duration::from_millis(500));
        Server::start(free, instance(), Vec::new()).unwrap()
    });
    let messages = messages(&[free], 2);
    assert!(matches!(&messages[0].1.outcome, Outcome::Failing { problem } if problem.contains("nobody listens")));
    answer_of(&messages[1].1);
    drop(later.join().unwrap());
}

/// The second address answers when the first does not.
#[test]
fn the_other_address_is_tried() {
    let free = std::net::TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let server = with_faults(Vec::new());
    let messages = messages(&[free, server.address()], 1);
    assert_eq!(messages[0].1.endpoint, "127.0.0.1");
    answer_of(&messages[0].1);
}

/// Moves this thread, and those it starts, into a network namespace.
fn enter(namespace: &str) {
    let file = std::fs::File::open(format!("/run/netns/{namespace}")).unwrap();
    let kind = rustix::thread::LinkNameSpaceType::Network;
    rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(kind)).unwrap();
}

/// An instance, a router and the service, each in a namespace; they go with the value.
struct Network {
    names: [String; 3],
}

impl Network {
    /// `test` tells those of one test from another's.
    fn new(test: char) -> Self {
        let names = ["i", "r", "s"].map(|part| format!("kmd-{}-{test}{part}", std::process::id()));
        let network = Self { names };
        let [instance, router, service] = &network.names;
        network.names.iter().for_each(|name| ip(&["netns", "add", name]));
        for (one, other, net) in [(instance, router, "10.9.1"), (service, router, "10.9.2")] {
            let link = net.replace('.', "");
            ip(&[
                "-n", one, "link", "add", &link, "type", "veth", "peer", "name", &link, "netns", other,
            ]);
            for (name, host) in [(one, 2), (other, 1)] {
                ip(&["-n", name, "address", "add", &format!("{net}.{host}/24"), "dev", &link]);
                ip(&["-n", name, "link", "set", &link, "up"]);
            }
        }
        ip(&["-n", service, "link", "set", "lo", "up"]);
        ip(&["-n", service, "address", "add", "169.254.169.254/32", "dev", "lo"]);
        ip(&["-n", service, "route", "add", "default", "via", "10.9.2.1"]);
        ip(&["-n", router, "route", "add", "169.254.169.254", "via", "10.9.2.2"]);
        let routing = router.clone();
        let thread = std::thread::spawn(move || {
            enter(&routing);
            // Whose network this is depends on the thread that opens it.
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        });
        thread.join().unwrap();
        network
    }

    /// The service in its namespace.
    fn serve(&self, hop_limit: u32) -> Server {
        let [.., service] = self.names.clone();
        let instance = Instance {
            hop_limit: Some(hop_limit),
            ..instance()
        };
        let started = std::thread::spawn(move || {
            enter(&service);
            Server::start(([169, 254, 169, 254], 0).into(), instance, Vec::new()).unwrap()
        });
        started.join().unwrap()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.names.iter().for_each(|name| ip(&["netns", "delete", name]));
    }
}

fn ip(words: &[&str]) {
    let done = std::process::Command::new("ip").args(words).output().unwrap();
    assert!(
        done.status.success(),
        "ip {words:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Packets that vanish: nothing answers the first, and that is said of the connection.
#[test]
fn privileged_a_way_that_swallows_packets_is_named() {
    let network = Network::new('w');
    let [instance, _, service] = &network.names;
    let server = network.serve(64);
    ip(&["-n", instance, "route", "add", "default", "via", "10.9.1.1"]);
    ip(&["-n", service, "route", "add", "blackhole", "10.9.1.0/24"]);
    let (took, message) = messages_from(Some(instance), &[server.address()], 1).remove(0);
    let Outcome::Failing { problem } = message.outcome else {
        panic!("found");
    };
    assert!(problem.contains("cannot be connected to in time"), "{problem}");
    assert!(took < BUDGET + Duration::from_secs(1), "{took:?}");
    // The way comes back, and so does the machine's question.
    ip(&["-n", service, "route", "del", "blackhole", "10.9.1.0/24"]);
    answer_of(&messages_from(Some(instance), &[server.address()], 2).pop().unwrap().1);
}

/// With a hop limit of 1 a router eats the answer: the connection opens and no byte comes. With 2 all is well.
#[test]
fn privileged_a_hop_limit_that_is_too_low_is_named() {
    let network = Network::new('h');
    let [instance, ..] = &network.names;
    let low = network.serve(1);
    let problem = |messages: &[(Duration, Message)]| match &messages[0].1.outcome {
        Outcome::Failing { problem } => problem.clone(),
        Outcome::Found(_) => String::new(),
    };
    let without_route = messages_from(Some(instance), &[low.address()], 1);
    assert!(
        problem(&without_route).contains("no route"),
        "{}",
        problem(&without_route)
    );
    ip(&["-n", instance, "route", "add", "default", "via", "10.9.1.1"]);
    let eaten = messages_from(Some(instance), &[low.address()], 1);
    assert!(problem(&eaten).contains("hop limit"), "{}", problem(&eaten));
    let enough = network.serve(2);
    answer_of(&messages_from(Some(instance), &[enough.address()], 2).pop().unwrap().1);
}
