//! A machine for the engine to run on: namespaces of its own, a registry with one image, the daemon,
//! and Docker's real client. Everything ends with the value.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod clients;
pub mod registry;
pub mod terminal;

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use keelson_netlink::{LinkChange, RouteSocket};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

pub use registry::Registry;

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Moves the calling thread, and what it starts, into namespaces of its own with loopback up and a
/// cgroup tree that has the unified hierarchy at its usual place.
pub fn enter_namespaces() {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    // A hybrid host has its old hierarchies there, and the unified one below them.
    umount2("/sys/fs/cgroup", MntFlags::MNT_DETACH).unwrap();
    mount(
        Some("cgroup2"),
        "/sys/fs/cgroup",
        Some("cgroup2"),
        MsFlags::empty(),
        none,
    )
    .unwrap();
    let up = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    RouteSocket::open().unwrap().change_link(1, &up).unwrap();
}

/// Waits until `test` gives something.
pub fn wait_for<T>(what: &str, mut test: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = test() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Which shim the daemon starts.
#[derive(Debug, Clone, Copy)]
pub enum Shim {
    /// The one that plays containers.
    Fake,
    /// The real one.
    Real,
}

/// The directory of built programs.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_keelson-runtimed"))
        .parent()
        .unwrap()
        .to_owned()
}

/// A built program beside the daemon.
pub fn program(name: &str) -> PathBuf {
    programs().join(name)
}

impl Shim {
    fn program(self) -> PathBuf {
        match self {
            Shim::Fake => programs().join("examples/fake-shim"),
            Shim::Real => programs().join("keelson-shim"),
        }
    }
}

/// A daemon and its machine.
#[derive(Debug)]
pub struct Machine {
    pub directory: tempfile::TempDir,
    pub registry: Registry,
    shim: RefCell<PathBuf>,
    daemon: RefCell<Option<Child>>,
    client: RefCell<PathBuf>,
}

impl Machine {
    /// A machine whose daemon runs and whose registry has `IMAGE`.
    pub fn start(shim: Shim, layer: Vec<u8>) -> Machine {
        enter_namespaces();
        let directory = tempfile::tempdir().unwrap();
        let registry = Registry::serve(layer);
        let machine = Machine {
            directory,
            registry,
            shim: RefCell::new(shim.program()),
            daemon: RefCell::new(None),
            client: RefCell::new("docker".into()),
        };
        machine.write_config(&serde_json::json!({}));
        machine.start_daemon();
        machine
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The image's name.
    pub fn image(&self) -> String {
        format!("{}/demo/probe:1", self.registry.host)
    }

    /// Writes the machine's configuration with these containers.
    pub fn write_config(&self, containers: &serde_json::Value) {
        let host = &self.registry.host;
        let config = serde_json::json!({
            "schema": 1, "registry": {host: {"plain-http": true}}, "container": containers,
        });
        fs::write(self.path("machine.json"), config.to_string()).unwrap();
    }

    pub fn start_daemon(&self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("daemon.log"))
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_keelson-runtimed"));
        for (name, value) in [
            ("--root", self.path("state")),
            ("--run", self.path("run")),
            ("--socket", self.path("docker.sock")),
            ("--shim", self.shim.borrow().clone()),
            ("--config", self.path("machine.json")),
            ("--secrets", self.path("secrets")),
            ("--journal", self.path("no-journal")),
            ("--resolver", self.path("no-resolver")),
            ("--shutting-down", self.path("shutting-down")),
        ] {
            command.arg(name).arg(value);
        }
        command
            .env("KEELSON_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        *self.daemon.borrow_mut() = Some(command.spawn().unwrap());
        wait_for("the API", || self.docker(&["version"]).status.success().then_some(()));
    }

    /// Process id of the daemon.
    pub fn daemon_pid(&self) -> i32 {
        i32::try_from(self.daemon.borrow().as_ref().unwrap().id()).unwrap()
    }

    /// Kills the daemon as a crash would.
    pub fn kill_daemon(&self) {
        let mut daemon = self.daemon.borrow_mut().take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// Asks the daemon to end, with or without word that the machine ends, and waits for it.
    pub fn end_daemon(&self, machine_ends: bool) {
        if machine_ends {
            fs::write(self.path("shutting-down"), "power-off\n").unwrap();
        }
        let mut daemon = self.daemon.borrow_mut().take().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(daemon.wait().unwrap().success());
        let _ = fs::remove_file(self.path("shutting-down"));
    }

    /// Kills the daemon and starts another.
    pub fn kill_and_start(&self) {
        self.kill_daemon();
        self.start_daemon();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// Gives the next daemon another program of the shim.
    pub fn use_shim(&self, program: &Path) {
        *self.shim.borrow_mut() = program.to_owned();
    }

    /// Takes another client from now on.
    pub fn use_client(&self, program: &Path) {
        *self.client.borrow_mut() = program.to_owned();
    }

    pub fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&*self.client.borrow());
        let host = format!("unix://{}", self.path("docker.sock").display());
        command
            .args(arguments)
            .env("DOCKER_HOST", host)
            .env("HOME", self.directory.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs Docker's client.
    pub fn docker(&self, arguments: &[&str]) -> Output {
        self.client(arguments).output().unwrap()
    }

    /// Starts Docker's client without waiting for it.
    pub fn docker_spawn(&self, arguments: &[&str]) -> Child {
        self.client(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs Docker's client with this to read.
    pub fn docker_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .client(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let typed = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
        let output = child.wait_with_output().unwrap();
        // A client may end before it has read everything.
        let _ = typed.join().unwrap();
        output
    }

    /// Runs Docker's client, which must succeed; its output without the end of line.
    pub fn docker_ok(&self, arguments: &[&str]) -> String {
        let output = self.docker(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}: {error}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs Docker's client, which must fail; its error output.
    pub fn docker_fails(&self, arguments: &[&str]) -> String {
        let output = self.docker(arguments);
        assert!(!output.status.success(), "docker {arguments:?} succeeded");
        String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
    }

    /// A member of `docker inspect`.
    pub fn inspect(&self, name: &str, format: &str) -> String {
        self.docker_ok(&["inspect", "--format", format, name])
    }

    /// Waits until a command of the client says `want`.
    pub fn wait_output(&self, arguments: &[&str], want: &str) {
        wait_for(want, || {
            let output = self.docker(arguments);
            (output.status.success() && String::from_utf8_lossy(&output.stdout).trim_end() == want).then_some(())
        });
    }

    /// Waits until `docker inspect` shows `want`.
    pub fn wait_until(&self, name: &str, format: &str, want: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.docker(&["inspect", "--format", format, name]);
            let got = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
            if output.status.success() && got == want {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{name}: {format} is {got:?}, not {want:?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut out = std::io::stderr();
            let _ = std::io::Write::write_all(&mut out, self.log().as_bytes());
        }
        // Containers outlive the daemon by design, so they are removed through it.
        let all = self.docker(&["ps", "-aq"]);
        for id in String::from_utf8_lossy(&all.stdout).split_whitespace() {
            self.docker(&["rm", "-f", "-v", id]);
        }
        if let Some(mut daemon) = self.daemon.borrow_mut().take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        // Mounts of images are in this thread's namespace and would keep the directory busy.
        let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap_or_default();
        let own = self.directory.path().display().to_string();
        for path in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if path.starts_with(&own) {
                let _ = umount2(path, MntFlags::MNT_DETACH);
            }
        }
    }
}

/// A layer with these files: path, mode, content; directories end with a slash.
pub fn layer(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut tar = vec![];
    for (path, mode, content) in files {
        tar.extend(tar_header(path, *mode, content.len()));
        tar.extend(*content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn tar_header(path: &str, mode: u32, size: usize) -> Vec<u8> {
    let mut header = vec![0u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, if path.ends_with('/') { "5" } else { "0" });
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
