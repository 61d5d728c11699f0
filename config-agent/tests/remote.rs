//! What a metadata service says, handed over and applied.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod support;

use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keelson_config::remote;
use support::{Machine, seed};

const FAILING: &str =
    r#"{"format":1,"endpoint":"169.254.169.254","attempts":3,"took_ms":30000,"outcome":"failing","problem":"no way"}"#;

/// A message with a document, base64, and an instance id.
fn found(document: &str, id: &str) -> String {
    use base64::Engine as _;
    let document = base64::engine::general_purpose::STANDARD.encode(document);
    format!(
        r#"{{"format":1,"endpoint":"169.254.169.254","attempts":1,"took_ms":9,"outcome":"found",
            "instance_id":"{id}","hostname":"ip-10-0-0-1.ec2.internal","user_data":"{document}"}}"#
    )
}

/// Hands over messages, each when the status shows that the one before was taken; gives the states that were shown.
fn states(machine: &Machine, messages: &[&str]) -> Vec<String> {
    let socket: PathBuf = machine.places.run.join("metadata.sock");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let (places, status) = (machine.places.clone(), machine.places.run.join("config/status.json"));
    let _ = std::fs::remove_file(&status);
    let applying = std::thread::spawn(move || remote::apply(&places, &listener).unwrap());
    let shown = messages.iter().map(|message| {
        UnixStream::connect(&socket)
            .unwrap()
            .write_all(message.as_bytes())
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(bytes) = std::fs::read(&status) {
                let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                std::fs::remove_file(&status).unwrap();
                return json["state"].as_str().unwrap().to_owned();
            }
            assert!(Instant::now() < deadline, "{message} was not taken");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let shown = shown.collect();
    applying.join().unwrap();
    shown
}

#[test]
fn what_comes_late_is_applied_and_what_comes_again_changes_nothing() {
    let machine = Machine::new();
    machine.boot();
    let document = "schema = 1\n[time]\nservers = [\"ntp.example\"]\n";
    assert_eq!(
        states(&machine, &[FAILING, &found(document, "i-1")]),
        ["unreachable", "applied"]
    );
    assert_eq!(machine.read("etc/hostname"), "ip-10-0-0-1.ec2.internal\n");
    // Another identity is no reason to do anything.
    assert_eq!(states(&machine, &[&found(document, "i-2")]), ["unchanged"]);
    assert_eq!(
        states(&machine, &[FAILING, &found("schema = 1\n", "i-2")]),
        ["unchanged", "applied"]
    );
    assert_eq!(states(&machine, &[&found("schema = 2\n", "i-2")]), ["rejected"]);
    assert_eq!(machine.read("etc/hostname"), "ip-10-0-0-1.ec2.internal\n");
}

#[test]
fn nonsense_is_not_answered_and_another_source_stays_pinned() {
    let machine = Machine::new();
    machine.attach(
        "vdb",
        "pci0/0000:00:03.0/virtio1",
        &seed("schema = 1\n[system]\nhostname = \"mine\"\n", ""),
    );
    machine.boot();
    let socket = machine.places.run.join("metadata.sock");
    let stranger = std::thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Ok(mut stream) = UnixStream::connect(&socket) {
                let _ = stream.write_all(b"{\"format\":1");
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let stated = states(
        &machine,
        &[&found("schema = 1\n[system]\nhostname = \"other\"\n", "i-1")],
    );
    assert_eq!(stated, ["reported"]);
    assert_eq!(machine.read("etc/hostname"), "mine\n");
    stranger.join().unwrap();
}
