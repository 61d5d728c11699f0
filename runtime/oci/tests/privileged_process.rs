//! The container's processes: identity, limits, capabilities, filter, environment, exit codes, terminal.

#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use serde_json::json;
use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use support::bundle;

#[test]
fn privileged_identity() {
    let Some(mut bundle) = bundle("id -u; id -g; id -G; umask; pwd; echo $HOME; stat -c %u /proc/self/fd/1 -L") else {
        return;
    };
    bundle.spec["process"]["user"] = json!({"uid": 33, "gid": 34, "additionalGids": [34, 50], "umask": 7});
    bundle.spec["process"]["cwd"] = "/var/made/here".into();
    assert_eq!(
        bundle.run().success().lines(),
        ["33", "34", "34 50", "0007", "/var/made/here", "/srv/www", "33"]
    );
}

#[test]
fn privileged_capabilities_and_filter() {
    let Some(mut bundle) = bundle("grep -E 'Cap|NoNew|Seccomp:' /proc/self/status | tr -d '\\t\\n'") else {
        return;
    };
    assert_eq!(
        bundle.run().success().out,
        "CapInh:0000000000000000CapPrm:00000000a80425fbCapEff:00000000a80425fbCapBnd:00000000a80425fbCapAmb:0000000000000000NoNewPrivs:0Seccomp:2"
    );
    bundle.spec["process"]["user"] = json!({"uid": 33, "gid": 33});
    bundle.spec["process"]["noNewPrivileges"] = true.into();
    let few = json!(["CAP_NET_BIND_SERVICE"]);
    bundle.spec["process"]["capabilities"] =
        json!({"bounding": few, "effective": few, "permitted": few, "inheritable": few, "ambient": few});
    assert_eq!(
        bundle.run().success().out,
        "CapInh:0000000000000400CapPrm:0000000000000400CapEff:0000000000000400CapBnd:0000000000000400CapAmb:0000000000000400NoNewPrivs:1Seccomp:2"
    );
    // Without ambient capabilities another user has none, the filter's own CAP_SYS_ADMIN least of all.
    bundle.spec["process"]["noNewPrivileges"] = false.into();
    bundle.spec["process"]["capabilities"] = json!({"bounding": few, "effective": few, "permitted": few});
    assert!(
        bundle
            .run()
            .success()
            .out
            .contains("CapPrm:0000000000000000CapEff:0000000000000000CapBnd:0000000000000400")
    );
}

#[test]
fn privileged_the_default_profile_is_in_force() {
    let Some(mut bundle) = bundle("unshare -U true; mount -t tmpfs x /tmp; chroot / true && echo chroot") else {
        return;
    };
    let said = bundle.run();
    assert!(
        said.err.contains("unshare") && said.err.contains("Operation not permitted"),
        "{}",
        said.err
    );
    assert_eq!(said.lines(), ["chroot"]);
    bundle.spec["annotations"] = json!({});
    bundle.spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["personality"], "action": "SCMP_ACT_KILL_PROCESS"},
    ]});
    bundle.spec["process"]["args"] = json!(["sh", "-c", "mkdir /tmp/d; linux32 true; echo after $?"]);
    let said = bundle.run();
    assert!(said.err.contains("No space left on device"), "{}", said.err);
    assert_eq!(said.lines(), ["after 159"]);
}

#[test]
fn privileged_exit_codes() {
    let Some(mut bundle) = bundle("exit 7") else { return };
    assert_eq!(bundle.run().code, 7);
    bundle.spec["process"]["args"] = json!(["sh", "-c", "kill -9 $$"]);
    // Process 1 of a pid namespace cannot be killed by itself.
    bundle.spec["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .retain(|namespace| namespace["type"] != "pid");
    assert_eq!(bundle.run().code, 137);
    for (program, words) in [
        ("nope", "cannot run nope: executable file not found in $PATH"),
        ("/nope", "cannot run /nope: no such file or directory"),
        ("/etc/passwd", "cannot run /etc/passwd: permission denied"),
        ("/etc", "cannot run /etc: is a directory"),
    ] {
        bundle.spec["process"]["args"] = json!([program]);
        let said = bundle.run();
        assert_eq!(said.code, 1);
        assert!(said.err.contains(words), "{}", said.err);
    }
    fs::write(bundle.root().join("bin/bad"), "no program").unwrap();
    fs::set_permissions(
        bundle.root().join("bin/bad"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    bundle.spec["process"]["args"] = json!(["bad"]);
    let said = bundle.run();
    assert!(said.err.contains("cannot run bad: exec format error"), "{}", said.err);
}

#[test]
fn privileged_limits_of_the_process() {
    let Some(mut bundle) = bundle(
        "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_forward; hostname; cat /proc/sys/kernel/domainname",
    ) else {
        return;
    };
    bundle.spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]);
    bundle.spec["process"]["oomScoreAdj"] = 321.into();
    bundle.spec["domainname"] = "example".into();
    bundle.spec["linux"]["sysctl"] = json!({"kernel.shm_rmid_forced": "1", "net.ipv4.ip_forward": "1"});
    assert_eq!(
        bundle.run().success().lines(),
        ["100", "200", "321", "1", "1", "box", "example"]
    );
}

#[test]
fn privileged_personality_and_time() {
    let Some(mut bundle) = bundle("uname -m; cut -d. -f1 /proc/uptime") else {
        return;
    };
    bundle.spec["linux"]["personality"] = json!({"domain": "LINUX32"});
    bundle.add("/linux/namespaces", json!({"type": "time"}));
    bundle.spec["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000, "nanosecs": 0}});
    let said = bundle.run().success();
    assert_eq!(said.lines()[0], "i686");
    assert!(said.lines()[1].parse::<u64>().unwrap() >= 1_000_000, "{}", said.out);
}

#[test]
fn privileged_no_descriptors_leak() {
    let Some(mut bundle) = bundle("ls /proc/self/fd; readlink /proc/self/fd/3") else {
        return;
    };
    let said = bundle.run();
    // 3 is the directory ls itself reads.
    assert_eq!(said.lines(), ["0", "1", "2", "3"]);
    bundle.spec["process"]["args"] = json!(["sh", "-c", "exec ls /proc/self/fd"]);
    bundle.write();
    let said = bundle.call(&["run", "--preserve-fds", "0", "ID"]);
    assert_eq!(said.success().lines(), ["0", "1", "2", "3"]);
}

#[test]
fn privileged_signals_are_at_their_defaults() {
    let Some(bundle) = bundle("grep -E 'SigBlk|SigIgn' /proc/self/status | tr -d '\\t\\n'") else {
        return;
    };
    assert_eq!(
        bundle.run().success().out,
        "SigBlk:0000000000000000SigIgn:0000000000000000"
    );
}

#[test]
fn privileged_a_terminal_by_the_console_socket() {
    let Some(mut bundle) = bundle("tty; stty size; test -c /dev/console && echo console; echo done > /dev/console")
    else {
        return;
    };
    bundle.spec["process"]["terminal"] = true.into();
    bundle.spec["process"]["consoleSize"] = json!({"height": 11, "width": 22});
    bundle.write();
    let path = bundle.directory.path().join("console");
    let listener = UnixListener::bind(&path).unwrap();
    let create = bundle.call(&["create", "--console-socket", path.to_str().unwrap(), "ID"]);
    create.success();
    let (socket, _) = listener.accept().unwrap();
    let mut channel = keelson_console::receive(&socket);
    bundle.call(&["start", "ID"]).success();
    let mut text = Vec::new();
    // The end of a terminal is an error.
    let _ = channel.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        ["/dev/pts/0", "11 22", "console", "done"]
    );
}

mod keelson_console {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    use std::fs::File;
    use std::io::IoSliceMut;
    use std::mem::MaybeUninit;

    pub fn receive(socket: &std::os::unix::net::UnixStream) -> File {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 64];
        recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::empty(),
        )
        .unwrap();
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        File::from(fd.unwrap())
    }
}
