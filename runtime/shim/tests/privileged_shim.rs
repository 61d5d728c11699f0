//! The shim as the engine sees it: launch, streams, exits, death of the engine, execs, terminals, logs.

#![allow(clippy::unwrap_used)] // A test may panic.

mod support;

use keelson_shim_api::{Client, ClientError, FailureKind, LaunchReport, Notice, Outcome, Phase, RequestBody, Streams};
use serde_json::json;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};
use support::{ALL, ask, bundle, process, refused, state, wait};

fn attach(client: &mut Client, streams: Streams, close_stdin: bool) -> Vec<File> {
    let (outcome, fds) = ask(client, RequestBody::Attach { streams, close_stdin });
    assert_eq!(outcome, Outcome::Attached);
    fds.into_iter().map(File::from).collect()
}

fn read_all(file: &mut File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn privileged_streams_exit_and_log() {
    let Some(mut bundle) = bundle("echo out; echo err >&2; cat; exit 3") else {
        return;
    };
    bundle.config["open_stdin"] = true.into();
    let (pid, shim) = bundle.created();
    let mut client = bundle.client();
    let before = state(&mut client);
    assert_eq!(
        (before.phase, before.pid, before.shim_pid, before.started_at),
        (Phase::Created, pid, shim, None)
    );
    let mut files = attach(&mut client, ALL, true);
    ask(&mut client, RequestBody::Start);
    let (mut stderr, mut stdout) = (files.pop().unwrap(), files.pop().unwrap());
    files.pop().unwrap().write_all(b"typed\n").unwrap();
    assert_eq!(
        (read_all(&mut stdout), read_all(&mut stderr)),
        ("out\ntyped\n".into(), "err\n".into())
    );
    let exit = wait(&mut client, None);
    assert_eq!((exit.code, exit.signal), (3, None));
    assert!(exit.started_at.unwrap() < exit.finished_at);
    assert_eq!(bundle.exit_record(), exit);
    assert_eq!(state(&mut client).phase, Phase::Stopped);
    let mut log: Vec<String> = bundle.log_text().lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(log, ["err", "out", "typed"]);
    ask(&mut client, RequestBody::Delete { force: false });
    assert_eq!(bundle.await_shim(), 0);
    assert!(!bundle.path("socket").exists() && !bundle.path("states").join(&bundle.id).exists());
    assert!(bundle.path("exit.json").exists());
}

#[test]
fn privileged_engines_come_and_go() {
    let Some(mut bundle) = bundle("while true; do echo tick; sleep 0.05; done") else {
        return;
    };
    bundle.created();
    let mut first = bundle.client();
    let mut files = attach(
        &mut first,
        Streams {
            stdout: true,
            ..Streams::default()
        },
        false,
    );
    ask(&mut first, RequestBody::Start);
    let mut bytes = [0; 5];
    files[0].read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"tick\n");
    // The engine dies: connection and pipes are gone at once.
    drop((first, files));
    let mut second = bundle.client();
    assert_eq!(state(&mut second).phase, Phase::Running);
    let mut files = attach(
        &mut second,
        Streams {
            stdout: true,
            ..Streams::default()
        },
        false,
    );
    files[0].read_exact(&mut bytes).unwrap();
    ask(&mut second, RequestBody::Subscribe);
    ask(
        &mut second,
        RequestBody::Kill {
            process: None,
            signal: 9,
            all: false,
        },
    );
    match second.notice().unwrap() {
        Notice::Exited { process: None, exit } => assert_eq!((exit.code, exit.signal), (137, Some(9))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn privileged_an_end_without_an_engine_is_kept() {
    let Some(mut bundle) = bundle("sleep 0.2; exit 9") else {
        return;
    };
    bundle.created();
    ask(&mut bundle.client(), RequestBody::Start);
    let deadline = Instant::now() + support::PATIENCE;
    while !bundle.path("exit.json").exists() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(bundle.exit_record().code, 9);
    assert_eq!(wait(&mut bundle.client(), None), bundle.exit_record());
}

fn exec(name: &str, arguments: &[&str], terminal: bool, streams: Streams) -> RequestBody {
    RequestBody::Exec {
        exec: name.to_owned(),
        process: process(arguments, terminal),
        streams,
    }
}

#[test]
fn privileged_execs() {
    let Some(mut bundle) = bundle("sleep 1000") else { return };
    bundle.created();
    let mut client = bundle.client();
    ask(&mut client, RequestBody::Start);
    let (_, fds) = ask(
        &mut client,
        exec(
            "a",
            &["sh", "-c", "echo $$ >/dev/null; cat; echo e >&2; exit 4"],
            false,
            ALL,
        ),
    );
    let mut files: Vec<File> = fds.into_iter().map(File::from).collect();
    assert!(state(&mut client).execs.contains_key("a"));
    assert_eq!(
        refused(&mut client, exec("a", &["true"], false, Streams::default())).0,
        FailureKind::Conflict
    );
    let (mut stderr, mut stdout, mut stdin) = (files.pop().unwrap(), files.pop().unwrap(), files.pop().unwrap());
    stdin.write_all(b"through\n").unwrap();
    drop(stdin);
    assert_eq!(
        (read_all(&mut stdout), read_all(&mut stderr)),
        ("through\n".into(), "e\n".into())
    );
    assert_eq!(wait(&mut client, Some("a")).code, 4);
    assert_eq!(wait(&mut client, Some("a")).code, 4, "a late client learns it too");
    let missing = refused(&mut client, exec("b", &["nope"], false, Streams::default()));
    assert_eq!(
        missing,
        (
            FailureKind::NotFound,
            "cannot run nope: executable file not found in $PATH".into()
        )
    );
    assert_eq!(
        refused(&mut client, exec("b", &["/proc/version"], false, Streams::default())).0,
        FailureKind::NotExecutable
    );
    ask(&mut client, exec("k", &["sleep", "1000"], false, Streams::default()));
    ask(
        &mut client,
        RequestBody::Kill {
            process: Some("k".into()),
            signal: 15,
            all: false,
        },
    );
    assert_eq!(wait(&mut client, Some("k")).code, 143);
    assert!(
        !bundle.log_text().contains("through"),
        "execs are not the container's log"
    );
}

#[test]
fn privileged_a_terminal_for_an_exec() {
    let Some(mut bundle) = bundle("sleep 1000") else { return };
    bundle.created();
    let mut client = bundle.client();
    ask(&mut client, RequestBody::Start);
    let (_, fds) = ask(
        &mut client,
        exec(
            "t",
            &["sh", "-c", "tty; stty size; read x; stty size; echo got $x"],
            true,
            ALL,
        ),
    );
    let mut files: Vec<File> = fds.into_iter().map(File::from).collect();
    assert_eq!(files.len(), 2, "a terminal has no error stream");
    let mut bytes = [0; 19];
    files[1].read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"/dev/pts/0\r\n10 20\r\n");
    ask(
        &mut client,
        RequestBody::Resize {
            process: Some("t".into()),
            rows: 33,
            columns: 44,
        },
    );
    files[0].write_all(b"w\n").unwrap();
    assert_eq!(read_all(&mut files[1]), "w\r\n33 44\r\ngot w\r\n");
}

#[test]
fn privileged_a_terminal_for_the_container() {
    let Some(mut bundle) = bundle("tty; read x; echo got $x; stty size") else {
        return;
    };
    bundle.spec["process"]["terminal"] = true.into();
    bundle.config["open_stdin"] = true.into();
    bundle.created();
    let mut client = bundle.client();
    let mut files = attach(&mut client, ALL, false);
    ask(
        &mut client,
        RequestBody::Resize {
            process: None,
            rows: 5,
            columns: 6,
        },
    );
    ask(&mut client, RequestBody::Start);
    files[0].write_all(b"me\n").unwrap();
    let text = read_all(&mut files[1]).replace('\r', "");
    assert!(
        text.contains("/dev/pts/0\n") && text.contains("got me\n5 6\n"),
        "{text}"
    );
    wait(&mut client, None);
    assert!(bundle.log_text().contains("got me"));
}

#[test]
fn privileged_a_slow_reader_slows_the_container_and_costs_no_memory() {
    let Some(mut bundle) = bundle("yes 0123456789012345678901234567890123456789 | head -c 30000000; echo end >&2")
    else {
        return;
    };
    bundle.config["log"] = json!({"file": bundle.path("log"), "max_bytes": 1_000_000, "max_files": 2});
    let (_, shim) = bundle.created();
    let mut client = bundle.client();
    let mut files = attach(
        &mut client,
        Streams {
            stdout: true,
            ..Streams::default()
        },
        false,
    );
    ask(&mut client, RequestBody::Start);
    // Nobody reads: the pipes fill and stay full.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(state(&mut client).phase, Phase::Running);
    let status = fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kilobytes: u64 = anonymous.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 1500, "{kilobytes} kB");
    let mut length = 0;
    let mut bytes = vec![0; 1 << 16];
    loop {
        match files[0].read(&mut bytes).unwrap() {
            0 => break,
            more => length += more,
        }
    }
    assert_eq!(length, 30_000_000);
    assert_eq!(wait(&mut client, None).code, 0);
    let kept: u64 = ["log", "log.1"]
        .iter()
        .map(|name| fs::metadata(bundle.path(name)).map_or(0, |file| file.len()))
        .sum();
    assert!(
        kept < 2_300_000 && bundle.path("log.1").exists() && !bundle.path("log.2").exists(),
        "{kept}"
    );
    let text: String = ["log.1", "log"]
        .iter()
        .map(|name| fs::read_to_string(bundle.path(name)).unwrap())
        .collect();
    assert!(text.contains(r#""stream":"stderr","text":"end\n""#));
}

#[test]
fn privileged_lines_reach_the_journal() {
    let Some(mut bundle) = bundle("echo one; echo two >&2; dd if=/dev/zero bs=20000 count=1 2>/dev/null") else {
        return;
    };
    let path = bundle.path("journal");
    let journal = UnixDatagram::bind(&path).unwrap();
    journal.set_read_timeout(Some(support::PATIENCE)).unwrap();
    bundle.config["log"] = json!({"journal": path});
    bundle.config["tag"] = "tag".into();
    bundle.created();
    let mut client = bundle.client();
    ask(&mut client, RequestBody::Start);
    let mut received = Vec::new();
    for _ in 0..4 {
        let mut bytes = vec![0; 1 << 16];
        let length = journal.recv(&mut bytes).unwrap();
        received.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
    }
    received.sort_by_key(String::len);
    assert!(
        received
            .iter()
            .any(|text| text.starts_with("MESSAGE=one\nPRIORITY=6\nCONTAINER_STREAM=stdout\n"))
    );
    assert!(
        received
            .iter()
            .any(|text| text.starts_with("MESSAGE=two\nPRIORITY=3\nCONTAINER_STREAM=stderr\n"))
    );
    assert!(
        received
            .iter()
            .all(|text| text.contains("CONTAINER_TAG=tag\nSYSLOG_IDENTIFIER=tag\nIMAGE_NAME=img:1\n"))
    );
    assert!(received[3].contains("CONTAINER_PARTIAL_MESSAGE=true") && !received[2].contains("PARTIAL"));
}

#[test]
fn privileged_refusals() {
    let Some(mut bundle) = bundle("sleep 1000") else { return };
    bundle.created();
    let mut client = bundle.client();
    assert_eq!(refused(&mut client, RequestBody::Pause).0, FailureKind::Conflict);
    ask(&mut client, RequestBody::Start);
    assert_eq!(refused(&mut client, RequestBody::Start).0, FailureKind::Conflict);
    assert_eq!(
        refused(&mut client, RequestBody::Delete { force: false }).0,
        FailureKind::Conflict
    );
    assert_eq!(
        refused(
            &mut client,
            RequestBody::Wait {
                process: Some("x".into())
            }
        )
        .0,
        FailureKind::Conflict
    );
    let bad = RequestBody::Exec {
        exec: "x".into(),
        process: json!(5),
        streams: Streams::default(),
    };
    assert_eq!(refused(&mut client, bad).0, FailureKind::Invalid);
    ask(&mut client, RequestBody::Pause);
    assert_eq!(state(&mut client).phase, Phase::Paused);
    ask(&mut client, RequestBody::Resume);
    // A frozen container is thawed to die.
    ask(&mut client, RequestBody::Pause);
    ask(&mut client, RequestBody::Delete { force: true });
    assert_eq!((bundle.await_shim(), bundle.exit_record().code), (0, 137));
}

#[test]
fn privileged_a_failed_launch_says_why_and_leaves_nothing() {
    let Some(mut bundle) = bundle("true") else { return };
    bundle.spec["process"]["args"] = json!(["/nope"]);
    match bundle.launch() {
        LaunchReport::Failed { failure } => {
            assert_eq!(
                (failure.kind, failure.message.as_str()),
                (FailureKind::NotFound, "cannot run /nope: no such file or directory")
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bundle.await_shim(), 1);
    assert!(!bundle.path("states").join(&bundle.id).exists() && !bundle.path("socket").exists());
}

#[test]
fn privileged_strangers_are_turned_away_and_harm_nobody() {
    let Some(mut bundle) = bundle("sleep 1000") else { return };
    bundle.created();
    for bytes in [&b"\xff\xff\xff\xff"[..], b"\x02\0\0\0{}", b"\x05\0\0\0hello", b""] {
        let mut socket = std::os::unix::net::UnixStream::connect(bundle.path("socket")).unwrap();
        socket.write_all(bytes).unwrap();
        drop(socket);
    }
    let mut stranger = std::os::unix::net::UnixStream::connect(bundle.path("socket")).unwrap();
    stranger.write_all(b"\x02\0\0\0{}").unwrap();
    stranger.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let mut said = Vec::new();
    stranger.read_to_end(&mut said).unwrap();
    assert_eq!(state(&mut bundle.client()).phase, Phase::Created);
    assert!(matches!(
        Client::connect(&bundle.path("nothing")),
        Err(ClientError::Connect { .. })
    ));
}

#[test]
fn privileged_a_kill_for_memory_is_told() {
    let Some(mut bundle) = bundle("dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 1000") else {
        return;
    };
    let root = keelson_oci::cgroup::root::find().unwrap();
    if !fs::read_to_string(root.join("cgroup.controllers"))
        .unwrap_or_default()
        .contains("memory")
    {
        return eprintln!("skipped: no memory controller in this cgroup v2 tree (a hybrid host)");
    }
    bundle.spec["linux"]["resources"] = json!({"memory": {"limit": 16 << 20, "swap": 16 << 20}});
    bundle.created();
    let mut client = bundle.client();
    ask(&mut client, RequestBody::Subscribe);
    ask(&mut client, RequestBody::Start);
    assert_eq!(client.notice().unwrap(), Notice::Oom);
    ask(
        &mut client,
        RequestBody::Update {
            resources: json!({"memory": {"limit": 32 << 20, "swap": 32 << 20}}),
        },
    );
    ask(
        &mut client,
        RequestBody::Kill {
            process: None,
            signal: 9,
            all: true,
        },
    );
    assert!(wait(&mut client, None).oom_killed && bundle.exit_record().oom_killed);
}

#[test]
fn privileged_the_shim_is_small() {
    let Some(mut bundle) = bundle("sleep 1000") else { return };
    let (_, shim) = bundle.created();
    ask(&mut bundle.client(), RequestBody::Start);
    let status = fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
    let value = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .trim()
            .to_owned()
    };
    assert_eq!(value("Threads:"), "1");
    let anonymous: u64 = value("RssAnon:").trim_end_matches(" kB").parse().unwrap();
    assert!(anonymous < 800, "{anonymous} kB");
}

/// Another file with the same program, as an update would bring.
fn other_copy(bundle: &support::Bundle) -> std::path::PathBuf {
    let path = bundle.path("keelson-shim");
    fs::copy(env!("CARGO_BIN_EXE_keelson-shim"), &path).unwrap();
    path
}

#[test]
fn privileged_a_new_copy_takes_over_a_running_container() {
    let script = "printf half; read line; echo \" $line\"; echo error >&2; read line; exit 7";
    let Some(mut bundle) = bundle(script) else { return };
    bundle.config["open_stdin"] = true.into();
    let (pid, shim) = bundle.created();
    let mut client = bundle.client();
    let program = other_copy(&bundle);
    let early = RequestBody::Reexec {
        program: program.clone(),
    };
    assert_eq!(refused(&mut client, early).0, FailureKind::Conflict);
    let mut files = attach(&mut client, ALL, true);
    let (mut stderr, mut stdout, mut stdin) = (files.pop().unwrap(), files.pop().unwrap(), files.pop().unwrap());
    ask(&mut client, RequestBody::Start);
    let mut half = [0; 4];
    stdout.read_exact(&mut half).unwrap();
    let exec = RequestBody::Exec {
        exec: "e".into(),
        process: process(&["sh", "-c", "read line; exit 3"], false),
        streams: Streams {
            stdin: true,
            ..Streams::default()
        },
    };
    let mut typed = File::from(ask(&mut client, exec).1.pop().unwrap());
    // Someone waits already, on a connection of its own.
    let mut waiting = bundle.client();
    let waiter = std::thread::spawn(move || wait(&mut waiting, None));
    let nowhere = RequestBody::Reexec {
        program: bundle.path("nothing"),
    };
    let (_, message) = refused(&mut client, nowhere);
    assert!(message.contains("this one goes on"), "{message}");

    ask(
        &mut client,
        RequestBody::Reexec {
            program: program.clone(),
        },
    );
    assert_eq!(fs::read_link(format!("/proc/{shim}/exe")).unwrap(), program);
    let now = state(&mut client);
    assert_eq!((now.phase, now.pid, now.shim_pid), (Phase::Running, pid, shim));
    assert_eq!(now.execs.keys().collect::<Vec<_>>(), ["e"]);
    typed.write_all(b"go\n").unwrap();
    assert_eq!(wait(&mut client, Some("e")).code, 3);
    // A second time, with the first copy's program; streams go on through both.
    let program = env!("CARGO_BIN_EXE_keelson-shim").into();
    ask(&mut bundle.client(), RequestBody::Reexec { program });
    stdin.write_all(b"line\nend\n").unwrap();
    assert_eq!(
        (read_all(&mut stdout), read_all(&mut stderr)),
        (" line\n".into(), "error\n".into())
    );
    assert_eq!(waiter.join().unwrap().code, 7);
    assert_eq!(bundle.exit_record().code, 7);
    let mut log: Vec<String> = bundle.log_text().lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(
        log,
        ["error", "half line"],
        "a line begun under one copy ends under another"
    );
    ask(&mut client, RequestBody::Delete { force: false });
    assert_eq!(bundle.await_shim(), 0);
}
