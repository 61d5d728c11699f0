//! A bundle with a busybox root file system and a shim for it. Only root can; without busybox or cgroup v2 a test is skipped
//! and says why.

#![allow(clippy::unwrap_used)] // A test may panic.
#![allow(dead_code)] // Each test file uses its part.

use keelson_shim_api::{
    Client, ClientError, ExitRecord, FailureKind, LaunchReport, Outcome, RequestBody, ShimState, Streams,
};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// All streams.
pub const ALL: Streams = Streams {
    stdin: true,
    stdout: true,
    stderr: true,
};

/// A bundle, removed when dropped, its container with it.
pub struct Bundle {
    pub directory: tempfile::TempDir,
    pub spec: Value,
    pub config: Value,
    pub id: String,
    child: Option<Child>,
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    if !Path::new("/bin/busybox").exists() {
        return Some("no /bin/busybox (package busybox-static)".to_owned());
    }
    keelson_oci::cgroup::root::find().err().map(|error| error.chain())
}

/// A bundle that runs `sh -c SCRIPT`.
pub fn bundle(script: &str) -> Option<Bundle> {
    if let Some(reason) = missing() {
        assert!(std::env::var_os("KEELSON_STRICT").is_none(), "{reason}");
        eprintln!("skipped: {reason}");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("rootfs");
    for name in ["bin", "dev", "proc", "tmp"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in [
        "sh", "cat", "sleep", "echo", "seq", "stty", "tty", "id", "yes", "head", "dd", "kill", "true", "ls",
    ] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    let id = format!(
        "shim-test-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let at = |name: &str| directory.path().join(name);
    let config = json!({
        "id": id, "name": "web", "image": "img:1", "runtime_root": at("states"), "socket": at("socket"),
        "exit_file": at("exit.json"), "open_stdin": false, "log": {"file": at("log")},
    });
    let spec = json!({
        "ociVersion": "1.2.0", "root": {"path": "rootfs"},
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"]},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]},
        ],
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "network"}]},
    });
    Some(Bundle {
        directory,
        spec,
        config,
        id,
        child: None,
    })
}

impl Bundle {
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the shim and reads its report.
    pub fn launch(&mut self) -> LaunchReport {
        fs::write(self.path("config.json"), self.spec.to_string()).unwrap();
        fs::write(self.path("shim.json"), self.config.to_string()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_keelson-shim"))
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let mut more = String::new();
        assert_eq!(
            output.read_line(&mut more).unwrap(),
            0,
            "stdout is closed after the report"
        );
        self.child = Some(child);
        serde_json::from_str(&line).unwrap()
    }

    pub fn created(&mut self) -> (i32, i32) {
        match self.launch() {
            LaunchReport::Created { pid, shim_pid } => (pid, shim_pid),
            LaunchReport::Failed { failure } => panic!("{}", failure.message),
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.path("socket")).unwrap()
    }

    /// Waits for the shim's end.
    pub fn await_shim(&mut self) -> i32 {
        let child = self.child.as_mut().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "the shim does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn exit_record(&self) -> ExitRecord {
        serde_json::from_slice(&fs::read(self.path("exit.json")).unwrap()).unwrap()
    }

    pub fn log_text(&self) -> String {
        let text = fs::read_to_string(self.path("log")).unwrap();
        text.lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["text"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if let Ok(container) = keelson_oci::Container::load(&self.path("states"), &self.id) {
            let _ = container.delete(true);
        }
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks; the outcome must not be a failure.
pub fn ask(client: &mut Client, body: RequestBody) -> (Outcome, Vec<OwnedFd>) {
    client.call(body).unwrap_or_else(|error| panic!("{error}"))
}

/// Asks; must fail.
pub fn refused(client: &mut Client, body: RequestBody) -> (FailureKind, String) {
    match client.call(body) {
        Err(ClientError::Failed { failure }) => (failure.kind, failure.message),
        other => panic!("{other:?}"),
    }
}

pub fn state(client: &mut Client) -> ShimState {
    match ask(client, RequestBody::State).0 {
        Outcome::State { state } => state,
        other => panic!("{other:?}"),
    }
}

pub fn wait(client: &mut Client, process: Option<&str>) -> ExitRecord {
    match ask(
        client,
        RequestBody::Wait {
            process: process.map(str::to_owned),
        },
    )
    .0
    {
        Outcome::Exited { exit } => exit,
        other => panic!("{other:?}"),
    }
}

/// An OCI process for exec.
pub fn process(arguments: &[&str], terminal: bool) -> Value {
    json!({"user": {"uid": 0, "gid": 0}, "args": arguments, "cwd": "/", "env": ["PATH=/bin"], "terminal": terminal,
           "consoleSize": {"height": 10, "width": 20}})
}
