//! The container's root: mounts, devices, masks, and that nothing in the image leads out of it.

#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use support::bundle;

#[test]
fn privileged_mounts_are_as_asked() {
    let Some(bundle) = bundle("cat /proc/mounts") else {
        return;
    };
    let said = bundle.run().success();
    for part in [
        "proc /proc proc rw,nosuid,nodev,noexec,relatime",
        "tmpfs /dev tmpfs rw,nosuid,size=65536k,mode=755",
        "devpts /dev/pts devpts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=666",
        "mqueue /dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime",
        "sysfs /sys sysfs ro,nosuid,nodev,noexec,relatime",
        "cgroup /sys/fs/cgroup cgroup2 ro,nosuid,nodev,noexec,relatime",
        "proc /proc/sys proc ro",
        "tmpfs /proc/acpi tmpfs ro",
    ] {
        assert!(said.out.contains(part), "{part} is not in\n{}", said.out);
    }
    assert!(!said.out.contains(" /work") && said.lines().iter().filter(|line| line.contains(" / ")).count() == 1);
}

#[test]
fn privileged_devices_and_links_are_there() {
    let Some(bundle) = bundle(
        "stat -c '%n %t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; head -c 4 /dev/zero | wc -c; echo x > /dev/null && echo fine; echo y > /dev/full",
    ) else {
        return;
    };
    let said = bundle.run();
    assert_eq!(
        said.lines(),
        [
            "/dev/null 1:3 666",
            "/dev/zero 1:5 666",
            "/dev/full 1:7 666",
            "/dev/random 1:8 666",
            "/dev/urandom 1:9 666",
            "/dev/tty 5:0 666",
            "/proc/self/fd",
            "/proc/self/fd/0",
            "/proc/self/fd/1",
            "/proc/self/fd/2",
            "pts/ptmx",
            "4",
            "fine"
        ]
    );
    assert!(said.err.contains("No space left"), "{}", said.err);
}

#[test]
fn privileged_masked_and_readonly_paths() {
    let Some(bundle) = bundle(
        "ls /proc/acpi /sys/firmware; wc -c < /proc/keys; echo 1 > /proc/sys/kernel/domainname; echo x > /proc/sys/kernel/hostname; mount -o remount,rw /proc/sys; umount /proc/sys",
    ) else {
        return;
    };
    let said = bundle.run();
    assert_eq!(
        said.out
            .replace("/proc/acpi:", "")
            .replace("/sys/firmware:", "")
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["0"]
    );
    assert_eq!(said.err.matches("Read-only file system").count(), 2, "{}", said.err);
    assert!(
        said.err.contains("mount") && said.err.contains("umount"),
        "{}",
        said.err
    );
}

#[test]
fn privileged_a_readonly_root() {
    let Some(mut bundle) = bundle("touch /x; touch /tmp/y && echo tmp; touch /data/z && echo data") else {
        return;
    };
    bundle.spec["root"]["readonly"] = true.into();
    let data = bundle.directory.path().join("data");
    fs::create_dir(&data).unwrap();
    bundle.add(
        "/mounts",
        json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}),
    );
    bundle.add(
        "/mounts",
        json!({"destination": "/data", "source": data, "options": ["rbind"]}),
    );
    let said = bundle.run();
    assert!(said.err.contains("/x: Read-only file system"), "{}", said.err);
    assert_eq!(said.lines(), ["tmp", "data"]);
    assert!(data.join("z").exists());
}

#[test]
fn privileged_binds_read_only_of_files_and_recursive() {
    let Some(mut bundle) = bundle(
        "cat /etc/one; echo no > /etc/one; touch /tree/a && echo top; touch /tree/sub/b && echo sub; touch /deep/sub/c; grep -c ' /etc/one ' /proc/mounts",
    ) else {
        return;
    };
    let outside = bundle.directory.path().join("outside");
    fs::create_dir_all(outside.join("sub")).unwrap();
    fs::write(outside.join("file"), "content\n").unwrap();
    // A mount below the source, seen by rbind.
    let sub = outside.join("sub");
    rustix::mount::mount("tmpfs", &sub, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    bundle.add(
        "/mounts",
        json!({"destination": "/etc/one", "source": outside.join("file"), "options": ["bind", "ro"]}),
    );
    bundle.add(
        "/mounts",
        json!({"destination": "/tree", "source": outside, "options": ["rbind", "ro"]}),
    );
    bundle.add(
        "/mounts",
        json!({"destination": "/deep", "source": outside, "options": ["rbind", "rro"]}),
    );
    let said = bundle.run();
    rustix::mount::unmount(&sub, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(said.lines(), ["content", "sub", "1"], "{}", said.err);
    assert_eq!(said.err.matches("Read-only file system").count(), 3, "{}", said.err);
}

#[test]
fn privileged_links_in_the_image_do_not_lead_out() {
    let Some(mut bundle) = bundle("cat /real/mark; cat /made/by/link/f; ls /real2") else {
        return;
    };
    let target = bundle.directory.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("mark"), "inside\n").unwrap();
    fs::write(target.join("f"), "file\n").unwrap();
    let root = bundle.root();
    fs::create_dir(root.join("real")).unwrap();
    symlink("/real", root.join("link")).unwrap();
    symlink("../../../../../../../../made/by", root.join("up")).unwrap();
    symlink("/../../real2", root.join("dangling")).unwrap();
    bundle.add(
        "/mounts",
        json!({"destination": "/link", "source": target, "options": ["bind"]}),
    );
    bundle.add(
        "/mounts",
        json!({"destination": "/up/link", "source": target, "options": ["bind"]}),
    );
    bundle.add(
        "/mounts",
        json!({"destination": "/dangling", "source": target, "options": ["bind"]}),
    );
    let said = bundle.run().success();
    assert_eq!(said.lines(), ["inside", "file", "f", "mark"]);
    for name in ["made", "real2"] {
        assert!(
            !std::path::Path::new("/").join(name).exists(),
            "{name} was made on the host"
        );
    }
}

#[test]
fn privileged_hostile_links_at_proc_are_refused() {
    let Some(bundle) = bundle("true") else { return };
    let root = bundle.root();
    fs::remove_dir(root.join("proc")).unwrap();
    symlink("/tmp/elsewhere", root.join("proc")).unwrap();
    // /proc of the image is a link inside the image: the mount lands there, still inside.
    let said = bundle.run();
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(root.join("tmp/elsewhere").is_dir() && !std::path::Path::new("/tmp/elsewhere").exists());
}

#[test]
fn privileged_device_rules_hold() {
    let script = "mknod /tmp/kmsg c 1 11; head -c 1 /tmp/kmsg >/dev/null && echo read; mknod /tmp/z c 1 5 && head -c 1 /tmp/z | wc -c";
    let Some(mut bundle) = bundle(script) else { return };
    let said = bundle.run();
    assert!(said.err.contains("Operation not permitted"), "{}", said.err);
    assert_eq!(said.lines(), ["1"]);
    bundle.add(
        "/linux/resources/devices",
        json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}),
    );
    bundle.spec["process"]["args"] = json!([
        "sh",
        "-c",
        "dd if=/tmp/kmsg of=/dev/null bs=8192 count=1 iflag=nonblock 2>&1 | tail -1; echo x > /tmp/kmsg"
    ]);
    let said = bundle.run();
    assert!(
        !said.out.contains("not permitted") && said.err.contains("not permitted"),
        "{said:?}"
    );
}

#[test]
fn privileged_specified_devices_are_made() {
    let Some(mut bundle) = bundle("stat -c '%F %t:%T %a %u:%g' /dev/mine /dev/pipe") else {
        return;
    };
    bundle.spec["linux"]["devices"] = json!([
        {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4},
        {"path": "/dev/pipe", "type": "p", "major": 0, "minor": 0},
    ]);
    assert_eq!(
        bundle.run().success().lines(),
        ["character special file 1:5 640 3:4", "fifo 0:0 666 0:0"]
    );
}

#[test]
fn privileged_tmpfs_with_the_images_files() {
    let Some(mut bundle) =
        bundle("cat /etc/passwd | wc -l; stat -c %a /etc/sub; readlink /etc/l; touch /etc/new; cat /etc/sub/f")
    else {
        return;
    };
    let root = bundle.root();
    fs::create_dir(root.join("etc/sub")).unwrap();
    fs::set_permissions(
        root.join("etc/sub"),
        std::os::unix::fs::PermissionsExt::from_mode(0o710),
    )
    .unwrap();
    fs::write(root.join("etc/sub/f"), "deep\n").unwrap();
    symlink("passwd", root.join("etc/l")).unwrap();
    bundle.add(
        "/mounts",
        json!({"destination": "/etc", "type": "tmpfs", "options": ["tmpcopyup", "nosuid"]}),
    );
    assert_eq!(bundle.run().success().lines(), ["2", "710", "passwd", "deep"]);
    assert!(!root.join("etc/new").exists());
}

#[test]
fn privileged_idmapped_binds() {
    let Some(mut bundle) = bundle("stat -c '%u:%g' /data/f; touch /data/new") else {
        return;
    };
    let data = bundle.directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("f"), "").unwrap();
    std::os::unix::fs::chown(data.join("f"), Some(100_005), Some(100_006)).unwrap();
    std::os::unix::fs::chown(&data, Some(100_000), Some(100_000)).unwrap();
    let map = json!([{"containerID": 100_000, "hostID": 0, "size": 1000}]);
    bundle.add(
        "/mounts",
        json!({"destination": "/data", "source": data, "options": ["rbind"], "uidMappings": map, "gidMappings": map}),
    );
    let said = bundle.run();
    if said.err.contains("Invalid argument") {
        return eprintln!("skipped: the file system of the temporary directory cannot be idmapped");
    }
    assert_eq!(said.success().lines(), ["5:6"]);
    assert_eq!(fs::metadata(data.join("new")).unwrap().uid(), 100_000);
}

#[test]
fn privileged_propagation_reaches_or_does_not() {
    let Some(mut bundle) = bundle("sleep 100") else { return };
    let shared = bundle.directory.path().join("shared");
    fs::create_dir(&shared).unwrap();
    rustix::mount::mount("tmpfs", &shared, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    rustix::mount::mount_change(&shared, rustix::mount::MountPropagationFlags::SHARED).unwrap();
    for name in ["late", "later"] {
        fs::create_dir(shared.join(name)).unwrap();
    }
    bundle.add(
        "/mounts",
        json!({"destination": "/slave", "source": shared, "options": ["rbind", "rslave"]}),
    );
    bundle.add(
        "/mounts",
        json!({"destination": "/private", "source": shared, "options": ["rbind", "rprivate"]}),
    );
    bundle.start();
    let late = shared.join("late");
    rustix::mount::mount("tmpfs", &late, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    let said = bundle.exec("grep -c ' /slave/late ' /proc/mounts; grep -c ' /private/late ' /proc/mounts");
    rustix::mount::unmount(&late, rustix::mount::UnmountFlags::DETACH).unwrap();
    rustix::mount::unmount(&shared, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(said.lines(), ["1", "0"]);
}

#[test]
fn privileged_mount_errors_name_step_path_and_cause() {
    let Some(mut bundle) = bundle("true") else { return };
    bundle.add(
        "/mounts",
        json!({"destination": "/t", "type": "tmpfs", "options": ["sise=5"]}),
    );
    let said = bundle.run();
    assert!(
        said.err.contains("cannot mount /t: ") && said.err.contains("sise"),
        "{}",
        said.err
    );
    bundle.spec["mounts"].as_array_mut().unwrap().pop();
    bundle.add(
        "/mounts",
        json!({"destination": "/t", "source": "/no/such", "options": ["bind"]}),
    );
    let said = bundle.run();
    assert!(
        said.err
            .contains("cannot open mount source /no/such: No such file or directory"),
        "{}",
        said.err
    );
    assert!(
        !bundle.state_directory().exists(),
        "nothing is left of a container that failed"
    );
}
