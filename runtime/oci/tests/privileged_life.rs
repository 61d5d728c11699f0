//! A container's life: create, start, exec, signals, freezing, namespaces shared, hooks, limits, removal.

#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;
use support::bundle;

#[test]
fn privileged_from_create_to_delete() {
    let Some(bundle) = bundle("sleep 1000") else { return };
    bundle.create(Stdio::null()).success();
    assert_eq!(bundle.status(), "created");
    assert!(bundle.create(Stdio::null()).err.contains("exists already"));
    bundle.call(&["start", "ID"]).success();
    assert_eq!(bundle.status(), "running");
    assert!(bundle.call(&["start", "ID"]).err.contains("started already"));
    assert!(bundle.call(&["delete", "ID"]).err.contains("is running"));
    assert!(bundle.call(&["list"]).out.contains(&bundle.id));
    assert!(bundle.call(&["ps", "ID"]).out.contains("sleep 1000"));
    bundle.call(&["kill", "ID", "KILL"]).success();
    bundle.await_status("stopped");
    assert!(bundle.call(&["kill", "ID", "KILL"]).err.contains("is not running"));
    bundle.call(&["delete", "ID"]).success();
    assert!(!bundle.state_directory().exists());
    assert!(bundle.call(&["state", "ID"]).err.contains("does not exist"));
    bundle.call(&["delete", "--force", "ID"]).success();
}

#[test]
fn privileged_a_created_container_can_be_deleted() {
    let Some(bundle) = bundle("true") else { return };
    bundle.create(Stdio::null()).success();
    let pid = bundle.pid();
    bundle.call(&["delete", "ID"]).success();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    assert!(stat.is_err() || stat.unwrap().contains(") Z "));
}

#[test]
fn privileged_exec() {
    let Some(bundle) = bundle("sleep 1000") else { return };
    bundle.start();
    let said = bundle.exec("hostname; cat /proc/1/cmdline | tr '\\0' ' '; for n in mnt pid net uts ipc cgroup; do test $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) && echo $n; done; grep Seccomp: /proc/self/status; exit 5");
    assert_eq!(said.code, 5, "{}", said.err);
    assert_eq!(
        said.lines(),
        [
            "box",
            "sleep 1000 mnt",
            "pid",
            "net",
            "uts",
            "ipc",
            "cgroup",
            "Seccomp:\t2"
        ]
    );
    let said = bundle.call(&[
        "exec",
        "-u",
        "33:34",
        "-e",
        "A=b",
        "--cwd",
        "/tmp",
        "ID",
        "sh",
        "-c",
        "id -u; id -g; echo $A; pwd; echo $HOME",
    ]);
    assert_eq!(said.success().lines(), ["33", "34", "b", "/tmp", "/srv/www"]);
    assert_eq!(bundle.call(&["exec", "ID", "nope"]).code, 127);
    assert_eq!(bundle.call(&["exec", "ID", "/etc/passwd"]).code, 126);
    let said = bundle.call(&["exec", "-t", "ID", "sh", "-c", "tty"]);
    assert_eq!(said.success().out.trim(), "/dev/pts/0");
    // The process is a child of the container's first by cgroup and pid namespace.
    let own = bundle.exec("cat /proc/self/cgroup | tail -1").success();
    assert_eq!(own.out.trim(), "0::/");
}

#[test]
fn privileged_pause_and_resume() {
    let Some(bundle) = bundle("sleep 1000") else { return };
    bundle.start();
    bundle.call(&["pause", "ID"]).success();
    assert_eq!(bundle.status(), "paused");
    assert!(bundle.exec("true").err.contains("is paused"));
    assert!(bundle.call(&["pause", "ID"]).err.contains("is paused, not running"));
    bundle.call(&["resume", "ID"]).success();
    assert_eq!(bundle.status(), "running");
    bundle.exec("true").success();
    bundle.call(&["pause", "ID"]).success();
    bundle.call(&["delete", "--force", "ID"]).success();
}

#[test]
fn privileged_every_process_is_signalled_and_removed() {
    let Some(mut bundle) = bundle("trap '' TERM; sleep 1000 & sleep 1000 & wait; wait") else {
        return;
    };
    bundle.spec["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .retain(|namespace| namespace["type"] != "pid");
    bundle.start();
    let count = || {
        let said = bundle.call(&["ps", "-f", "json", "ID"]).success();
        serde_json::from_str::<Vec<i32>>(&said.out).unwrap().len()
    };
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while count() < 3 {
        assert!(std::time::Instant::now() < deadline);
    }
    bundle.call(&["kill", "--all", "ID", "KILL"]).success();
    bundle.await_status("stopped");
    bundle.call(&["delete", "ID"]).success();
}

#[test]
fn privileged_namespaces_of_another_container() {
    let Some(first) = bundle("sleep 1000") else { return };
    first.start();
    let pid = first.pid();
    let Some(mut second) = bundle(
        "ls /proc | grep -c '^[0-9]'; cat /proc/1/cmdline | tr '\\0' ' '; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc",
    ) else {
        return;
    };
    second.spec["linux"]["namespaces"] = json!([
        {"type": "mount"}, {"type": "uts"}, {"type": "cgroup"},
        {"type": "pid", "path": format!("/proc/{pid}/ns/pid")},
        {"type": "network", "path": format!("/proc/{pid}/ns/net")},
        {"type": "ipc", "path": format!("/proc/{pid}/ns/ipc")},
    ]);
    let said = second.run().success();
    let net = fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    let ipc = fs::read_link(format!("/proc/{pid}/ns/ipc")).unwrap();
    let lines = said.lines();
    assert!(lines[0].parse::<u32>().unwrap() >= 3, "{}", said.out);
    assert_eq!(lines[1], format!("sleep 1000 {}", net.display()));
    assert_eq!(lines[2], ipc.display().to_string());
}

fn with_user_namespace(bundle: &mut support::Bundle) {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.add("/linux/namespaces", json!({"type": "user"}));
    bundle.spec["linux"]["uidMappings"] = map.clone();
    bundle.spec["linux"]["gidMappings"] = map;
    fs::set_permissions(bundle.directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    give_away(&bundle.root());
}

fn give_away(path: &std::path::Path) {
    std::os::unix::fs::lchown(path, Some(100_000), Some(100_000)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

#[test]
fn privileged_a_user_namespace() {
    let script = "id -u; cat /proc/self/uid_map | tr -s ' '; touch /made; echo x > /dev/null && echo null; stat -c %t:%T /dev/zero; grep CapEff /proc/self/status; mount -t tmpfs t /tmp; cat /data/secret";
    let Some(mut bundle) = bundle(script) else { return };
    with_user_namespace(&mut bundle);
    let data = bundle.directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("secret"), "seen\n").unwrap();
    // The source lies in a directory the container's root cannot enter: the parent opens it.
    bundle.add(
        "/mounts",
        json!({"destination": "/data", "source": data, "options": ["rbind", "ro"]}),
    );
    let said = bundle.run();
    assert_eq!(
        said.lines(),
        [
            "0",
            " 0 100000 65536",
            "null",
            "1:5",
            "CapEff:\t00000000a80425fb",
            "seen"
        ],
        "{}",
        said.err
    );
    assert_eq!(fs::metadata(bundle.root().join("made")).unwrap().uid(), 100_000);
}

#[test]
fn privileged_exec_and_shared_network_with_a_user_namespace() {
    let Some(host) = bundle("sleep 1000") else { return };
    host.start();
    let network = format!("/proc/{}/ns/net", host.pid());
    let Some(mut inner) = bundle("sleep 1000") else { return };
    with_user_namespace(&mut inner);
    for namespace in inner.spec["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == "network" {
            namespace["path"] = network.clone().into();
        }
    }
    // A new sysfs needs a network namespace of one's own.
    inner.spec["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/sys"));
    inner.spec["linux"]["maskedPaths"] = json!([]);
    inner.start();
    let said = inner.exec("id -u; readlink /proc/self/ns/net; readlink /proc/1/ns/user; readlink /proc/self/ns/user");
    let lines: Vec<String> = said.success().out.lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "0");
    assert_eq!(lines[1], fs::read_link(network).unwrap().display().to_string());
    assert_eq!(lines[2], lines[3]);
    // And a third container in the second's user and network namespaces.
    let Some(mut third) = bundle("id -u; readlink /proc/self/ns/user") else {
        return;
    };
    give_away(&third.root());
    let pid = inner.pid();
    third.spec["linux"]["namespaces"] = json!([
        {"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "cgroup"},
        {"type": "user", "path": format!("/proc/{pid}/ns/user")},
        {"type": "network", "path": format!("/proc/{pid}/ns/net")},
    ]);
    third.spec["mounts"] = inner.spec["mounts"].clone();
    third.spec["linux"]["maskedPaths"] = json!([]);
    let said = third.run();
    assert_eq!(said.lines(), ["0", lines[2].as_str()], "{}", said.err);
}

#[test]
fn privileged_hooks_run_in_order_and_place() {
    let Some(mut bundle) = bundle("echo program >> /log") else {
        return;
    };
    let log = bundle.root().join("log");
    let hook = |name: &str, path: &str| json!([{"path": "/bin/busybox", "args": ["busybox", "sh", "-c", format!("busybox grep -q '\"id\":\"test-' && echo {name} $H >> {path}")], "env": ["H=env", "PATH=/bin"]}]);
    let host = log.to_str().unwrap();
    bundle.spec["hooks"] = json!({
        "prestart": hook("prestart", host), "createRuntime": hook("createRuntime", host),
        "createContainer": hook("createContainer", host), "startContainer": hook("startContainer", "/log"),
        "poststart": hook("poststart", host), "poststop": hook("poststop", host),
    });
    let said = bundle.run();
    assert_eq!(said.code, 0, "{}", said.err);
    let text = fs::read_to_string(&log).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "prestart env",
            "createRuntime env",
            "createContainer env",
            "startContainer env"
        ]
    );
    assert_eq!(lines.pop(), Some("poststop env"));
    // The program and poststart run at the same time.
    lines[4..].sort_unstable();
    assert_eq!(lines[4..], ["poststart env", "program"]);
    bundle.spec["hooks"] =
        json!({"createRuntime": [{"path": "/bin/busybox", "args": ["busybox", "sh", "-c", "echo sorry >&2; exit 3"]}]});
    let said = bundle.run();
    assert!(
        said.code == 1 && said.err.contains("hook /bin/busybox failed") && said.err.contains("sorry"),
        "{}",
        said.err
    );
    bundle.spec["hooks"] =
        json!({"createContainer": [{"path": "/bin/busybox", "args": ["busybox", "sleep", "100"], "timeout": 1}]});
    let said = bundle.run();
    assert!(said.err.contains("longer than its timeout"), "{}", said.err);
}

#[test]
fn privileged_limits_are_written() {
    let Some(mut bundle) = bundle("sleep 1000") else { return };
    let root = keelson_oci::cgroup::root::find().unwrap();
    let available = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    if !["memory", "pids", "cpu"]
        .iter()
        .all(|name| available.split_whitespace().any(|known| known == *name))
    {
        bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 1 << 25});
        let said = bundle.run();
        assert!(
            said.err.contains("the memory controller is not available"),
            "{}",
            said.err
        );
        return eprintln!("skipped: memory, pids and cpu are not in this cgroup v2 tree (a hybrid host)");
    }
    bundle.spec["linux"]["resources"] = json!({
        "memory": {"limit": 1 << 25, "swap": 1 << 25}, "pids": {"limit": 30}, "cpu": {"quota": 50000, "period": 100000, "shares": 512},
    });
    bundle.start();
    let group = root.join("keelson-oci").join(&bundle.id);
    let read = |name: &str| fs::read_to_string(group.join(name)).unwrap().trim().to_owned();
    assert_eq!(
        (read("memory.max"), read("pids.max"), read("cpu.max")),
        ("33554432".into(), "30".into(), "50000 100000".into())
    );
    bundle
        .call(&[
            "update",
            "--memory",
            "67108864",
            "--memory-swap",
            "67108864",
            "--pids-limit",
            "-1",
            "ID",
        ])
        .success();
    assert_eq!(
        (read("memory.max"), read("pids.max")),
        ("67108864".into(), "max".into())
    );
}

#[test]
fn privileged_bad_specifications_leave_nothing() {
    let Some(mut bundle) = bundle("true") else { return };
    bundle.spec["linux"]["intelRdt"] = json!({});
    let said = bundle.run();
    assert!(said.err.contains("linux.intelRdt: is not supported"), "{}", said.err);
    bundle.spec = json!({"ociVersion": "1.2.0", "root": 5});
    let said = bundle.run();
    assert!(
        said.err.contains("cannot read") && said.err.contains("config.json"),
        "{}",
        said.err
    );
    assert!(!bundle.state_directory().exists());
}
