//! A bundle with a busybox root file system, and the runtime run on it. Only root can; without busybox or cgroup v2 a test
//! is skipped and says why.

#![allow(clippy::unwrap_used)] // A test may panic.
#![allow(dead_code)] // Each test file uses its part.

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A bundle and a place for states; removed when dropped, its containers with it.
pub struct Bundle {
    pub directory: tempfile::TempDir,
    pub spec: Value,
    pub id: String,
}

/// Why containers cannot be run here.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    if !Path::new("/bin/busybox").exists() {
        return Some("no /bin/busybox (package busybox-static)".to_owned());
    }
    keelson_oci::cgroup::root::find().err().map(|error| error.chain())
}

/// A bundle that runs `sh -c SCRIPT`; `None`, with the reason said, where it cannot be run.
pub fn bundle(script: &str) -> Option<Bundle> {
    if let Some(reason) = missing() {
        assert!(std::env::var_os("KEELSON_STRICT").is_none(), "{reason}");
        eprintln!("skipped: {reason}");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    make_root(&directory.path().join("rootfs"));
    let id = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Some(Bundle {
        directory,
        spec: spec(script),
        id,
    })
}

fn make_root(root: &Path) {
    for name in ["bin", "dev", "proc", "sys", "etc", "tmp"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    let list = Command::new("/bin/busybox").arg("--list").output().unwrap();
    for applet in String::from_utf8(list.stdout)
        .unwrap()
        .lines()
        .filter(|applet| *applet != "busybox")
    {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/srv/www:/bin/sh\n",
    )
    .unwrap();
}

/// What an engine would ask for an ordinary container.
pub fn spec(script: &str) -> Value {
    let capabilities = [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ];
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "box",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"],
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        },
        "annotations": {"org.keelson.seccomp": "default"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}, {"type": "cgroup"}],
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/acpi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

impl Bundle {
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("rootfs")
    }

    pub fn states(&self) -> PathBuf {
        self.directory.path().join("states")
    }

    pub fn state_directory(&self) -> PathBuf {
        self.states().join(&self.id)
    }

    /// Adds to an array of the specification.
    pub fn add(&mut self, pointer: &str, value: Value) -> &mut Self {
        self.spec
            .pointer_mut(pointer)
            .unwrap()
            .as_array_mut()
            .unwrap()
            .push(value);
        self
    }

    pub fn write(&self) {
        fs::write(self.directory.path().join("config.json"), self.spec.to_string()).unwrap();
    }

    /// The runtime with arguments, `ID` replaced.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keelson-oci"));
        command
            .arg("--root")
            .arg(self.states())
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command.args(
            arguments
                .iter()
                .map(|argument| if *argument == "ID" { self.id.as_str() } else { argument }),
        );
        command
    }

    /// Runs it to its end.
    pub fn call(&self, arguments: &[&str]) -> Said {
        finish(
            self.command(arguments)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    /// `run` to the container's end.
    pub fn run(&self) -> Said {
        self.write();
        self.call(&["run", "ID"])
    }

    /// Creates and starts it, its output to /dev/null or a file.
    pub fn start(&self) {
        self.create(Stdio::null()).success();
        self.call(&["start", "ID"]).success();
    }

    pub fn create(&self, output: Stdio) -> Said {
        self.write();
        let error_path = self.directory.path().join("create-error");
        let errors = fs::File::create(&error_path).unwrap();
        // The container inherits these streams: waiting for their end would be waiting for its end.
        let mut child = self
            .command(&["create", "ID"])
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap();
        let status = wait(&mut child);
        Said {
            code: status,
            out: String::new(),
            err: fs::read_to_string(error_path).unwrap(),
        }
    }

    pub fn exec(&self, script: &str) -> Said {
        self.call(&["exec", "ID", "sh", "-c", script])
    }

    pub fn status(&self) -> String {
        let said = self.call(&["state", "ID"]).success();
        let state: Value = serde_json::from_str(&said.out).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }

    pub fn pid(&self) -> i64 {
        let said = self.call(&["state", "ID"]).success();
        serde_json::from_str::<Value>(&said.out).unwrap()["pid"]
            .as_i64()
            .unwrap()
    }

    /// Waits until the state is this.
    pub fn await_status(&self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.status() != wanted {
            assert!(
                Instant::now() < deadline,
                "{} is {}, not {wanted}",
                self.id,
                self.status()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self
            .command(&["delete", "--force", "ID"])
            .stderr(Stdio::null())
            .status();
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn success(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    pub fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }
}

pub fn finish(mut child: Child) -> Said {
    let deadline = Instant::now() + PATIENCE;
    let pid = child.id();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if is_done
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .is_err()
        {
            let _ = Command::new("/bin/busybox")
                .args(["kill", "-9", &pid.to_string()])
                .status();
        }
    });
    let stdin = child.stdin.take();
    drop(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let _ = done.send(());
    guard.join().unwrap();
    Said {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

fn wait(child: &mut Child) -> i32 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
