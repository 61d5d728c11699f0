//! Network namespaces for tests, and foreign programs run inside them.

use keelson_netlink::{LinkChange, NewLink, NftSocket, RouteSocket, netns};
use nix::sched::{CloneFlags, unshare};
use rustix::fd::AsFd;
use std::fs::File;
use std::process::Command;

/// A network namespace of a test's own; gone with the last descriptor and socket.
pub struct Namespace(pub File);

impl Namespace {
    /// A new namespace with loopback up; None (with the reason printed) without the right to make one.
    pub fn new() -> Option<Self> {
        let file = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(std::io::Error::from)
                .and_then(|()| File::open("/proc/thread-self/ns/net"))
        })
        .join()
        .expect("thread ends");
        match file {
            Ok(file) => Some(Self(file)),
            Err(error) => {
                eprintln!("skipped: cannot make a network namespace: {error}");
                None
            }
        }
    }

    pub fn route(&self) -> RouteSocket {
        RouteSocket::open_in(self.0.as_fd()).expect("route socket")
    }

    /// A link with a carrier once it is up: one end of a pair whose other end is up already. (A dummy
    /// would do, but not every kernel has them.)
    #[allow(dead_code, reason = "not every test file needs it")]
    pub fn plain_link(&self, name: &str) -> u32 {
        let mut route = self.route();
        let link = NewLink::Veth {
            peer: "other",
            peer_namespace: None,
        };
        let index = route.create_link(name, &link).expect("veth");
        let other = route.index_of("other").expect("peer");
        let up = LinkChange {
            up: Some(true),
            no_link_local: true,
            ..LinkChange::default()
        };
        route.change_link(other, &up).expect("peer goes up");
        index
    }

    #[allow(dead_code, reason = "not every test file filters")]
    pub fn nft(&self) -> NftSocket {
        NftSocket::open_in(self.0.as_fd()).expect("netfilter socket")
    }

    /// Output of a program run inside; a failure or an absent program is part of it.
    pub fn output(&self, program: &str, arguments: &[&str]) -> String {
        let output =
            netns::run_in(self.0.as_fd(), || Command::new(program).args(arguments).output()).expect("namespace");
        match output {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                text + &String::from_utf8_lossy(&output.stderr)
            }
            Err(error) => format!("{program}: {error}"),
        }
    }
}
