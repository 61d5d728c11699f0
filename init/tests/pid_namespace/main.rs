//! The real program as PID 1 of a namespace of its own: processes, control groups, sockets, signals, without a virtual
//! machine. Needs root and a version 2 control group tree.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::exit, reason = "tests")]

mod machine;
mod roles;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use keelson_manager_api::{Client, Refusal, Reply, Request, UnitState, Words};
use machine::{Machine, Unit};

/// This program again, in the part a unit's environment names.
#[test]
fn role() {
    roles::play();
}

#[test]
fn privileged_units_start_in_order_and_wait_for_readiness() {
    let machine = Machine::boot(&[
        Unit::role("first", "late").line("ready = \"notify\"").service(),
        Unit::shell("second", "echo second >> $RUN/order").requires("first"),
        Unit::shell("third", "echo third >> $RUN/order").after("second"),
        Unit::target("boot-complete").requires("third"),
    ]);
    machine.wait_for_line("boot-complete");
    assert_eq!(machine.read("order"), "first\nsecond\nthird\n");
    assert_eq!(machine.status("first").state, UnitState::Running);
    assert_eq!(machine.status("third").state, UnitState::Done);
}

#[test]
fn privileged_a_bad_unit_file_is_refused_alone() {
    let machine = Machine::boot(&[
        Unit::shell("good", "true"),
        Unit::shell("bad", "true").line("colour = \"red\""),
        Unit::target("x").requires("y"),
        Unit::target("y").requires("x"),
        Unit::target("boot-complete").requires("good"),
    ]);
    machine.wait_for_line("boot-complete");
    let said = machine.console();
    assert!(
        said.contains("bad.toml is left out") && said.contains("unknown field `colour`"),
        "{said}"
    );
    assert!(
        said.contains("unit x is left out: order goes round in a circle: x after y after x"),
        "{said}"
    );
}

#[test]
fn privileged_a_killed_service_comes_back_and_a_broken_one_is_given_up() {
    let machine = Machine::boot(&[
        Unit::role("service", "ready")
            .line("ready = \"notify\"")
            .line("restart = \"always\"")
            .service(),
        Unit::shell("broken", "exit 3")
            .line("restart = \"always\"")
            .line("restart-delay = \"10ms\"")
            .service(),
    ]);
    let before = machine.wait_for("service", UnitState::Running);
    machine.kill(before.main_pid.unwrap());
    machine.wait_until("a new main process", || {
        let now = machine.status("service");
        now.state == UnitState::Running && now.main_pid != before.main_pid && now.restarts == 1
    });
    let broken = machine.wait_for("broken", UnitState::Failed);
    assert_eq!(broken.restarts, 4);
    assert!(
        broken
            .failure
            .unwrap()
            .contains("exited with code 3; given up after 5 starts")
    );
}

#[test]
fn privileged_children_of_a_unit_end_with_it() {
    let machine = Machine::boot(&[Unit::shell("parent", "sleep 4711 & sleep 4711 & exec sleep 4711").service()]);
    let parent = machine.wait_for("parent", UnitState::Running);
    machine.wait_until("two children", || machine.processes("parent").len() == 3);
    machine.kill(parent.main_pid.unwrap());
    machine.wait_for("parent", UnitState::Failed);
    assert!(machine.processes("parent").is_empty());
}

#[test]
fn privileged_thousands_of_orphans_are_reaped_while_requests_are_answered() {
    let burst = "i=0; while [ $i -lt 2000 ]; do (sleep 0.01 &); i=$((i+1)); done";
    let machine = Machine::boot(&[
        Unit::shell("one", burst).line("kill = \"main\""),
        Unit::shell("two", burst).line("kill = \"main\""),
        Unit::role("service", "ready").line("ready = \"notify\"").service(),
    ]);
    let mut slowest = Duration::ZERO;
    machine.wait_until("both bursts", || {
        let asked = Instant::now();
        let done = ["one", "two"]
            .iter()
            .all(|name| machine.status(name).state == UnitState::Done);
        slowest = slowest.max(asked.elapsed());
        done
    });
    assert!(slowest < Duration::from_secs(2), "PID 1 took {slowest:?} to answer");
    machine.wait_until("no zombies", || {
        machine.children_of_init().iter().all(|(_, state)| *state != 'Z')
    });
    machine.wait_until("no orphans", || machine.children_of_init().len() == 2);
    assert_eq!(machine.status("service").state, UnitState::Running);
}

#[test]
fn privileged_a_unit_that_does_not_stop_is_killed_after_its_deadline() {
    let machine = Machine::boot(&[Unit::role("stubborn", "stubborn")
        .line("ready = \"notify\"")
        .line("stop-timeout = \"1s\"")
        .service()]);
    machine.wait_for("stubborn", UnitState::Running);
    let asked = Instant::now();
    assert_eq!(
        machine.ask(Request::Stop {
            unit: "stubborn".into()
        }),
        Reply::Done
    );
    assert!(asked.elapsed() >= Duration::from_millis(950), "{:?}", asked.elapsed());
    assert!(machine.console().contains("stubborn did not stop in time; killed"));
    assert!(machine.processes("stubborn").is_empty());
}

#[test]
fn privileged_a_unit_that_misses_its_watchdog_is_started_again() {
    let machine = Machine::boot(&[Unit::role("frozen", "ready")
        .line("ready = \"notify\"")
        .line("restart = \"always\"")
        .line("watchdog = \"300ms\"")
        .service()]);
    machine.wait_until("a restart", || machine.status("frozen").restarts > 0);
    assert!(machine.console().contains("frozen missed its watchdog"));
}

#[test]
fn privileged_what_connects_while_a_service_restarts_is_served_later() {
    let machine = Machine::boot(&[Unit::role("echo", "echo")
        .line("ready = \"notify\"")
        .line("restart = \"always\"")
        .line("restart-delay = \"500ms\"")
        .socket("talk", "stream", "0666")]);
    let before = machine.wait_for("echo", UnitState::Running);
    let exchange = |stream: &mut UnixStream| {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        answer
    };
    assert_eq!(
        &exchange(&mut UnixStream::connect(machine.path("talk")).unwrap()),
        b"hello"
    );
    machine.kill(before.main_pid.unwrap());
    machine.wait_until("its end", || machine.status("echo").main_pid != before.main_pid);
    assert_eq!(
        &exchange(&mut UnixStream::connect(machine.path("talk")).unwrap()),
        b"hello"
    );
}

#[test]
fn privileged_who_knocks_starts_what_is_down_and_may_end_by_itself() {
    let machine = Machine::boot(&[Unit::role("once", "one-caller")
        .line("ready = \"notify\"")
        .line("restart = \"on-failure\"")
        .socket("talk", "stream", "0666")
        .on_call()]);
    assert_eq!(machine.status("once").state, UnitState::Stopped);
    let mut earlier = None;
    for round in 0..3 {
        if round == 2 {
            assert_eq!(machine.ask(Request::Reexec), Reply::Done);
        }
        let mut stream = UnixStream::connect(machine.path("talk")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        let pid = machine.status("once").main_pid;
        assert!(pid.is_some() && pid != earlier);
        earlier = pid;
        drop(stream);
        machine.wait_for("once", UnitState::Stopped);
    }
    let resting = || {
        let before = machine.spent_by_init();
        std::thread::sleep(Duration::from_millis(300));
        machine.spent_by_init() == before
    };
    machine.wait_until("PID 1 to rest while nobody knocks", resting);
}

#[test]
fn privileged_a_unit_runs_as_whom_and_with_what_it_asks_for() {
    let machine =
        Machine::boot(&[
            Unit::shell("sandboxed", "cat /proc/self/status > $RUN/open/status; exec sleep 4711")
                .line("user = \"nobody\"")
                .line("capabilities = [\"CAP_NET_BIND_SERVICE\"]")
                .line("seccomp = \"service\"")
                .service(),
        ]);
    machine.wait_until("its status", || machine.read("open/status").contains("Seccomp_filters"));
    let status = machine.read("open/status");
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    assert_eq!(field("Uid:"), "65534\t65534\t65534\t65534");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000400", "{set}");
    }
    assert_eq!(field("SigBlk:"), "0000000000000000");
    assert_eq!((field("NoNewPrivs:").as_str(), field("Seccomp:").as_str()), ("1", "2"));
}

#[test]
fn privileged_a_delegated_group_can_be_divided_and_started_in_again() {
    let divide = "here=$(sed -n s/^0:://p /proc/self/cgroup); echo $here > $RUN/open/group; \
                  mkdir -p $RUN/../cgroup$here/../session && exec sleep 4711";
    let machine = Machine::boot(&[Unit::shell("owner", divide)
        .line("user = \"nobody\"")
        .line("delegate = true")
        .line("restart = \"always\"")
        .service()]);
    let before = machine.wait_for("owner", UnitState::Running);
    machine.wait_until("its own group", || machine.has_group("owner/session"));
    assert_eq!(machine.read("open/group"), "/system/owner/main\n");
    machine.kill(before.main_pid.unwrap());
    machine.wait_until("a restart", || machine.status("owner").restarts == 1);
    machine.wait_for("owner", UnitState::Running);
    assert_eq!(machine.ask(Request::Stop { unit: "owner".into() }), Reply::Done);
    assert!(!machine.has_group("owner"));
}

#[test]
fn privileged_a_filtered_unit_cannot_mount_or_make_namespaces() {
    let machine = Machine::boot(&[
        Unit::shell("mounts", "mount -t tmpfs none /mnt").line("seccomp = \"network\""),
        Unit::shell("unshares", "unshare -m true").line("seccomp = \"service\""),
        Unit::shell("free", "unshare -m true"),
    ]);
    machine.wait_for("free", UnitState::Done);
    machine.wait_for("mounts", UnitState::Failed);
    machine.wait_for("unshares", UnitState::Failed);
}

#[test]
fn privileged_what_goes_wrong_before_exec_is_named() {
    let machine = Machine::boot(&[
        Unit::shell("nobody-there", "true").line("user = \"no-such-user\""),
        Unit::new("missing", "/bin/no-such-program", "oneshot"),
    ]);
    let failure = |name: &str| machine.wait_for(name, UnitState::Failed).failure.unwrap();
    assert!(failure("nobody-there").contains("cannot become user no-such-user: there is no user"));
    assert!(failure("missing").contains("cannot execute /bin/no-such-program: No such file"));
}

#[test]
fn privileged_authority_is_the_callers_group() {
    let machine = Machine::boot(&[
        Unit::role("onlooker", "agent").line("ready = \"notify\"").service(),
        Unit::role("service", "ready").line("ready = \"notify\"").service(),
    ]);
    machine.wait_for("service", UnitState::Running);
    let refused = |reply: &Reply| {
        matches!(
            reply,
            Reply::Refused {
                refusal: Refusal::NotAllowed,
                ..
            }
        )
    };
    machine.wait_for("onlooker", UnitState::Running);
    assert!(refused(
        &machine.ask_as("onlooker", Request::Stop { unit: "service".into() })
    ));
    assert!(matches!(machine.ask_as("onlooker", Request::List), Reply::Units { units } if units.len() == 3));
    // Root, but from outside of the machine's groups: as a container would be.
    let mut outsider = Client::connect(&machine.path("control")).unwrap();
    for request in [
        Request::List,
        Request::PowerOff {
            words: Words::default(),
        },
        Request::Stop { unit: "service".into() },
    ] {
        assert!(refused(&outsider.request(request).unwrap()));
    }
    assert_eq!(machine.status("service").state, UnitState::Running);
}

#[test]
fn privileged_a_new_copy_takes_over_running_services() {
    let machine = Machine::boot(&[
        Unit::role("service", "echo")
            .line("ready = \"notify\"")
            .line("restart = \"always\"")
            .socket("talk", "stream", "0666"),
        Unit::role("slow", "late").line("ready = \"notify\"").service(),
    ]);
    let before = machine.wait_for("service", UnitState::Running);
    let mut talk = UnixStream::connect(machine.path("talk")).unwrap();
    talk.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for round in 1..=3 {
        assert_eq!(machine.ask(Request::Reexec), Reply::Done);
        machine.wait_until("the new copy", || {
            machine.console().matches("has taken over").count() == round
        });
        assert_eq!(machine.status("service").main_pid, before.main_pid);
        talk.write_all(b"hello").unwrap();
        talk.read_exact(&mut [0; 5]).unwrap();
    }
    machine.wait_for("slow", UnitState::Running);
    machine.kill(before.main_pid.unwrap());
    machine.wait_until("a restart by the new copy", || {
        let now = machine.status("service");
        now.state == UnitState::Running && now.main_pid != before.main_pid
    });
    let mut talk = UnixStream::connect(machine.path("talk")).unwrap();
    talk.write_all(b"hello").unwrap();
    talk.read_exact(&mut [0; 5]).unwrap();
    assert_eq!(machine.power_off(), Some(0));
}

#[test]
fn privileged_shutdown_goes_in_order_and_ends_cleanly() {
    let stops = |name: &str| Unit::role(name, "stops").line("ready = \"notify\"");
    let machine = Machine::boot(&[
        stops("below").service(),
        stops("above").requires("below").service(),
        Unit::shell("strays", "(setsid sleep 4711 &)").line("kill = \"main\""),
    ]);
    machine.wait_for("above", UnitState::Running);
    machine.wait_for("strays", UnitState::Done);
    assert_eq!(machine.power_off(), Some(0));
    assert_eq!(machine.read("stops"), "above\nbelow\n");
    assert_eq!(machine.read("shutting-down"), "power-off\n");
    assert!(machine.console().contains("powering off: stopping"));
}
