//! Docker's real command line client against the daemon with a shim that plays containers: what the
//! client sends is understood, what it gets back is what it expects.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::{Machine, Shim, layer, wait_for};

fn machine() -> Machine {
    Machine::start(
        Shim::Fake,
        layer(&[
            ("etc/", 0o755, b""),
            (
                "etc/passwd",
                0o644,
                b"root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/srv:/bin/sh\n",
            ),
            ("data/", 0o755, b""),
            ("data/seed", 0o644, b"from the image"),
        ]),
    )
}

#[test]
fn privileged_a_container_lives_and_dies_by_dockers_client() {
    let machine = machine();
    let image = machine.image();
    let pulled = machine.docker_ok(&["pull", &image]);
    assert!(pulled.contains("Status: Downloaded newer image"), "{pulled}");
    assert!(machine.docker_ok(&["pull", &image]).contains("Image is up to date"));
    let listed = machine.docker_ok(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(listed, image);

    let id = machine.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", &image]);
    assert_eq!(id.len(), 64);
    let shown = machine.docker_ok(&["ps", "--no-trunc", "--format", "{{.Names}} {{.State}} {{.Ports}}"]);
    assert_eq!(shown, "web running 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
    assert_eq!(machine.inspect("web", "{{.Path}} {{.Args}}"), "/bin/probe [run]");
    assert_eq!(
        machine.inspect("web", "{{.NetworkSettings.Networks.bridge.IPAddress}}"),
        "172.30.0.2"
    );
    assert_eq!(machine.inspect("web", "{{.Config.Env}}"), "[PATH=/bin FROM=image]");

    machine.docker_ok(&["stop", "-t", "5", "web"]);
    assert_eq!(
        machine.inspect("web", "{{.State.Status}} {{.State.ExitCode}}"),
        "exited 143"
    );
    machine.docker_ok(&["start", "web"]);
    machine.docker_ok(&["restart", "web"]);
    machine.docker_ok(&["kill", "web"]);
    assert_eq!(machine.docker_ok(&["wait", "web"]), "137");
    machine.docker_ok(&["rename", "web", "old"]);
    machine.docker_ok(&["rm", "old"]);
    machine.docker_ok(&["rmi", &image]);
    assert_eq!(machine.docker_ok(&["images", "-q"]), "");
    assert_eq!(machine.docker_ok(&["ps", "-aq"]), "");
}

#[test]
fn privileged_output_is_read_and_followed() {
    let machine = machine();
    let image = machine.image();
    machine.docker_ok(&["pull", &image]);
    machine.docker_ok(&["run", "-d", "--name", "talk", "--entrypoint", "say", &image, "hello"]);
    assert_eq!(machine.docker_ok(&["logs", "talk"]), "hello");
    let stamped = machine.docker_ok(&["logs", "-t", "talk"]);
    assert!(stamped.ends_with("Z hello"), "{stamped}");
    assert_eq!(machine.docker_ok(&["logs", "--tail", "0", "talk"]), "");
    assert_eq!(
        machine.docker_ok(&["logs", "--since", "2099-01-01T00:00:00Z", "talk"]),
        ""
    );
    let follow = machine.docker_spawn(&["logs", "-f", "talk"]);
    machine.docker_ok(&["stop", "talk"]);
    let output = follow.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n");
}

#[test]
fn privileged_output_is_chosen_by_number_and_time() {
    let machine = machine();
    let image = machine.image();
    machine.docker_ok(&["pull", &image]);
    machine.docker_ok(&["run", "-d", "--name", "talk", "--entrypoint", "say", &image, "hello"]);
    for _ in 0..2 {
        machine.docker_ok(&["stop", "talk"]);
        machine.docker_ok(&["start", "talk"]);
    }
    let stamped = machine.docker_ok(&["logs", "-t", "talk"]);
    let times: Vec<&str> = stamped
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|line| line.0)
        .collect();
    let [first, second, third] = times.as_slice() else {
        panic!("three lines: {stamped}")
    };
    let chosen = |words: &[&str]| {
        let words = [&["logs", "-t"], words, &["talk"]].concat();
        let text = machine.docker_ok(&words);
        let times: Vec<String> = text.lines().map(|line| line.replace(" hello", "")).collect();
        times
    };
    assert_eq!(chosen(&["--tail", "2"]), [*second, *third]);
    assert_eq!(chosen(&["--tail", "all"]).len(), 3);
    assert_eq!(chosen(&["--since", second]), [*second, *third]);
    assert_eq!(chosen(&["--until", second]), [*first, *second]);
    assert_eq!(chosen(&["--since", second, "--until", second]), [*second]);
    assert_eq!(chosen(&["--since", "10m", "--tail", "1"]), [*third]);
    assert_eq!(chosen(&["--until", "10m"]), [""; 0]);
}

#[test]
fn privileged_engine_and_images_describe_themselves() {
    let machine = machine();
    let image = machine.image();
    machine.docker_ok(&["pull", &image]);
    machine.docker_ok(&["run", "-d", "--name", "web", &image]);
    let info = |format: &str| machine.docker_ok(&["info", "--format", format]);
    assert_eq!(info("{{.Containers}} {{.ContainersRunning}} {{.Images}}"), "1 1 1");
    assert_eq!(info("{{.OSType}} {{.Architecture}}"), "linux x86_64");
    assert!(machine.docker_ok(&["info"]).contains("Server Version:"));
    let inspect = |format: &str| machine.docker_ok(&["image", "inspect", "--format", format, &image]);
    assert_eq!(inspect("{{index .RepoTags 0}}"), image);
    assert_eq!(
        inspect("{{.Os}}/{{.Architecture}} {{len .RootFS.Layers}}"),
        "linux/amd64 1"
    );
    assert!(inspect("{{.Config.Env}}").contains("FROM=image"));
    assert!(inspect("{{.Id}}").starts_with("sha256:"));
    let absent = machine.docker_fails(&["image", "inspect", "nothing:1"]);
    assert!(absent.contains("No such image"), "{absent}");
    machine.docker_ok(&["rm", "-f", "web"]);
}

#[test]
fn privileged_refusals_are_in_dockers_words() {
    let machine = machine();
    let image = machine.image();
    let missing = machine.docker_fails(&["run", "-d", "--pull", "never", &image]);
    assert!(missing.contains("No such image"), "{missing}");
    machine.docker_ok(&["pull", &image]);
    let absent = machine.docker_fails(&["pull", &format!("{image}-not")]);
    assert!(absent.contains("not found"), "{absent}");

    machine.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", &image]);
    let cases: [(&[&str], &str); 9] = [
        (&["create", "--name", "web", &image], "is already in use by container"),
        (&["create", "--name", "-x", &image], "Invalid container name"),
        (&["start", "nobody"], "No such container: nobody"),
        (&["rm", "web"], "container is running"),
        (&["rmi", &image], "image is being used by running container"),
        (&["run", "-d", "-p", "8080:80", &image], "port is already allocated"),
        (
            &["run", "-d", "--entrypoint", "missing", &image],
            "executable file not found",
        ),
        (
            &["run", "-d", "--link", "web:x", &image],
            "not supported by this engine yet",
        ),
        (&["push", &image], "not supported by this engine yet"),
    ];
    for (arguments, want) in cases {
        let got = machine.docker_fails(arguments);
        assert!(got.contains(want), "{arguments:?}: {got}");
    }
    let code = machine
        .docker(&["run", "-d", "--entrypoint", "missing", &image])
        .status
        .code();
    assert_eq!(code, Some(127));
    machine.docker_ok(&["rm", "-f", "web"]);
}

#[test]
fn privileged_policies_restart_and_patience_ends() {
    let machine = machine();
    let image = machine.image();
    machine.docker_ok(&["pull", &image]);
    let limited = [
        "run",
        "-d",
        "--name",
        "flap",
        "--restart",
        "on-failure:2",
        "--entrypoint",
        "exit",
    ];
    machine.docker_ok(&[&limited[..], &[&image, "3"]].concat());
    machine.wait_until(
        "flap",
        "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}",
        "exited 2 3",
    );

    machine.docker_ok(&["run", "-d", "--name", "deaf", "--entrypoint", "stubborn", &image]);
    machine.docker_ok(&["stop", "-t", "1", "deaf"]);
    assert_eq!(machine.inspect("deaf", "{{.State.ExitCode}}"), "137");

    machine.docker_ok(&[
        "run",
        "-d",
        "--rm",
        "--name",
        "brief",
        "--entrypoint",
        "exit",
        &image,
        "0",
    ]);
    wait_for("the removal", || {
        (!machine.docker(&["inspect", "brief"]).status.success()).then_some(())
    });
}

#[test]
fn privileged_a_killed_daemon_finds_its_containers() {
    let machine = machine();
    let image = machine.image();
    machine.docker_ok(&["pull", &image]);
    machine.docker_ok(&["run", "-d", "--name", "web", "-p", "8080:80", &image]);
    machine.docker_ok(&["run", "-d", "--name", "gone", "--restart", "always", &image]);
    let pid = machine.inspect("web", "{{.State.Pid}}");
    let other = machine.inspect("gone", "{{.State.Pid}}");
    machine.kill_daemon();
    // One of them ends while nobody looks.
    let other = nix::unistd::Pid::from_raw(other.parse().unwrap());
    nix::sys::signal::kill(other, nix::sys::signal::Signal::SIGKILL).unwrap();
    machine.start_daemon();
    assert_eq!(
        machine.inspect("web", "{{.State.Status}} {{.State.Pid}}"),
        format!("running {pid}")
    );
    let taken = machine.docker_fails(&["run", "-d", "-p", "8080:80", &image]);
    assert!(taken.contains("port is already allocated"), "{taken}");
    machine.wait_until("gone", "{{.State.Status}}", "running");
    machine.docker_ok(&["stop", "web"]);
}

#[test]
fn privileged_a_stop_goes_on_when_the_daemon_dies() {
    let machine = machine();
    let image = machine.image();
    machine.docker_ok(&["pull", &image]);
    let run = ["run", "-d", "--stop-timeout", "1", "--entrypoint", "stubborn", "--name"];
    let id = machine.docker_ok(&[&run[..], &["deaf", &image]].concat());
    machine.docker_ok(&[&run[..], &["reloaded", &image]].concat());
    machine.docker_ok(&["kill", "-s", "HUP", "reloaded"]);
    let mut stop = machine.docker_spawn(&["stop", "-t", "60", "deaf"]);
    let record = machine.path("state/containers").join(id).join("record.json");
    wait_for("the stop", || {
        let text = std::fs::read_to_string(&record).unwrap();
        let state: serde_json::Value = serde_json::from_str(&text).unwrap();
        (state["state"]["stopping"] == true).then_some(())
    });
    machine.kill_and_start();
    stop.wait().unwrap();
    machine.wait_until("deaf", "{{.State.Status}} {{.State.ExitCode}}", "exited 137");
    assert_eq!(machine.inspect("reloaded", "{{.State.Status}}"), "running");
}

#[test]
fn privileged_declared_containers_are_kept() {
    let machine = machine();
    let declare = |command: &str| {
        machine.write_config(&serde_json::json!({
            "web": {"image": machine.image(), "ports": ["8080:80"], "command": [command]},
        }));
        let pid = nix::unistd::Pid::from_raw(machine.daemon_pid());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    };
    declare("run");
    machine.wait_until("web", "{{.State.Status}} {{.Config.Cmd}}", "running [run]");
    declare("other");
    machine.wait_until("web", "{{.State.Status}} {{.Config.Cmd}}", "running [other]");
    machine.write_config(&serde_json::json!({}));
    let pid = nix::unistd::Pid::from_raw(machine.daemon_pid());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    wait_for("the removal", || {
        (machine.docker_ok(&["ps", "-aq"]).is_empty()).then_some(())
    });
}

#[test]
fn privileged_the_end_of_the_machine_stops_containers_and_the_end_of_the_daemon_does_not() {
    let machine = machine();
    let image = machine.image();
    machine.docker_ok(&["pull", &image]);
    machine.docker_ok(&["run", "-d", "--name", "kept", "--restart", "unless-stopped", &image]);
    let pid = machine.inspect("kept", "{{.State.Pid}}");
    machine.end_daemon(false);
    machine.start_daemon();
    assert_eq!(machine.inspect("kept", "{{.State.Pid}}"), pid);
    machine.end_daemon(true);
    // One that has ended has no command line, even if nobody has collected it yet.
    let command = || std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    wait_for("the container's end", || command().is_empty().then_some(()));
    // Nobody stopped it by hand, so it runs again with the engine.
    machine.start_daemon();
    machine.wait_until("kept", "{{.State.Status}}", "running");
    assert_ne!(machine.inspect("kept", "{{.State.Pid}}"), pid);
}
