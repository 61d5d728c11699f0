//! The clock's floor and a time server in the router. The clock itself is out of reach.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use keelson_netd::time::saved;
use std::net::UdpSocket;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{Lab, eventually};

/// Answers every question with a time that is `ahead` seconds later than ours.
fn serve_time(lab: &Lab, ahead: u64) {
    let socket = lab.router.inside(|| UdpSocket::bind("0.0.0.0:123").unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(ahead);
            let seconds = (now.as_secs() + 2_208_988_800) as u32;
            let fraction = ((u64::from(now.subsec_nanos()) << 32) / 1_000_000_000) as u32;
            let stamp = [seconds.to_be_bytes(), fraction.to_be_bytes()].concat();
            let mut answer = [0; 48];
            (answer[0], answer[1]) = (4 << 3 | 4, 2);
            answer[24..32].copy_from_slice(&buffer[40..48]);
            answer[32..40].copy_from_slice(&stamp);
            answer[40..48].copy_from_slice(&stamp);
            let _ = socket.send_to(&answer, from);
        }
    });
}

#[test]
fn privileged_the_leases_time_server_is_followed() {
    let Some(mut lab) = Lab::new() else { return };
    let Some(()) = lab.start_router(&[]) else { return };
    serve_time(&lab, 100);
    lab.start_daemon();
    let time = eventually("the clock is set", 20, || {
        let time = lab.status()["time"].clone();
        (time["synchronised"] == true).then_some(time)
    });
    assert_eq!(time["server"], "10.44.0.1");
    let offset = time["offset"].as_f64().unwrap();
    assert!((99.9..100.1).contains(&offset), "{time}");
}

#[test]
fn privileged_a_configured_server_is_preferred_and_found_by_name() {
    let Some(mut lab) = Lab::new() else { return };
    let Some(()) = lab.start_router(&[
        "--host-record=clock.example.test,10.44.0.1",
        "--dhcp-option=option:ntp-server,10.44.0.9",
    ]) else {
        return;
    };
    serve_time(&lab, 0);
    let config = r#"{"schema":1,"time":{"servers":["clock.example.test"]}}"#;
    std::fs::write(lab.path("machine.json"), config).unwrap();
    lab.start_daemon();
    let time = eventually("the clock is checked", 30, || {
        let time = lab.status()["time"].clone();
        (time["synchronised"] == true).then_some(time)
    });
    assert_eq!(time["server"], "10.44.0.1");
}

#[test]
fn privileged_the_time_is_saved_at_the_end() {
    let Some(mut lab) = Lab::new() else { return };
    lab.start_daemon();
    eventually("the daemon runs", 10, || lab.status()["format"].as_u64());
    lab.stop_daemon();
    assert!(saved::load(&lab.path("clock")).is_some());
}
