//! The daemon with the real shim and the real runtime: real namespaces, mounts, network. Needs root; runs in
//! namespaces of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use support::{Machine, Shim, layer, wait_for};

fn machine() -> Machine {
    let probe = std::fs::read(support::program("examples/probe")).unwrap();
    let machine = Machine::start(
        Shim::Real,
        layer(&[
            ("bin/", 0o755, b""),
            ("bin/probe", 0o755, &probe),
            ("etc/", 0o755, b""),
            (
                "etc/passwd",
                0o644,
                b"root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/srv:/bin/sh\n",
            ),
            ("etc/group", 0o644, b"root:x:0:\nwww:x:33:\nlog:x:44:www\n"),
            ("data/", 0o755, b""),
            ("data/seed", 0o640, b"from the image"),
            ("tmp/", 0o1777, b""),
        ]),
    );
    machine.docker_ok(&["pull", &machine.image()]);
    machine
}

impl Machine {
    /// Runs a container to its end; its output.
    fn output(&self, options: &[&str], command: &[&str]) -> String {
        let image = self.image();
        let all = [&["run", "-d"], options, &[image.as_str()], command].concat();
        let id = self.docker_ok(&all);
        self.docker_ok(&["wait", &id]);
        let output = self.docker(&["logs", &id]);
        self.docker_ok(&["rm", "-v", &id]);
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).trim_end().to_owned()
    }
}

fn get(address: &str) -> Option<String> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split("\r\n\r\n").nth(1).map(str::to_owned)
}

#[test]
fn privileged_a_container_runs_as_it_was_asked() {
    let machine = machine();
    let shown = machine.output(&[], &["show"]);
    let has = |text: &str, line: &str| {
        assert!(text.lines().any(|l| l == line), "{line:?} is not in\n{text}");
    };
    for line in [
        "Uid:\t0\t0\t0\t0",
        "CapEff:\t00000000a80425fb",
        "NoNewPrivs:\t0",
        "Seccomp:\t2",
    ] {
        has(&shown, line);
    }
    for line in [
        "pid 1",
        "cwd /work",
        "env PATH=/bin",
        "env FROM=image",
        "env HOME=/root",
    ] {
        has(&shown, line);
    }
    let options = ["-u", "www", "-w", "/tmp", "-e", "A=b", "-h", "box", "--cap-drop", "ALL"];
    let shown = machine.output(&options, &["show"]);
    for line in [
        "Uid:\t33\t33\t33\t33",
        "Gid:\t33\t33\t33\t33",
        "cwd /tmp",
        "env A=b",
        "host box",
    ] {
        has(&shown, line);
    }
    let free = machine.output(&["--privileged"], &["show"]);
    has(&free, "Seccomp:\t0");
    let missing = machine.docker_fails(&["run", "-d", "--entrypoint", "/no", &machine.image()]);
    assert!(
        missing.contains("no such file") || missing.contains("not found"),
        "{missing}"
    );
}

#[test]
fn privileged_published_ports_answer_and_nothing_else_does() {
    let machine = machine();
    let image = machine.image();
    let run = ["run", "-d", "--name", "web", "-p", "8080:80", "-p", "127.0.0.1:8081:80"];
    machine.docker_ok(&[&run[..], &[&image, "serve", "80", "hello"]].concat());
    let answer = wait_for("the page", || get("127.0.0.1:8080"));
    assert!(answer.starts_with("hello"), "{answer}");
    assert!(get("127.0.0.1:8081").is_some());
    wait_for("localhost of IPv6", || get("[::1]:8080"));
    let bound = std::net::TcpListener::bind("0.0.0.0:8080").unwrap_err();
    assert_eq!(
        bound.kind(),
        std::io::ErrorKind::AddrInUse,
        "others see the port in use"
    );
    assert!(get("172.30.0.1:8080").is_some(), "on an address of the host");
    assert!(get("172.30.0.1:8081").is_none(), "only on loopback");
    assert!(get("172.30.0.2:80").is_some(), "the host itself reaches the container");
    let hairpin = machine.output(&[], &["fetch", "172.30.0.1:8080"]);
    assert!(hairpin.starts_with("hello"), "{hairpin}");
    let loopback = machine.output(&[], &["fetch", "127.0.0.1:8080"]);
    assert!(!loopback.contains("hello"), "the host's loopback: {loopback}");
    let host = machine.output(&["--network", "host"], &["fetch", "127.0.0.1:8080"]);
    assert!(host.starts_with("hello"), "{host}");
    let none = machine.output(&["--network", "none"], &["fetch", "172.30.0.1:8080"]);
    assert!(!none.contains("hello"), "{none}");

    machine.kill_and_start();
    assert!(get("127.0.0.1:8080").is_some(), "ports survive the daemon");
    wait_for("[::1] after the daemon's death", || get("[::1]:8080"));
    machine.docker_ok(&["stop", "-t", "1", "web"]);
    assert!(get("127.0.0.1:8080").is_none());
    machine.docker_ok(&["start", "web"]);
    wait_for("the page again", || get("127.0.0.1:8080"));
}

/// Kills a container's shim as the kernel does when memory is short.
fn kill_shim(id: &str) {
    let procs = std::fs::read_to_string(format!("/sys/fs/cgroup/containers/{id}/shim/cgroup.procs")).unwrap();
    let pid = nix::unistd::Pid::from_raw(procs.trim().parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[test]
fn privileged_a_container_outlives_its_shim() {
    let machine = machine();
    let image = machine.image();
    let run = ["run", "-d", "--name", "web", "--restart", "always", "-p", "8080:80"];
    let id = machine.docker_ok(&[&run[..], &[&image, "serve", "80", "hello"]].concat());
    wait_for("the page", || get("127.0.0.1:8080"));

    kill_shim(&id);
    machine.wait_until("web", "{{.State.Status}} {{.RestartCount}}", "running 1");
    wait_for("the page after the shim's death", || get("127.0.0.1:8080"));

    machine.kill_daemon();
    kill_shim(&id);
    machine.start_daemon();
    machine.wait_until("web", "{{.State.Status}} {{.RestartCount}}", "running 2");
    wait_for("the page after the death of both", || get("127.0.0.1:8080"));

    kill_shim(&id);
    machine.wait_until("web", "{{.State.Status}} {{.RestartCount}}", "running 3");
    machine.docker_ok(&["rm", "-f", "web"]);
    let left = machine.path("run/oci").join(&id);
    assert!(!left.exists(), "{}", left.display());
}

#[test]
fn privileged_a_port_of_the_host_is_not_taken_over() {
    let machine = machine();
    let listener = std::net::TcpListener::bind("127.0.0.1:8090").unwrap();
    let run = [
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "8090:80",
        &machine.image(),
        "serve",
        "80",
        "x",
    ];
    let refused = machine.docker_fails(&run);
    assert!(refused.contains("address already in use"), "{refused}");
    drop(listener);
    machine.docker_ok(&["start", "web"]);
    machine.docker_ok(&["restart", "-t", "0", "web"]);
    assert_eq!(machine.docker_ok(&["port", "web", "80"]), "0.0.0.0:8090\n[::]:8090");
}

#[test]
fn privileged_init_limits_pauses_and_figures() {
    let machine = machine();
    let image = machine.image();
    let shown = machine.output(&["--init"], &["show"]);
    assert!(shown.lines().any(|line| line == "pid 2"), "{shown}");
    let missing = machine.docker(&["run", "--rm", "--init", "--entrypoint", "/no", &image]);
    assert_eq!(missing.status.code(), Some(127));
    machine.docker_ok(&["run", "-d", "--init", "--name", "base", &image, "run"]);
    let top = machine.docker_ok(&["top", "base"]);
    let columns: Vec<&str> = top.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(columns, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    assert!(
        top.contains("docker-init -- /bin/probe run") && top.lines().count() == 3,
        "{top}"
    );
    let names = machine.docker_ok(&["top", "base", "-o", "pid,args"]);
    assert!(names.starts_with("PID") && names.contains("/bin/probe run"), "{names}");

    machine.docker_ok(&["pause", "base"]);
    assert_eq!(
        machine.inspect("base", "{{.State.Status}} {{.State.Paused}}"),
        "paused true"
    );
    let again = machine.docker_fails(&["pause", "base"]);
    assert!(again.contains("already paused"), "{again}");
    let exec = machine.docker_fails(&["exec", "base", "/bin/probe", "show"]);
    assert!(exec.contains("is paused, unpause the container before exec"), "{exec}");
    machine.docker_ok(&["unpause", "base"]);
    machine.docker_ok(&["pause", "base"]);

    let figures = machine.docker_ok(&[
        "stats",
        "--no-stream",
        "--format",
        "{{.Name}} {{.CPUPerc}} {{.PIDs}}",
        "base",
    ]);
    assert!(figures.starts_with("base ") && figures.contains('%'), "{figures}");
    machine.docker_ok(&["update", "--restart", "unless-stopped", "base"]);
    assert_eq!(
        machine.inspect("base", "{{.HostConfig.RestartPolicy.Name}}"),
        "unless-stopped"
    );
    machine.docker_ok(&["stop", "-t", "5", "base"]);
    assert_eq!(
        machine.inspect("base", "{{.State.Status}} {{.State.ExitCode}}"),
        "exited 0"
    );
}

#[test]
fn privileged_an_update_of_the_shim_stops_no_container() {
    let machine = machine();
    let image = machine.image();
    machine.docker_ok(&["run", "-d", "-i", "--name", "base", &image, "cat"]);
    let pid = machine.inspect("base", "{{.State.Pid}}");
    let client = machine.docker_spawn(&["wait", "base"]);
    let program = machine.path("newer-shim");
    std::fs::copy(support::program("keelson-shim"), &program).unwrap();
    machine.use_shim(&program);
    machine.kill_and_start();
    let id = machine.inspect("base", "{{.Id}}");
    let procs = std::fs::read_to_string(format!("/sys/fs/cgroup/containers/{id}/shim/cgroup.procs")).unwrap();
    let exe = std::fs::read_link(format!("/proc/{}/exe", procs.trim())).unwrap();
    assert_eq!(exe, program);
    assert_eq!(machine.inspect("base", "{{.State.Pid}}"), pid);
    drop(client);
    machine.docker_ok(&["kill", "-s", "TERM", "base"]);
    machine.docker_ok(&["kill", "base"]);
    assert_eq!(machine.docker_ok(&["wait", "base"]), "137");
}

#[test]
fn privileged_volumes_keep_what_is_written() {
    let machine = machine();
    assert_eq!(
        machine.output(&["-v", "data:/data"], &["read", "/data/seed"]),
        "from the image"
    );
    machine.output(&["-v", "data:/data"], &["write", "/data/seed", "changed"]);
    assert_eq!(
        machine.output(&["-v", "data:/data"], &["read", "/data/seed"]),
        "changed"
    );
    let refused = machine.output(&["-v", "data:/data:ro"], &["write", "/data/seed", "again"]);
    assert!(
        refused.contains("Read-only") || refused.contains("code: 30"),
        "{refused}"
    );
    let own = machine.path("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("file"), "of the host").unwrap();
    let bind = format!("{}:/mnt", own.display());
    assert_eq!(machine.output(&["-v", &bind], &["read", "/mnt/file"]), "of the host");
    let sealed = machine.output(&["--read-only"], &["write", "/file", "x"]);
    assert!(sealed.contains("code: 30") || sealed.contains("Read-only"), "{sealed}");
    assert_eq!(
        machine.output(&["--read-only", "--tmpfs", "/t"], &["write", "/t/x", "x"]),
        ""
    );
}

#[test]
fn privileged_a_container_may_not_ask_the_engine() {
    let machine = machine();
    let socket = format!("{}:/run/docker.sock", machine.path("docker.sock").display());
    let refused = machine.output(&["-v", &socket], &["engine", "/run/docker.sock"]);
    assert!(refused.contains("403"), "{refused}");
    let granted = ["-v", &socket, "--label", "io.keelson.grant=engine"];
    let answer = machine.output(&granted, &["engine", "/run/docker.sock"]);
    assert!(answer.contains("200"), "{answer}");
}

#[test]
fn privileged_stop_restart_and_policies_on_real_processes() {
    let machine = machine();
    let image = machine.image();
    machine.docker_ok(&["run", "-d", "--name", "calm", &image]);
    machine.docker_ok(&["stop", "calm"]);
    assert_eq!(machine.inspect("calm", "{{.State.ExitCode}}"), "0");
    machine.docker_ok(&["start", "calm"]);
    let first = machine.inspect("calm", "{{.State.Pid}}");
    machine.docker_ok(&["restart", "-t", "1", "calm"]);
    assert_ne!(machine.inspect("calm", "{{.State.Pid}}"), first);
    machine.docker_ok(&["kill", "calm"]);
    assert_eq!(machine.docker_ok(&["wait", "calm"]), "137");
    let flap = [
        "run",
        "-d",
        "--name",
        "flap",
        "--restart",
        "on-failure:2",
        &image,
        "exit",
        "3",
    ];
    machine.docker_ok(&flap);
    machine.wait_until(
        "flap",
        "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}",
        "exited 2 3",
    );
}
