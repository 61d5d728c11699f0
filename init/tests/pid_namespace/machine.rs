//! One PID 1 in its own PID, mount and control group namespaces, with its units in a temporary folder. Dropping it ends
//! everything in it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use keelson_manager_api::{Reply, Request, UnitState, UnitStatus};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Nothing in these tests takes this long unless it never happens.
const PATIENCE: Duration = Duration::from_secs(60);
const AGENT: &str = "agent";

/// A unit file in the making.
#[derive(Debug, Clone)]
pub struct Unit {
    name: String,
    kind: &'static str,
    requires: Vec<String>,
    after: Vec<String>,
    service: Vec<String>,
    socket: Option<(String, String, String)>,
    on_call: bool,
}

impl Unit {
    /// A program without arguments.
    pub fn new(name: &str, program: &str, kind: &'static str) -> Self {
        Unit {
            name: name.into(),
            kind,
            requires: Vec::new(),
            after: Vec::new(),
            service: vec![format!("exec = [{program:?}]")],
            socket: None,
            on_call: false,
        }
    }

    /// A point in the boot.
    pub fn target(name: &str) -> Self {
        Unit {
            kind: "target",
            service: Vec::new(),
            ..Self::new(name, "", "target")
        }
    }

    /// A script, as a oneshot.
    pub fn shell(name: &str, script: &str) -> Self {
        let service = vec![format!("exec = [\"/bin/sh\", \"-c\", {script:?}]")];
        Unit {
            service,
            ..Self::new(name, "", "oneshot")
        }
    }

    /// This test program in a part of `roles`, as a service.
    pub fn role(name: &str, role: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        let service = vec![
            format!("exec = [{program:?}, \"--exact\", \"role\", \"--nocapture\"]"),
            format!("environment.ROLE = {role:?}"),
        ];
        Unit {
            service,
            ..Self::new(name, "", "service")
        }
    }

    pub fn service(mut self) -> Self {
        self.kind = "service";
        self
    }

    pub fn requires(mut self, name: &str) -> Self {
        self.requires.push(name.into());
        self
    }

    pub fn after(mut self, name: &str) -> Self {
        self.after.push(name.into());
        self
    }

    /// A line of the table `[service]`.
    pub fn line(mut self, line: &str) -> Self {
        self.service.push(line.into());
        self
    }

    /// Not started with the machine, but by who knocks at its socket.
    pub fn on_call(mut self) -> Self {
        self.on_call = true;
        self
    }

    pub fn socket(mut self, name: &str, kind: &str, mode: &str) -> Self {
        self.socket = Some((name.into(), kind.into(), mode.into()));
        self
    }

    fn text(&self, run: &Path) -> String {
        let Unit {
            name,
            kind,
            requires,
            after,
            ..
        } = self;
        let boot = !self.on_call;
        let mut text = format!(
            "schema = 1\n[unit]\ndescription = \"test\"\nkind = {kind:?}\nboot = {boot}\nrequires = {requires:?}\nafter = {after:?}\n"
        );
        if !self.service.is_empty() {
            text += &format!("[service]\n{}\n", self.service.join("\n"));
            text += &format!("environment.RUN = {run:?}\nenvironment.UNIT = {name:?}\n");
        }
        if let Some((name, kind, mode)) = &self.socket {
            let path = run.join(name);
            text += &format!("[[socket]]\nname = {name:?}\nkind = {kind:?}\npath = {path:?}\nmode = {mode:?}\n");
            text += &format!("starts = {}\n", self.on_call);
        }
        text
    }
}

/// A running PID 1.
pub struct Machine {
    folder: TempDir,
    group: PathBuf,
    outer: Child,
    init: i32,
}

impl Machine {
    /// Starts PID 1 with these units and an agent that may control it.
    pub fn boot(units: &[Unit]) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "privileged tests need root");
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["units", "run", "run/open", "cgroup"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let open = fs::Permissions::from_mode(0o777);
        fs::set_permissions(folder.path().join("run/open"), open).unwrap();
        let agent = Unit::role(AGENT, "agent")
            .line("ready = \"notify\"")
            .line("control = true");
        for unit in units.iter().chain([&agent]) {
            let path = folder.path().join("units").join(format!("{}.toml", unit.name));
            fs::write(path, unit.text(&folder.path().join("run"))).unwrap();
        }
        let group = make_group();
        let outer = start(folder.path(), &group);
        let mut machine = Machine {
            folder,
            group,
            outer,
            init: 0,
        };
        machine.wait_until("PID 1", || machine.find_init().is_some());
        machine.init = machine.find_init().unwrap();
        machine.wait_until("its agent", || machine.path(AGENT).exists());
        machine
    }

    /// Below the shell there is `unshare`, and below that PID 1.
    fn find_init(&self) -> Option<i32> {
        let child = |pid: i32| -> Option<i32> {
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        child(child(i32::try_from(self.outer.id()).ok()?)?)
    }

    /// A file of its run-time directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("run").join(name)
    }

    /// The text of such a file; empty if there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Everything PID 1 and its units have said.
    pub fn console(&self) -> String {
        fs::read_to_string(self.folder.path().join("console")).unwrap()
    }

    pub fn wait_for_line(&self, text: &str) {
        self.wait_until(text, || self.console().contains(text));
    }

    pub fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain for {what}; the console says:\n{}",
                self.console()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks PID 1 through the agent that may do everything.
    pub fn ask(&self, request: Request) -> Reply {
        self.ask_as(AGENT, request)
    }

    /// Asks PID 1 through the agent of a unit.
    pub fn ask_as(&self, unit: &str, request: Request) -> Reply {
        let mut stream = UnixStream::connect(self.path(unit)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(stream, "{}", serde_json::to_string(&request).unwrap()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}; console:\n{}", self.console()))
    }

    pub fn status(&self, unit: &str) -> UnitStatus {
        match self.ask(Request::Status { unit: unit.into() }) {
            Reply::Unit { unit } => unit,
            other => panic!("{unit}: {other:?}"),
        }
    }

    pub fn wait_for(&self, unit: &str, state: UnitState) -> UnitStatus {
        self.wait_until(&format!("{unit} to be {state:?}"), || self.status(unit).state == state);
        self.status(unit)
    }

    /// Processes in a unit's group and the one below it, by their ids outside.
    pub fn processes(&self, unit: &str) -> Vec<i32> {
        let group = self.group.join("system").join(unit);
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        let text = read(group.join("cgroup.procs")) + &read(group.join("main/cgroup.procs"));
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Whether there is such a group below that of the units.
    pub fn has_group(&self, path: &str) -> bool {
        self.group.join("system").join(path).is_dir()
    }

    /// Children of PID 1 and the letter of their state.
    pub fn children_of_init(&self) -> Vec<(i32, char)> {
        let init = self.init;
        let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
        let state = |pid: i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, stat.rsplit_once(") ")?.1.chars().next()?))
        };
        children
            .split_whitespace()
            .filter_map(|pid| state(pid.parse().ok()?))
            .collect()
    }

    /// Processor time PID 1 has had, as the kernel writes it.
    pub fn spent_by_init(&self) -> String {
        fs::read_to_string(format!("/proc/{}/schedstat", self.init)).unwrap()
    }

    /// `kill -9` of a process by its id inside.
    pub fn kill(&self, inside: i32) {
        let of_inside = |pid: &i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let ids = status
                .lines()
                .find_map(|line| line.strip_prefix("NSpid:"))
                .unwrap_or_default();
            ids.split_whitespace().last() == Some(&inside.to_string())
        };
        let groups = fs::read_dir(self.group.join("system")).unwrap().flatten();
        let mut pids = groups.flat_map(|group| self.processes(&group.file_name().to_string_lossy()));
        let pid = pids.find(of_inside).unwrap_or_else(|| panic!("no process {inside}"));
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }

    /// Asks for the end by signal; the exit code of PID 1.
    pub fn power_off(&self) -> Option<i32> {
        kill(Pid::from_raw(self.init), Signal::SIGTERM).unwrap();
        let exited = || {
            self.console()
                .lines()
                .find_map(|line| line.strip_prefix("exit "))
                .and_then(|code| code.parse().ok())
        };
        self.wait_until("the end", || exited().is_some());
        exited()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.init > 0 {
            let _ = kill(Pid::from_raw(self.init), Signal::SIGKILL);
        }
        let _ = self.outer.kill();
        let _ = self.outer.wait();
        let _ = fs::write(self.group.join("cgroup.kill"), "1");
        let began = Instant::now();
        while remove_groups(&self.group).is_err() && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A fresh group below the version 2 tree of this host.
fn make_group() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_second = |line: &&str| line.contains(" - cgroup2 ");
    let line = mounts.lines().find(is_second).expect("a version 2 control group tree");
    let name = format!(
        "keelson-test-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let group = Path::new(line.split(' ').nth(4).unwrap()).join(name);
    fs::create_dir(&group).unwrap();
    group
}

fn start(folder: &Path, group: &Path) -> Child {
    let init = env!("CARGO_BIN_EXE_keelson-init");
    let arguments = "system --units $F/units --run $F/run --cgroup $F/cgroup --no-hardware";
    let inner = format!("mount -t cgroup2 none $F/cgroup && exec {init} {arguments}");
    let outer = format!(
        "echo $$ > {}/cgroup.procs; unshare -p -f -m -C --mount-proc sh -c '{inner}'; echo exit $?",
        group.display()
    );
    let console = fs::File::create(folder.join("console")).unwrap();
    // The shell stays in between and says how PID 1 ended.
    Command::new("sh")
        .args(["-c", &outer])
        .env("F", folder)
        .stdin(Stdio::null())
        .stdout(console.try_clone().unwrap())
        .stderr(console)
        .spawn()
        .unwrap()
}

fn remove_groups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
