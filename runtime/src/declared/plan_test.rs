//! Declarations as the configuration agent writes them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::engine::container::{ContainerState, Phase, Wish};
use crate::engine::id::ContainerId;
use crate::engine::record::Resolved;

fn config(containers: Value) -> MachineConfig {
    serde_json::from_value(json!({"schema": 1, "container": containers})).unwrap()
}

fn web(change: impl FnOnce(&mut Value)) -> Declared {
    let mut container = json!({"image": "10.0.2.2:5000/demo/nginx:1"});
    change(&mut container);
    plan_declared(&config(json!({"web": container}))).remove(0)
}

fn record(declared: &Declared, phase: Phase, wish: Wish, started_in: &str) -> ContainerRecord {
    ContainerRecord {
        format: 1,
        min_reader: 1,
        id: ContainerId::try_from("a".repeat(64)).unwrap(),
        name: declared.name.clone(),
        created: Timestamp::UNIX_EPOCH,
        request: declared.request.clone(),
        image_id: String::new(),
        resolved: Resolved::default(),
        state: ContainerState {
            phase,
            wish,
            ..ContainerState::default()
        },
        endpoint: None,
        started_boot: started_in.into(),
        boot_id: String::new(),
    }
}

#[test]
fn a_declaration_is_lowered() {
    let got = web(|c| {
        c["ports"] = json!(["8080:80", "127.0.0.1:53:53/udp"]);
        c["env"] = json!({"A": "b", "TOKEN": {"secret": "token"}});
        c["limits"] = json!({"memory": 134_217_728, "cpus": 500_000_000, "pids": 100});
        c["mounts"] = json!([{"type": "volume", "source": "data", "target": "/data"}]);
        c["restart"] = json!("on-failure");
        c["namespaces"] = json!({"pid": "host"});
    });
    let request = &got.request;
    assert_eq!(request.image, "10.0.2.2:5000/demo/nginx:1");
    assert_eq!(request.network.publish.len(), 2);
    assert_eq!(request.network.publish[1].container.protocol, Protocol::Udp);
    assert_eq!(request.process.env, ["A=b"]);
    assert_eq!(request.process.secret_env["TOKEN"], "token");
    assert_eq!(request.limits.nano_cpus, 500_000_000);
    assert_eq!(request.restart, RestartPolicy::OnFailure { max: 0 });
    assert!(request.namespaces.pid && !request.namespaces.ipc);
    assert_eq!(request.hostname, "web");
}

#[test]
fn the_digest_follows_the_declaration() {
    let plain = web(|_| {});
    assert_eq!(plain.digest(), web(|_| {}).digest());
    assert_ne!(plain.digest(), web(|c| c["read-only"] = json!(true)).digest());
}

#[test]
fn each_container_gets_the_step_it_needs() {
    let (declared, other) = (web(|_| {}), web(|c| c["privileged"] = json!(true)));
    let mut foreign = record(&declared, Phase::Running, Wish::Run, "");
    foreign.request.labels.clear();
    let of = |phase, wish, started| record(&declared, phase, wish, started);
    let table = [
        (None, Step::Create),
        (Some(record(&other, Phase::Running, Wish::Run, "now")), Step::Replace),
        (Some(foreign), Step::NameTaken),
        (Some(of(Phase::Created, Wish::Run, "")), Step::Start),
        (Some(of(Phase::Running, Wish::Run, "now")), Step::Keep),
        (Some(of(Phase::Exited, Wish::Run, "now")), Step::Keep),
        (Some(of(Phase::Exited, Wish::Run, "before")), Step::Start),
        (Some(of(Phase::Exited, Wish::Stop, "before")), Step::Keep),
        (Some(of(Phase::Restarting, Wish::Run, "now")), Step::Keep),
    ];
    for (existing, want) in table {
        assert_eq!(decide_step(&declared, existing.as_ref(), "now"), want, "{existing:?}");
    }
}

#[test]
fn what_is_no_longer_declared_is_removed_and_nothing_else() {
    let declared = web(|_| {});
    let mut gone = record(&declared, Phase::Running, Wish::Run, "");
    gone.name = "old".into();
    let mut by_hand = gone.clone();
    by_hand.name = "mine".into();
    by_hand.request.labels.clear();
    let existing = [record(&declared, Phase::Running, Wish::Run, ""), gone, by_hand];
    assert_eq!(plan_removals(&[declared], &existing), ["old"]);
}
