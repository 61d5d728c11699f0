//! Docker's merge rules as tables.

use oci_spec::image::ConfigBuilder;

use super::*;

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|w| (*w).to_owned()).collect()
}

fn id() -> ContainerId {
    ContainerId::try_from("a1".repeat(32)).unwrap()
}

fn image() -> ImageConfig {
    ConfigBuilder::default()
        .entrypoint(words(&["/entry"]))
        .cmd(words(&["serve"]))
        .env(words(&["A=image", "B=image"]))
        .user("www")
        .working_dir("/srv")
        .volumes(words(&["/data"]))
        .exposed_ports(words(&["80/tcp"]))
        .build()
        .unwrap()
}

fn request(change: impl FnOnce(&mut ContainerRequest)) -> ContainerRequest {
    let mut request = ContainerRequest::default();
    change(&mut request);
    request
}

fn resolved(change: impl FnOnce(&mut ContainerRequest)) -> Resolved {
    resolve(&id(), &request(change), &image()).unwrap()
}

#[test]
fn nothing_asked_for_takes_the_image() {
    let got = resolved(|_| {});
    assert_eq!(got.args(), ["/entry", "serve"]);
    assert_eq!((got.user.as_str(), got.workdir.as_str()), ("www", "/srv"));
    assert_eq!(got.hostname, "a1a1a1a1a1a1");
    assert_eq!(got.stop_signal, "SIGTERM");
    assert!(matches!(&got.mounts[..], [m] if m.target == "/data"));
    assert_eq!(got.expose.len(), 1);
}

#[test]
fn entrypoint_and_command_follow_docker() {
    type Words<'a> = Option<&'a [&'a str]>;
    let table: [(Words<'_>, Words<'_>, &[&str]); 7] = [
        (None, Some(&["other"]), &["/entry", "other"]),
        (None, Some(&[]), &["/entry", "serve"]),
        (Some(&["/mine"]), None, &["/mine"]),
        (Some(&["/mine"]), Some(&["x"]), &["/mine", "x"]),
        (Some(&[""]), Some(&["x"]), &["x"]),
        (Some(&[]), None, &["serve"]),
        (Some(&[""]), None, &["serve"]),
    ];
    for (entrypoint, command, want) in table {
        let got = resolved(|r| {
            r.process.entrypoint = entrypoint.map(words);
            r.process.command = command.map(words);
        });
        assert_eq!(got.args(), want, "{entrypoint:?} {command:?}");
    }
}

#[test]
fn environment_is_overridden_in_place_and_unset() {
    let got = resolved(|r| r.process.env = words(&["A=user", "B", "C=new"]));
    assert_eq!(got.env, [DEFAULT_PATH, "A=user", "C=new"]);
}

#[test]
fn an_image_without_a_command_needs_one() {
    let nothing = ImageConfig::default();
    let got = resolve(&id(), &ContainerRequest::default(), &nothing);
    assert_eq!(got, Err(MergeError::NoCommand));
}

fn tmpfs(target: &str) -> MountRequest {
    let source = MountSource::Tmpfs { options: String::new() };
    MountRequest {
        source,
        target: target.to_owned(),
        read_only: false,
    }
}

#[test]
fn a_mount_of_the_user_covers_the_volume_of_the_image() {
    let got = resolved(|r| r.mounts = vec![tmpfs("/data/"), tmpfs("/a/b"), tmpfs("/a")]);
    let targets: Vec<&str> = got.mounts.iter().map(|m| m.target.as_str()).collect();
    assert_eq!(targets, ["/a", "/a/b", "/data"]);
    assert_eq!(got.mounts[2].source, tmpfs("").source);
}

#[test]
fn refuses_mounts_that_cannot_be() {
    for target in ["", "data", "/", "/..", "/a/../b", "//"] {
        let asked = request(|r| r.mounts = vec![tmpfs(target)]);
        let got = resolve(&id(), &asked, &image());
        assert!(matches!(got, Err(MergeError::MountTarget(_))), "{target:?}");
    }
    let twice = request(|r| r.mounts = vec![tmpfs("/x"), tmpfs("/x/.")]);
    let got = resolve(&id(), &twice, &image());
    assert_eq!(got, Err(MergeError::DuplicateMount("/x".to_owned())));
}

#[test]
fn port_texts() {
    let port = |port, protocol| ContainerPort { port, protocol };
    assert_eq!(parse_ports("80"), Some(vec![port(80, Protocol::Tcp)]));
    assert_eq!(parse_ports("53/udp"), Some(vec![port(53, Protocol::Udp)]));
    assert_eq!(parse_ports("8000-8002/tcp").map(|p| p.len()), Some(3));
    for bad in ["", "0", "70000", "80/sctp", "9-8", "x", "80/tcp/udp"] {
        assert_eq!(parse_ports(bad), None, "{bad}");
    }
}
