//! Commands and sessions, with OpenSSH's own client.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use support::{Bench, answer, assert_logged, run, wait_until};

#[test]
fn a_command_is_run_with_its_streams_and_its_code() {
    let bench = Bench::start();
    let (code, out, error) = answer(bench.ssh("core", "core").args(["status", "--json"]));
    assert_eq!(
        (code, out.as_str(), error.as_str()),
        (1, "core asks: status --json\n", "aside\n")
    );
    assert_logged(&[
        "login",
        "user=core",
        "address=127.0.0.1",
        "key=SHA256:",
        "role=Operator",
    ]);
    assert_logged(&["request", "user=core", "asked=status --json"]);
}

#[test]
fn every_kind_of_user_key_works() {
    let bench = Bench::start();
    for user in ["core", "bob", "ann"] {
        let (code, out, error) = answer(bench.ssh(user, user).arg("status"));
        assert_eq!((code, out), (1, format!("{user} asks: status\n")), "{error}");
    }
}

#[test]
fn nothing_shows_what_there_is_and_ends() {
    let bench = Bench::start();
    let (code, out, _) = answer(&mut bench.ssh("core", "core"));
    assert!(
        code == 0 && out.contains("status") && !out.contains('\r'),
        "{code}: {out}"
    );
    let (code, out, _) = answer(bench.ssh("core", "core").args(["-tt"]));
    assert!(code == 0 && out.contains("status") && out.matches('\n').count() == out.matches("\r\n").count());
}

#[test]
fn readers_only_look() {
    let bench = Bench::start();
    let (code, out, error) = answer(bench.ssh("bob", "bob").arg("reboot"));
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(error.contains("only operators"), "{error}");
    assert_logged(&["request refused", "user=bob", "asked=reboot", "only operators"]);
}

#[test]
fn what_is_not_here_is_said() {
    let bench = Bench::start();
    for (words, hint) in [
        (["statsu"].as_slice(), "'status'"),
        (&["status;", "reboot"], "shell"),
        (&["bash"], "no shell"),
        (&["scp", "-t", "/tmp"], "files are not copied"),
        (&["docker", "ps"], "docker -H ssh://"),
    ] {
        let (code, out, error) = answer(bench.ssh("core", "core").args(words));
        assert!(
            code == 2 && out.is_empty() && error.contains(hint),
            "{words:?}: {code} {error}"
        );
    }
}

#[test]
fn files_are_not_copied() {
    let bench = Bench::start();
    for old in [false, true] {
        let mut scp = bench.client("scp");
        scp.args(old.then_some("-O"))
            .arg("-i")
            .arg(bench.folder().join("core"))
            .args(["-P", &bench.address().port().to_string()])
            .arg(bench.folder().join("core.pub"))
            .arg("core@127.0.0.1:/tmp/x");
        let (code, _, error) = answer(&mut scp);
        assert!(code != 0 && error.contains("files are not copied"), "{code}: {error}");
    }
}

#[test]
fn input_of_any_length_comes_back_whole() {
    let bench = Bench::start();
    let input: Vec<u8> = (0..24_000_000_u32).map(|n| (n ^ (n >> 11)) as u8).collect();
    let mut ssh = bench.ssh("core", "core");
    ssh.args(["config", "validate", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = ssh.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = input.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent));
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(output == input, "{} bytes came back of {}", output.len(), input.len());
}

#[test]
fn a_slow_reader_gets_everything() {
    let bench = Bench::start();
    let mut child = bench
        .ssh("core", "core")
        .arg("boot")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    assert_eq!(output.len(), 4_000_000);
    assert!(child.wait().unwrap().success());
}

/// The stand-in says its pid, and sleeps.
fn start_sleeper(bench: &Bench, more: &[&str]) -> (std::process::Child, u32) {
    let mut ssh = bench.ssh("core", "core");
    let mut child = ssh
        .args(more)
        .arg("services")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = Vec::new();
    let stdout = child.stdout.as_mut().unwrap();
    let mut byte = [0];
    while stdout.read_exact(&mut byte).is_ok() && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    let line = String::from_utf8(line).unwrap();
    let pid = line.trim().strip_prefix("pid ").expect("the pid").parse().unwrap();
    (child, pid)
}

fn lives(pid: u32) -> bool {
    Command::new("kill")
        .args(["-0", &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[test]
fn a_client_that_goes_away_ends_its_program() {
    let bench = Bench::start();
    let (mut client, pid) = start_sleeper(&bench, &[]);
    assert!(lives(pid));
    client.kill().unwrap();
    client.wait().unwrap();
    wait_until("the end of the program", || !lives(pid));
}

#[test]
fn control_c_on_a_terminal_interrupts() {
    let bench = Bench::start();
    let (mut client, pid) = start_sleeper(&bench, &["-tt"]);
    client.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    let code = client.wait().unwrap().code();
    assert_eq!(code, Some(130));
    wait_until("the end of the program", || !lives(pid));
}

#[test]
fn one_connection_carries_several_commands() {
    let bench = Bench::start();
    let control = bench.folder().join("control");
    let path = format!("ControlPath={}", control.display());
    let master = run(bench
        .ssh("core", "core")
        .args(["-o", "ControlMaster=yes", "-o", &path, "-f", "-N"]));
    assert!(master.status.success());
    for _ in 0..20 {
        let (code, out, error) = answer(bench.ssh("core", "core").args(["-o", &path, "status"]));
        assert_eq!((code, out.as_str()), (1, "core asks: status\n"), "{error}");
    }
    run(bench.ssh("core", "core").args(["-o", &path, "-O", "exit"]));
}
