//! A server on loopback with a stand-in for the operator's program and for the engine, and OpenSSH's client.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use keelson_sshd::accounts::Accounts;
use keelson_sshd::doorkeeper::Limits;
use keelson_sshd::running::Running;
use keelson_sshd::server::{Behaviour, Places, Server};
use keelson_sshd::{algorithms, host_key};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Stands in for the program `keelson`: says who asks and what, and does a few things on request.
const PROGRAM: &str = r#"#!/bin/sh
case "$1" in
status) echo "$KEELSON_OPERATOR asks: $*"; echo "aside" >&2; exit 1;;
services) echo "pid $$"; exec sleep 600;;
config) cat; exit 0;;
boot) head -c 4000000 /dev/zero; exit 0;;
esac
"#;

/// A running server.
pub struct Bench {
    folder: tempfile::TempDir,
    address: SocketAddr,
    /// The engine's socket.
    pub engine: PathBuf,
}

/// Bounds under which a test fails as often as it likes.
pub fn patient() -> Limits {
    let tolerance = Duration::from_secs(3600);
    Limits {
        tolerance,
        ..Limits::default()
    }
}

impl Bench {
    /// Starts a server on which `core` has the key `core`, the reader `bob` the key `bob`, the operator `ann` the key `ann`.
    pub fn start() -> Bench {
        Bench::start_with(patient(), Duration::from_secs(30))
    }

    /// The same with other bounds.
    pub fn start_with(limits: Limits, grace: Duration) -> Bench {
        collect_log();
        let folder = tempfile::tempdir().unwrap();
        for (name, kind) in [
            ("core", "ed25519"),
            ("bob", "rsa"),
            ("ann", "ecdsa"),
            ("stranger", "ed25519"),
        ] {
            make_key(folder.path(), name, kind);
        }
        let program = folder.path().join("keelson");
        fs::write(&program, PROGRAM).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let engine = folder.path().join("engine.sock");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let behaviour = Behaviour {
            protocol: algorithms::config(host_key::load_or_make(&folder.path().join("host")).unwrap()),
            accounts: Arc::new(accounts(folder.path())),
            places: Places {
                program,
                engine: engine.clone(),
                running: Running::default(),
            },
            limits,
            grace,
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                Server::new(behaviour).serve(listener).await;
            });
        });
        Bench {
            folder,
            address,
            engine,
        }
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder of keys.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// OpenSSH's client, logging in as `user` with the key `key`; it says nothing of its own but errors.
    pub fn ssh(&self, user: &str, key: &str) -> Command {
        let mut command = self.talkative_ssh(user, key);
        command.args(["-o", "LogLevel=ERROR"]);
        command
    }

    /// The same; it says also why it does not get on.
    pub fn talkative_ssh(&self, user: &str, key: &str) -> Command {
        let mut command = self.client("ssh");
        command
            .arg("-i")
            .arg(self.folder().join(key))
            .args(["-p", &self.address.port().to_string()])
            .arg(format!("{user}@127.0.0.1"));
        command
    }

    /// A program of OpenSSH that asks nobody and reads no configuration.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-F", "none"]);
        for option in [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=no",
            "ConnectTimeout=30",
        ] {
            command.args(["-o", option]);
        }
        let known = self.folder().join("known_hosts");
        command.args(["-o", &format!("UserKnownHostsFile={}", known.display())]);
        command.stdin(Stdio::null());
        command
    }

    /// The public key of this name.
    pub fn public(&self, name: &str) -> String {
        fs::read_to_string(self.folder().join(format!("{name}.pub"))).unwrap()
    }
}

fn make_key(folder: &Path, name: &str, kind: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-t", kind, "-C", name, "-f"])
        .arg(folder.join(name))
        .status();
    assert!(made.expect("ssh-keygen (Debian's package openssh-client)").success());
}

fn accounts(folder: &Path) -> Accounts {
    let key = |name: &str| fs::read_to_string(folder.join(format!("{name}.pub"))).unwrap();
    let (core, bob, ann) = (key("core"), key("bob"), key("ann"));
    let document = format!(
        "schema = 1\n[ssh]\nkeys = [{:?}]\n[[user]]\nname = \"bob\"\nssh-keys = [{:?}]\n[[user]]\nname = \"ann\"\n\
         groups = [\"docker\"]\nssh-keys = [{:?}]\n",
        core.trim(),
        bob.trim(),
        ann.trim()
    );
    let verdict = keelson_machine_config::validate("test", document.as_bytes());
    Accounts::of(&verdict.accepted.expect("valid").config)
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Output {
    command.output().expect("ssh (Debian's package openssh-client)")
}

/// Exit code, standard output, standard error.
pub fn answer(command: &mut Command) -> (i32, String, String) {
    let output = run(command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Waits until something holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the server logged, a line each: message, then key=value.
static LOG: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

fn log_lines() -> &'static Mutex<Vec<String>> {
    LOG.get_or_init(Mutex::default)
}

/// Whether a line with all these parts was logged.
pub fn was_logged(parts: &[&str]) -> bool {
    let lines = log_lines().lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().any(|line| parts.iter().all(|part| line.contains(part)))
}

/// Fails unless a line with all these parts was logged.
pub fn assert_logged(parts: &[&str]) {
    let lines = || log_lines().lock().unwrap_or_else(PoisonError::into_inner).join("\n");
    assert!(was_logged(parts), "{parts:?} is not in the log:\n{}", lines());
}

fn collect_log() {
    struct Collector;
    impl log::Log for Collector {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.target().starts_with("keelson")
        }
        fn log(&self, record: &log::Record<'_>) {
            if self.enabled(record.metadata()) {
                let mut line = record.args().to_string();
                let _ = record.key_values().visit(&mut Fields(&mut line));
                log_lines().lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        }
        fn flush(&self) {}
    }
    struct Fields<'a>(&'a mut String);
    impl<'kvs> log::kv::VisitSource<'kvs> for Fields<'_> {
        fn visit_pair(&mut self, key: log::kv::Key<'kvs>, value: log::kv::Value<'kvs>) -> Result<(), log::kv::Error> {
            use std::fmt::Write as _;
            write!(self.0, " {key}={value}").map_err(|_| log::kv::Error::msg("line not written"))
        }
    }
    if log::set_boxed_logger(Box::new(Collector)).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}
