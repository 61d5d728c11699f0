//! Bodies as clients send them.

use serde_json::json;

use super::*;
use crate::engine::request::{ContainerPort, Protocol};

/// What `docker run -d -p 8080:80 -v data:/data --restart on-failure:3 --memory 64m nginx` sends,
/// by a client of version 28.
fn docker_run() -> Value {
    json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
        "AttachStderr": false, "ExposedPorts": {"80/tcp": {}}, "Tty": false, "OpenStdin": false,
        "StdinOnce": false, "Env": null, "Cmd": null, "Image": "nginx", "Volumes": {},
        "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": {},
        "HostConfig": {
            "Binds": ["data:/data"], "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}},
            "NetworkMode": "default", "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "AutoRemove": false,
            "VolumeDriver": "", "VolumesFrom": null, "ConsoleSize": [24, 80], "CapAdd": null,
            "CapDrop": null, "CgroupnsMode": "", "Dns": [], "DnsOptions": [], "DnsSearch": [],
            "ExtraHosts": null, "GroupAdd": null, "IpcMode": "", "Cgroup": "", "Links": null,
            "OomScoreAdj": 0, "PidMode": "", "Privileged": false, "PublishAllPorts": false,
            "ReadonlyRootfs": false, "SecurityOpt": null, "UTSMode": "", "UsernsMode": "",
            "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 67108864, "NanoCpus": 0,
            "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [], "CpuPeriod": 0,
            "CpuQuota": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": [],
            "DeviceCgroupRules": null, "DeviceRequests": null, "MemoryReservation": 0,
            "MemorySwap": 0, "MemorySwappiness": -1, "OomKillDisable": false, "PidsLimit": 0,
            "Ulimits": [], "MaskedPaths": null, "ReadonlyPaths": null
        },
        "NetworkingConfig": {"EndpointsConfig": {"default": {"IPAMConfig": null, "Links": null}}}
    })
}

fn parse(body: &Value) -> Result<ContainerRequest, EngineError> {
    parse_create(body.to_string().as_bytes())
}

fn with(path: &str, value: Value) -> Value {
    let mut body = docker_run();
    *body.pointer_mut(path).unwrap() = value;
    body
}

fn with_host(key: &str, value: Value) -> Value {
    let mut body = docker_run();
    body["HostConfig"][key] = value;
    body
}

#[test]
fn the_command_line_clients_run() {
    let request = parse(&docker_run()).unwrap();
    assert_eq!(request.image, "nginx");
    assert_eq!(request.restart, RestartPolicy::OnFailure { max: 3 });
    assert_eq!(request.limits.memory, 64 << 20);
    assert_eq!(request.limits.pids, None);
    let container = ContainerPort {
        port: 80,
        protocol: Protocol::Tcp,
    };
    let want = Publish {
        host_ip: None,
        host_port: 8080,
        container,
    };
    assert_eq!(request.network.publish, [want]);
    let source = MountSource::Volume {
        name: "data".into(),
        no_copy: false,
    };
    let want = MountRequest {
        source,
        target: "/data".into(),
        read_only: false,
    };
    assert_eq!(request.mounts, [want]);
    assert!(!request.security.unmask);
}

#[test]
fn an_empty_binding_asks_for_a_free_port() {
    for bindings in [json!(null), json!([]), json!([{"HostPort": ""}])] {
        let request = parse(&with_host("PortBindings", json!({"80": bindings}))).unwrap();
        assert_eq!(request.network.publish[0].host_port, 0);
    }
}

#[test]
fn what_is_not_there_yet_is_refused_by_name() {
    let table = [
        ("Links", json!(["db:db"]), "Links"),
        ("NetworkMode", json!("backend"), "backend"),
        ("UsernsMode", json!("private"), "UsernsMode"),
        ("PidMode", json!("container:x"), "PidMode"),
        ("SecurityOpt", json!(["seccomp={}"]), "security option"),
        ("VolumesFrom", json!(["x"]), "VolumesFrom"),
        ("LogConfig", json!({"Type": "fluentd"}), "fluentd"),
    ];
    for (key, value, named) in table {
        let error = parse(&with_host(key, value)).unwrap_err();
        assert!(matches!(error, EngineError::NotSupported(_)), "{key}: {error}");
        assert!(error.to_string().contains(named), "{key}: {error}");
    }
    let mut body = docker_run();
    body["Healthcheck"] = json!({"Test": ["CMD", "true"]});
    assert!(matches!(parse(&body), Err(EngineError::NotSupported(_))));
}

fn assert_refused(flag: &str, body: &Value, named: &str) {
    let error = parse(body).unwrap_err();
    assert!(matches!(error, EngineError::NotSupported(_)), "{flag}: {error}");
    assert!(error.to_string().contains(named), "{flag}: {error}");
}

/// Flags of the command line client and what they put into `HostConfig`.
#[test]
fn no_flag_of_the_host_is_ignored() {
    let table = [
        ("--memory-swappiness 10", "MemorySwappiness", json!(10)),
        ("--memory-swappiness 0", "MemorySwappiness", json!(0)),
        ("--volume-driver", "VolumeDriver", json!("nfs")),
        ("--cgroup-parent", "CgroupParent", json!("/x")),
        ("--blkio-weight", "BlkioWeight", json!(10)),
        ("--cpuset-mems", "CpusetMems", json!("0")),
        ("--gpus", "DeviceRequests", json!([{"Count": -1}])),
        ("--oom-kill-disable", "OomKillDisable", json!(true)),
        ("--isolation", "Isolation", json!("hyperv")),
        ("other paths", "ReadonlyPaths", json!(["/x"])),
        ("a field of tomorrow", "Tomorrow", json!("x")),
    ];
    for (flag, key, value) in table {
        assert_refused(flag, &with_host(key, value), &format!("HostConfig.{key}"));
    }
    let log = json!({"Type": "", "Config": {"max-size": "1m"}});
    assert_refused("--log-opt", &with_host("LogConfig", log), "HostConfig.LogConfig.Config");
    let options = json!({"NonRecursive": true});
    let mount = json!([{"Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": options}]);
    let named = "HostConfig.Mounts.BindOptions.NonRecursive";
    assert_refused("--mount bind-recursive=disabled", &with_host("Mounts", mount), named);
}

#[test]
fn no_flag_of_the_network_or_the_process_is_ignored() {
    let mac = || json!("02:00:00:00:00:01");
    let table = [
        ("--ip", "IPAMConfig", json!({"IPv4Address": "1.2.3.4"})),
        ("--network-alias", "Aliases", json!(["a"])),
        ("--mac-address", "MacAddress", mac()),
    ];
    for (flag, key, value) in table {
        let mut body = docker_run();
        body["NetworkingConfig"]["EndpointsConfig"]["default"][key] = value;
        assert_refused(flag, &body, &format!("NetworkingConfig.EndpointsConfig.{key}"));
    }
    let table = [
        ("--mac-address of old", "MacAddress", mac()),
        ("--health-interval", "Healthcheck", json!({"Interval": 5})),
        ("a field of tomorrow", "Tomorrow", json!(1)),
    ];
    for (flag, key, value) in table {
        let mut body = docker_run();
        body[key] = value;
        assert_refused(flag, &body, key);
    }
}

/// What says nothing is no refusal: the defaults of clients, and what `inspect` shows sent back.
#[test]
fn defaults_are_taken() {
    let mut body = docker_run();
    let host = body["HostConfig"].as_object_mut().unwrap();
    for key in [
        "BlkioDeviceReadBps",
        "BlkioDeviceWriteBps",
        "BlkioDeviceReadIOps",
        "BlkioDeviceWriteIOps",
    ] {
        host.insert(key.into(), json!([]));
    }
    for key in [
        "CpuRealtimePeriod",
        "CpuRealtimeRuntime",
        "CpuCount",
        "CpuPercent",
        "IOMaximumIOps",
        "KernelMemory",
    ] {
        host.insert(key.into(), json!(0));
    }
    host.insert("LogConfig".into(), json!({"Type": "json-file", "Config": {}}));
    host.insert("CgroupnsMode".into(), json!("private"));
    host.insert("Isolation".into(), json!("default"));
    host.insert("MemorySwappiness".into(), json!(null));
    host.insert("Init".into(), json!(false));
    host.insert("MaskedPaths".into(), json!(crate::spec::MASKED));
    host.insert("ReadonlyPaths".into(), json!(crate::spec::READ_ONLY));
    body["AttachStdout"] = json!(true);
    body["Healthcheck"] = json!({"Test": ["NONE"]});
    body["NetworkingConfig"]["EndpointsConfig"]["default"] = json!({
        "IPAMConfig": {}, "Links": null, "Aliases": null, "MacAddress": "", "DriverOpts": null, "GwPriority": 0,
        "NetworkID": "62", "EndpointID": "", "Gateway": "172.30.0.1", "IPAddress": "", "IPPrefixLen": 16,
        "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": null
    });
    parse(&body).unwrap();
}

#[test]
fn nonsense_is_refused() {
    let table = [
        with("/Image", json!("")),
        with_host("Binds", json!(["nothing"])),
        with_host("Binds", json!(["/a:/b:/c:/d"])),
        with_host("RestartPolicy", json!({"Name": "sometimes"})),
        with_host("RestartPolicy", json!({"Name": "always", "MaximumRetryCount": 1})),
        with_host("AutoRemove", json!(true)),
        with_host("PortBindings", json!({"x": []})),
        with_host("PortBindings", json!({"80": [{"HostIp": "host"}]})),
        with_host("Memory", json!(-1)),
        with_host("Memory", json!(1024)),
        with_host("Mounts", json!([{"Type": "volume", "Target": "/x", "BindOptions": {}}])),
        with("/Labels", json!([])),
    ];
    for body in table {
        assert!(matches!(parse(&body), Err(EngineError::Invalid(_))), "{body}");
    }
    assert!(parse_create(b"{").is_err());
}

#[test]
fn binds_in_all_spellings() {
    let bind = |text| parse_bind(text).unwrap();
    assert!(bind("/a:/b:ro,z").read_only);
    let MountSource::Bind {
        create, propagation, ..
    } = bind("/a:/b:rslave").source
    else {
        panic!("not a bind")
    };
    assert_eq!((create, propagation.as_str()), (true, "rslave"));
    let nocopy = MountSource::Volume {
        name: "v".into(),
        no_copy: true,
    };
    assert_eq!(bind("v:/b:nocopy").source, nocopy);
}

#[test]
fn sizes() {
    let table = [
        ("10G", Some(10 << 30)),
        ("512m", Some(512 << 20)),
        ("7", Some(7)),
        ("x", None),
    ];
    for (text, want) in table {
        assert_eq!(parse_size(text), want, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = parse_create(&body);
    }
}

#[test]
fn a_label_of_the_request_grants_the_bus_and_only_the_words_there_are() {
    let asked = |label: &str| parse(&with("/Labels", json!({ "io.keelson.bus": label })));
    assert_eq!(parse(&docker_run()).unwrap().security.bus, None);
    assert_eq!(asked("read").unwrap().security.bus, Some(BusAccess::Read));
    assert_eq!(asked("operate").unwrap().security.bus, Some(BusAccess::Operate));
    let refused = asked("all").unwrap_err().to_string();
    assert!(
        refused.contains("io.keelson.bus") && refused.contains("\"read\" or \"operate\""),
        "{refused}"
    );
}
