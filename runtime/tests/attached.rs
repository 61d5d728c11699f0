//! Streams of containers and of commands in them, by both of Docker's clients: pipes, terminals, half-closed inputs,
//! exit codes, detach keys. Needs root; runs in namespaces of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::terminal::Terminal;
use support::{Machine, Shim, clients, layer};

/// Runs a scenario with each client against one machine.
fn with_both_clients(scenario: impl Fn(&Machine, &str)) {
    let both = clients::both();
    let probe = std::fs::read(support::program("examples/probe")).unwrap();
    let files: [(&str, u32, &[u8]); 4] = [
        ("bin/", 0o755, b""),
        ("bin/probe", 0o755, &probe),
        ("etc/", 0o755, b""),
        (
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/srv:/bin/sh\n",
        ),
    ];
    let machine = Machine::start(Shim::Real, layer(&files));
    for client in both {
        machine.use_client(client);
        let image = machine.image();
        machine.docker_ok(&["pull", &image]);
        scenario(&machine, &image);
        machine.docker_ok(&["rmi", "-f", &image]);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn privileged_run_shows_both_outputs_and_passes_the_exit_code() {
    with_both_clients(|machine, image| {
        let output = machine.docker(&["run", "--rm", image, "both"]);
        assert_eq!(text(&output.stdout), "to output\n", "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "to error\n");
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(machine.docker_ok(&["ps", "-aq"]), "", "--rm removed it");
        for _ in 0..5 {
            let brief = machine.docker(&["run", "--rm", "--network", "none", image, "exit", "7"]);
            assert_eq!(brief.status.code(), Some(7), "{}", text(&brief.stderr));
        }
        let missing = machine.docker(&["run", "--rm", "--entrypoint", "/no", image]);
        assert_eq!(missing.status.code(), Some(127), "{}", text(&missing.stderr));
        assert_eq!(machine.docker_ok(&["ps", "-aq"]), "", "a failed start is removed too");
        let flood = machine.docker(&["run", "--rm", image, "flood", "3000000"]);
        assert_eq!(flood.stdout.len(), 3_000_000);
    });
}

#[test]
fn privileged_input_reaches_the_container_and_its_end_too() {
    with_both_clients(|machine, image| {
        let output = machine.docker_with_input(&["run", "-i", "--rm", image, "cat"], b"one\ntwo\n");
        assert_eq!(
            text(&output.stdout),
            "one\ntwo\nend after 8\n",
            "{}",
            text(&output.stderr)
        );
        let much = b"y".repeat(2_000_000);
        let output = machine.docker_with_input(&["run", "-i", "--rm", image, "cat"], &much);
        assert!(output.stdout.starts_with(&much), "{} bytes", output.stdout.len());

        machine.docker_ok(&["create", "-i", "--name", "late", image, "cat"]);
        let output = machine.docker_with_input(&["start", "-ai", "late"], b"three\n");
        assert_eq!(text(&output.stdout), "three\nend after 6\n", "{}", text(&output.stderr));
        assert_eq!(machine.docker_ok(&["logs", "late"]), "three\nend after 6");
        machine.docker_ok(&["rm", "late"]);
    });
}

#[test]
fn privileged_a_terminal_has_a_size_and_can_be_left() {
    with_both_clients(|machine, image| {
        let run = ["run", "-it", "--name", "screen", image, "terminal"];
        let mut terminal = Terminal::run(&mut machine.client(&run), 30, 100);
        terminal.type_in("\r");
        terminal.expect("size 30 100");
        terminal.resize(40, 120);
        support::wait_for("the new size", || {
            let size = machine.docker(&["exec", "screen", "probe", "say", "here"]);
            size.status.success().then_some(())
        });
        terminal.type_in("\r");
        terminal.expect("size 40 120");
        terminal.type_in("\x10\x11");
        terminal.end();
        assert_eq!(machine.inspect("screen", "{{.State.Status}}"), "running");
        let mut again = Terminal::run(&mut machine.client(&["attach", "screen"]), 25, 90);
        again.type_in("\r");
        again.expect("size");
        again.type_in("quit\r");
        assert_eq!(again.end().code(), Some(5));
        assert_eq!(machine.inspect("screen", "{{.State.ExitCode}}"), "5");
        machine.docker_ok(&["rm", "screen"]);
    });
}

#[test]
fn privileged_commands_run_in_containers() {
    with_both_clients(|machine, image| {
        machine.docker_ok(&["run", "-d", "--name", "base", "-e", "A=container", image, "run"]);
        let output = machine.docker(&["exec", "base", "probe", "both"]);
        assert_eq!(
            (text(&output.stdout).as_str(), text(&output.stderr).as_str()),
            ("to output\n", "to error\n")
        );
        assert_eq!(output.status.code(), Some(3));
        let shown = machine.docker_ok(&[
            "exec", "-u", "www", "-w", "/etc", "-e", "B=exec", "base", "probe", "show",
        ]);
        for line in [
            "Uid:\t33\t33\t33\t33",
            "cwd /etc",
            "env A=container",
            "env B=exec",
            "env HOME=/srv",
        ] {
            assert!(shown.lines().any(|l| l == line), "{line:?} is not in\n{shown}");
        }
        let free = machine.docker_ok(&["exec", "--privileged", "base", "probe", "show"]);
        assert!(free.contains("CapEff:\t000001ff"), "{free}");
        let piped = machine.docker_with_input(&["exec", "-i", "base", "probe", "cat"], b"through\n");
        assert_eq!(text(&piped.stdout), "through\nend after 8\n");
        for (program, code) in [("nothing-there", 127), ("/etc", 126)] {
            let failed = machine.docker(&["exec", "base", program]);
            assert_eq!(
                failed.status.code(),
                Some(code),
                "{}{}",
                text(&failed.stdout),
                text(&failed.stderr)
            );
        }
        let nobody = machine.docker_fails(&["exec", "-u", "nobody", "base", "probe"]);
        assert!(nobody.contains("unable to find user nobody"), "{nobody}");
        machine.docker_ok(&["exec", "-d", "base", "probe", "write", "/made", "in the back"]);
        machine.wait_output(&["exec", "base", "probe", "read", "/made"], "in the back");

        let exec = ["exec", "-it", "base", "probe", "terminal"];
        let mut terminal = Terminal::run(&mut machine.client(&exec), 33, 77);
        terminal.type_in("\r");
        terminal.expect("size 33 77");
        terminal.type_in("quit\r");
        assert_eq!(terminal.end().code(), Some(5));
        machine.docker_ok(&["rm", "-f", "base"]);
        let gone = machine.docker_fails(&["exec", "base", "probe"]);
        assert!(gone.contains("No such container: base"), "{gone}");
    });
}
