//! What is refused, and that it is logged.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use keelson_sshd::doorkeeper::Limits;
use support::{Bench, answer, assert_logged, wait_until, was_logged};

#[test]
fn only_the_users_own_keys_open() {
    let bench = Bench::start();
    for (user, key, reason) in [
        ("core", "stranger", "not a key of this user"),
        ("core", "bob", "not a key of this user"),
        ("root", "core", "no user of this name has a key"),
    ] {
        let (code, out, error) = answer(bench.ssh(user, key).arg("status"));
        assert!(code == 255 && out.is_empty(), "{user} with {key}: {code} {out}");
        assert!(error.contains("Permission denied (publickey)"), "{error}");
        let name = format!("user={user}");
        assert_logged(&["login refused", &name, "address=127.0.0.1", "key=SHA256:", reason]);
    }
}

#[test]
fn passwords_and_questions_are_not_asked() {
    let bench = Bench::start();
    for method in ["password", "keyboard-interactive"] {
        let option = format!("PreferredAuthentications={method}");
        let (code, _, error) = answer(bench.ssh("core", "core").args(["-o", &option, "status"]));
        assert!(
            code == 255 && error.contains("Permission denied (publickey)"),
            "{code}: {error}"
        );
        wait_until("the log", || was_logged(&WITHOUT_OFFER));
    }
}

/// A client that has only a password learns that none is taken, and leaves.
const WITHOUT_OFFER: [&str; 4] = [
    "login refused",
    "user=core",
    "address=127.0.0.1",
    "no key was offered that could be accepted, and passwords are not",
];

#[test]
fn old_algorithms_find_nobody() {
    let bench = Bench::start();
    for (option, kind) in [
        ("KexAlgorithms=diffie-hellman-group14-sha1", "Kex"),
        ("KexAlgorithms=diffie-hellman-group14-sha256", "Kex"),
        ("KexAlgorithms=ecdh-sha2-nistp256", "Kex"),
        ("Ciphers=aes256-cbc", "Cipher"),
        ("Ciphers=aes256-ctr", "Cipher"),
        ("HostKeyAlgorithms=ssh-rsa", "Key"),
    ] {
        let (code, _, error) = answer(bench.talkative_ssh("core", "core").args(["-o", option, "status"]));
        assert!(code == 255 && error.contains("no matching"), "{option}: {code} {error}");
        let offered = option.split('=').nth(1).unwrap();
        let parts = ["connection refused", "address=127.0.0.1", kind, offered];
        wait_until("the log", || was_logged(&parts));
    }
}

#[test]
fn rsa_signs_with_sha2_or_not_at_all() {
    let bench = Bench::start();
    let (code, ..) = answer(
        bench
            .ssh("bob", "bob")
            .args(["-o", "PubkeyAcceptedAlgorithms=ssh-rsa", "status"]),
    );
    assert_eq!(code, 255);
    wait_until("the log", || {
        was_logged(&["login refused", "user=bob", "no key was offered"])
    });
    for algorithm in ["rsa-sha2-256", "rsa-sha2-512"] {
        let option = format!("PubkeyAcceptedAlgorithms={algorithm}");
        let (code, _, error) = answer(bench.ssh("bob", "bob").args(["-o", &option, "status"]));
        assert_eq!(code, 1, "{error}");
    }
}

#[test]
fn nothing_is_forwarded() {
    let bench = Bench::start();
    let port = bench.address().port();
    let (code, _, error) = answer(
        bench
            .talkative_ssh("core", "core")
            .args(["-W", &format!("127.0.0.1:{port}")]),
    );
    assert!(
        code != 0 && error.contains("ports are not forwarded"),
        "{code}: {error}"
    );
    let remote = ["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", "status"];
    let (code, _, error) = answer(bench.ssh("core", "core").args(remote));
    assert_eq!(code, 255, "{error}");
    let (code, out, _) = answer(bench.ssh("core", "core").args(["-A", "-X", "status"]));
    assert_eq!((code, out.as_str()), (1, "core asks: status\n"));
}

#[test]
fn an_address_that_fails_waits() {
    let tolerance = Duration::from_secs(8);
    let bench = Bench::start_with(
        Limits {
            tolerance,
            ..Limits::default()
        },
        Duration::from_secs(30),
    );
    for _ in 0..2 {
        assert_eq!(answer(bench.ssh("core", "stranger").arg("status")).0, 255);
    }
    wait_until("the wait", || {
        // Refused without a word, whatever key it has.
        let (code, _, error) = answer(bench.ssh("core", "core").arg("status"));
        code == 255 && !error.contains("Permission denied")
    });
    assert_logged(&[
        "connections are refused for a while",
        "address=127.0.0.1",
        "too many failures",
    ]);
    wait_until("the end of the wait", || {
        answer(bench.ssh("core", "core").arg("status")).0 == 1
    });
}

#[test]
fn who_says_nothing_is_sent_away() {
    let bench = Bench::start_with(support::patient(), Duration::from_millis(500));
    let start = Instant::now();
    let mut silent = TcpStream::connect(bench.address()).unwrap();
    let mut banner = String::new();
    let _ = silent.read_to_string(&mut banner);
    assert!(
        banner.starts_with("SSH-2.0-Keelson\r\n") && start.elapsed() >= Duration::from_millis(400),
        "{banner}"
    );
    assert_logged(&["connection closed", "nobody logged in in time"]);
}

#[test]
fn strangers_are_bounded_and_do_not_lock_out_for_long() {
    let limits = Limits {
        strangers_each: 3,
        ..support::patient()
    };
    let bench = Bench::start_with(limits, Duration::from_secs(2));
    let strangers: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(bench.address()).unwrap()).collect();
    for mut stranger in &strangers {
        stranger.read_exact(&mut [0; 8]).unwrap();
    }
    assert_eq!(answer(bench.ssh("core", "core").arg("status")).0, 255);
    assert_logged(&["connection refused", "too many that are not logged in"]);
    wait_until("room", || answer(bench.ssh("core", "core").arg("status")).0 == 1);
}

#[test]
fn garbage_is_no_protocol() {
    use std::io::Write as _;
    let bench = Bench::start();
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        b"SSH-1.5-old\r\n".to_vec(),
        [b"SSH-2.0-x\r\n".to_vec(), vec![0x7f; 4096]].concat(),
    ] {
        let mut stream = TcpStream::connect(bench.address()).unwrap();
        let _ = stream.write_all(&garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(answer(bench.ssh("core", "core").arg("status")).0, 1);
}
