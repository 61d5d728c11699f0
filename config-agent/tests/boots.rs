//! Boots of a machine: what is applied, kept, refused and reported.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use keelson_config::status::State;
use keelson_machine_config::MachineConfig;
use support::{Machine, fat, seed};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAzKfjUkBvcDtpZDPDM4dFT+PX8QgvTzKacsDX322N2 me@laptop";
const SLOT: &str = "pci0/0000:00:03.0/virtio1";
const OTHER_SLOT: &str = "pci0/0000:00:04.0/virtio2";

fn document(hostname: &str, more: &str) -> String {
    format!("schema = 1\n[system]\nhostname = \"{hostname}\"\n{more}")
}

fn machine_json(machine: &Machine) -> MachineConfig {
    serde_json::from_str(&machine.read("run/keelson/config/machine.json")).unwrap()
}

#[test]
fn without_a_document_nothing_is_open_and_the_console_says_how_to_give_one() {
    let machine = Machine::new();
    machine.attach("vda", OTHER_SLOT, &fat("esp", 1 << 20, &[("user-data", b"schema = 1")]));
    let outcome = machine.boot();
    assert_eq!(outcome.status.state, State::None);
    let text = outcome.status.lines().join("\n");
    for part in [
        "there is no document",
        "volumes labelled cidata",
        "user-data",
        "nothing open",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let config = machine_json(&machine);
    let hostname = config.system.hostname.clone().unwrap();
    assert!(hostname.as_str().starts_with("keelson-"));
    assert_eq!(config.containers.len() + config.ssh.keys.len() + config.users.len(), 0);
    assert_eq!(machine.read("etc/hostname"), format!("{hostname}\n"));
    assert_eq!(machine.read("proc/sys/kernel/hostname"), hostname.as_str());
    assert!(machine.read("etc/passwd").starts_with("root:"));
}

#[test]
fn a_document_is_applied_and_unchanged_on_the_next_boot() {
    let machine = Machine::new();
    let users =
        format!("[ssh]\nkeys = [\"{KEY}\"]\n[[user]]\nname = \"ann\"\ngroups = [\"wheel\"]\nssh-keys = [\"{KEY}\"]\n");
    machine.attach(
        "vdb",
        SLOT,
        &seed(&document("web-1", &users), "instance-id: i-1\nlocal-hostname: other\n"),
    );
    let first = machine.boot();
    let kept = first
        .status
        .generations
        .iter()
        .map(|kept| (Some(kept.id.clone()), kept.current));
    assert_eq!(kept.collect::<Vec<_>>(), [(first.status.generation.clone(), true)]);
    assert_eq!(
        (first.status.state, first.status.degraded.len()),
        (State::Applied, 0),
        "{:?}",
        first.status
    );
    assert_eq!(machine.read("etc/hostname"), "web-1\n");
    assert!(machine.read("etc/hosts").contains("web-1"));
    assert!(machine.read("etc/passwd").contains("ann:x:1001:1001:"));
    assert!(machine.read("etc/group").contains("wheel:x:908:core,ann\n"));
    for user in ["core", "ann"] {
        assert_eq!(
            machine.read(&format!("run/keelson/ssh/authorized_keys/{user}")),
            format!("{KEY}\n")
        );
    }
    let second = machine.boot();
    assert_eq!(second.status.state, State::Unchanged);
    assert_eq!(second.status.generation, first.status.generation);
    machine.detach("vdb");
    let third = machine.boot();
    assert_eq!(
        (third.status.state, third.status.generation),
        (State::Unchanged, first.status.generation)
    );
    assert_eq!(machine_json(&machine).system.hostname.unwrap().as_str(), "web-1");
}

#[test]
fn the_source_names_a_machine_whose_document_does_not() {
    let machine = Machine::new();
    machine.attach("vdb", SLOT, &seed("schema = 1\n", "local-hostname: from-meta\n"));
    assert_eq!(machine.boot().status.state, State::Applied);
    assert_eq!(machine.read("etc/hostname"), "from-meta\n");
}

#[test]
fn a_bad_document_changes_nothing_and_is_explained() {
    let machine = Machine::new();
    machine.attach(
        "vdb",
        SLOT,
        &seed("schema = 1\n[sytem]\na = 1\nb = 2\n[container.x]\n[container.y]\n", ""),
    );
    let outcome = machine.boot();
    assert_eq!(
        (outcome.status.state, outcome.status.generation.clone()),
        (State::Rejected, None)
    );
    let lines = outcome.status.lines();
    let shown = lines.iter().filter(|line| line.starts_with("user-data:")).count();
    assert_eq!(shown, 3, "{lines:#?}");
    assert!(
        lines[1].contains("2:2: error[unknown-key]") && lines[1].contains("system"),
        "{lines:#?}"
    );
    assert_eq!(machine_json(&machine).containers.len(), 0);
    assert!(!machine.places.config.join("source.json").exists());

    machine.attach("vdb", SLOT, &seed(&document("good", ""), ""));
    assert_eq!(machine.boot().status.state, State::Applied);
    machine.attach("vdb", SLOT, &seed("schema = 1\nhostname = 1\n", ""));
    let outcome = machine.boot();
    assert_eq!(outcome.status.state, State::Rejected);
    assert!(outcome.status.generation.is_some() && !outcome.status.degraded.is_empty());
    assert_eq!(machine.read("etc/hostname"), "good\n");
}

#[test]
fn other_formats_and_empty_volumes_are_named() {
    let machine = Machine::new();
    machine.attach("vdb", SLOT, &seed("#!/bin/sh\n", ""));
    let outcome = machine.boot();
    assert_eq!(outcome.status.state, State::Rejected);
    assert!(outcome.status.lines().join("\n").contains("this is a script"));
    machine.attach("vdb", SLOT, &seed("\n", ""));
    let outcome = machine.boot();
    assert_eq!(outcome.status.state, State::None);
    assert!(
        outcome
            .status
            .lines()
            .join("\n")
            .contains("no user-data, or an empty one")
    );
    machine.attach("vdb", SLOT, &seed(&"#".repeat((1 << 20) + 1).replace("##", "# "), ""));
    assert!(machine.boot().status.lines().join("\n").contains("more than 1048576"));
}

#[test]
fn two_documents_at_first_boot_are_a_guess_that_is_not_made() {
    let machine = Machine::new();
    machine.attach("vdb", SLOT, &seed(&document("one", ""), ""));
    machine.attach("vdc", OTHER_SLOT, &seed(&document("two", ""), ""));
    let outcome = machine.boot();
    assert_eq!(
        (outcome.status.state, outcome.status.generation.clone()),
        (State::Rejected, None)
    );
    assert!(outcome.status.lines().join("\n").contains("detach all but one"));
}

#[test]
fn later_documents_follow_the_policy_in_force() {
    for (policy, own, other) in [
        ("never", State::Reported, State::Reported),
        ("same-source", State::Applied, State::Reported),
        ("any", State::Applied, State::Applied),
    ] {
        let policy_text = format!("[policy]\nreapply = \"{policy}\"\n");
        for (slot, expected) in [(SLOT, own), (OTHER_SLOT, other)] {
            let machine = Machine::new();
            machine.attach("vdb", SLOT, &seed(&document("one", &policy_text), "instance-id: i-1\n"));
            let first = machine.boot();
            machine.detach("vdb");
            machine.attach("vdc", slot, &seed(&document("two", ""), "instance-id: i-2\n"));
            let second = machine.boot();
            assert_eq!(second.status.state, expected, "{policy} {slot}");
            let name = if expected == State::Applied { "two\n" } else { "one\n" };
            assert_eq!(machine.read("etc/hostname"), name);
            if expected == State::Reported {
                assert_eq!(second.status.generation, first.status.generation);
                assert!(second.status.lines().join("\n").contains("not allowed by the policy"));
            }
        }
    }
}

#[test]
fn a_new_instance_id_alone_changes_nothing() {
    let machine = Machine::new();
    machine.attach("vdb", SLOT, &seed(&document("one", ""), "instance-id: i-1\n"));
    machine.boot();
    machine.attach("vdb", SLOT, &seed(&document("one", ""), "instance-id: i-2\n"));
    assert_eq!(machine.boot().status.state, State::Unchanged);
}

#[test]
fn secrets_reach_their_place_and_no_other() {
    let machine = Machine::new();
    let secrets = |value: &str| {
        format!(
            "[registry.\"10.0.2.2:5000\"]\nplain-http = true\nusername = \"u\"\npassword = \"{value}-one\"\n\
             [secrets.db]\nvalue = \"{value}-two\"\n[container.x]\nimage = \"x\"\nenv = {{ P = {{ secret = \"db\" }} }}\n"
        )
    };
    machine.attach("vdb", SLOT, &seed(&document("web", &secrets("canary")), ""));
    let first = machine.boot();
    assert_eq!(
        (first.status.state, first.status.degraded.len()),
        (State::Applied, 0),
        "{:?}",
        first.status
    );
    assert_eq!(machine.read("run/keelson/secrets/registry-10.0.2.2:5000"), "canary-one");
    assert_eq!(machine.read("run/keelson/secrets/db"), "canary-two");
    for directory in [machine.places.secrets.clone(), machine.places.run.join("secrets")] {
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        for file in fs::read_dir(directory).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    let said = serde_json::to_string(&first.status).unwrap() + &first.status.lines().join("\n");
    assert!(!said.contains("canary"));

    // A changed value is a changed configuration; what only the old one used goes once it is no longer kept.
    for value in ["canary-b", "canary-c", "canary-d"] {
        machine.attach("vdb", SLOT, &seed(&document("web", &secrets(value)), ""));
        let next = machine.boot();
        assert_eq!(next.status.state, State::Applied);
        assert_ne!(next.status.generation, first.status.generation);
        assert_eq!(machine.read("run/keelson/secrets/db"), format!("{value}-two"));
    }
    assert_eq!(fs::read_dir(&machine.places.secrets).unwrap().count(), 2 + 2 * 2);

    // A lost value comes back from the same document.
    for value in fs::read_dir(&machine.places.secrets)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if value
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("db."))
        {
            fs::remove_file(value).unwrap();
        }
    }
    let again = machine.boot();
    assert_eq!(
        (again.status.state, again.status.degraded.len()),
        (State::Applied, 0),
        "{:?}",
        again.status
    );
    assert_eq!(machine.read("run/keelson/secrets/db"), "canary-d-two");

    // A bad document with secrets, for the report.
    machine.attach(
        "vdb",
        SLOT,
        &seed(
            &document(
                "web",
                &(secrets("canary-e") + "bad = 1\n[secret.z]\nvalue = \"canary\"\n"),
            ),
            "",
        ),
    );
    let refused = machine.boot();
    assert_eq!(refused.status.state, State::Rejected);
    let said = serde_json::to_string(&refused.status).unwrap() + &refused.status.lines().join("\n");
    assert!(!said.contains("canary"), "{said}");
    for (path, bytes) in machine.files() {
        let secret = path.starts_with("dev/") || path.contains("secrets/") || path.starts_with("dev/");
        assert!(secret || !String::from_utf8_lossy(&bytes).contains("canary"), "{path}");
    }
}

#[test]
fn a_damaged_generation_is_made_anew_from_its_source_and_from_no_other() {
    let machine = Machine::new();
    machine.attach("vdb", SLOT, &seed(&document("one", ""), ""));
    let first = machine.boot();
    let damage = || {
        let current = fs::canonicalize(machine.places.config.join("current")).unwrap();
        let path = current.join("machine.json");
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("one", "two")).unwrap();
    };
    damage();
    let second = machine.boot();
    assert_eq!(second.status.state, State::Applied);
    assert_eq!(second.status.generation, first.status.generation);
    assert!(second.status.degraded.join("").contains("damaged"));
    assert_eq!(machine.read("etc/hostname"), "one\n");

    damage();
    machine.detach("vdb");
    machine.attach("vdc", OTHER_SLOT, &seed(&document("three", ""), ""));
    let third = machine.boot();
    assert_eq!(
        (third.status.state, third.status.generation.clone()),
        (State::Reported, None)
    );
    assert!(!third.status.degraded.is_empty());
}

#[test]
fn an_unwritable_state_partition_leaves_a_working_machine() {
    let facts = |state: &str| format!(r#"{{"format":1,"state":{state}}}"#);
    let machine = Machine::new();
    machine.attach("vdb", SLOT, &seed(&document("one", ""), ""));
    machine.boot();
    fs::write(
        &machine.places.boot_facts,
        facts(r#"{"mode":"read-only","reason":"damaged"}"#),
    )
    .unwrap();
    assert_eq!(machine.boot().status.state, State::Unchanged);
    let before = machine
        .files()
        .into_iter()
        .filter(|(path, _)| path.starts_with("state/"))
        .collect::<Vec<_>>();
    machine.attach("vdb", SLOT, &seed(&document("two", ""), ""));
    let outcome = machine.boot();
    assert_eq!(outcome.status.state, State::Applied);
    assert!(outcome.status.degraded[0].contains("read-only"));
    assert_eq!(machine.read("etc/hostname"), "two\n");
    let after = machine
        .files()
        .into_iter()
        .filter(|(path, _)| path.starts_with("state/"))
        .collect::<Vec<_>>();
    assert!(before == after);

    fs::write(
        &machine.places.boot_facts,
        facts(r#"{"mode":"memory","reason":"gone"}"#),
    )
    .unwrap();
    fs::remove_dir_all(machine.places.config.parent().unwrap()).unwrap();
    fs::create_dir_all(machine.places.machine_id.parent().unwrap()).unwrap();
    let outcome = machine.boot();
    assert_eq!(outcome.status.state, State::Applied);
    assert!(outcome.status.degraded[0].contains("in memory"));
}

#[test]
fn a_cloud_config_is_put_into_effect_and_one_with_a_mistake_changes_nothing() {
    let machine = Machine::new();
    let good = "#cloud-config\nhostname: web\ntimezone: Europe/Berlin\nusers: [default, ann]\nwrite_files:\n\
                - {path: /etc/app/a.conf, content: open}\n\
                - {path: /srv/app/key, content: canary, permissions: \"0600\"}\n";
    machine.attach("vdb", SLOT, &seed(good, ""));
    let outcome = machine.boot();
    assert_eq!(outcome.status.state, State::Applied);
    assert_eq!(outcome.status.degraded, Vec::<String>::new());
    assert_eq!(machine.read("etc/hostname"), "web\n");
    assert_eq!(machine.read("etc/timezone"), "Europe/Berlin\n");
    assert_eq!(machine.read("etc/app/a.conf"), "open");
    assert_eq!(machine.read("run/keelson/files/srv/app/key"), "canary");
    assert!(machine.read("etc/passwd").contains("ann:x:1001:"));
    let told: Vec<_> = machine
        .files()
        .into_iter()
        .filter(|(_, bytes)| bytes.windows(6).any(|w| w == b"canary"))
        .collect();
    let places: Vec<&str> = told.iter().map(|(path, _)| path.as_str()).collect();
    assert!(
        places
            .iter()
            .all(|path| path.starts_with("dev/") || path.contains("secrets/") || path.contains("files/srv/app/key")),
        "{places:?}"
    );

    machine.attach("vdb", SLOT, &seed("#cloud-config\nhostname: other\nruncmd: [x]\n", ""));
    let outcome = machine.boot();
    assert_eq!(outcome.status.state, State::Rejected);
    assert!(outcome.status.lines().join("\n").contains("no command can be run"));
    assert_eq!(machine.read("etc/hostname"), "web\n");
}

/// What the initramfs would say: the running slot, whether it is on trial, its release, and what was given up.
fn booted(machine: &Machine, slot: &str, trial: bool, release: char, rejected: &[char]) {
    let hash = |letter: &char| letter.to_string().repeat(64);
    let facts = serde_json::json!({
        "state": { "mode": "read-write" },
        "slot": slot,
        "trial": trial,
        "release": { "verity": { "root_hash": hash(&release) } },
        "rejected": rejected.iter().map(hash).collect::<Vec<_>>(),
    });
    fs::create_dir_all(machine.places.boot_facts.parent().unwrap()).unwrap();
    fs::write(&machine.places.boot_facts, facts.to_string()).unwrap();
}

/// What the update agent does after a boot that went well.
fn confirm(machine: &Machine, slot: &str, generation: &str) {
    let link = machine.places.config.join(format!("confirmed-{slot}"));
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(format!("generations/{generation}"), link).unwrap();
}

#[test]
fn a_configuration_goes_back_with_the_release_it_came_with() {
    let machine = Machine::new();
    booted(&machine, "a", false, '1', &[]);
    machine.attach("vdb", SLOT, &seed(&document("one", ""), ""));
    let first = machine.boot().status.generation.unwrap();
    confirm(&machine, "a", &first);
    // An update on trial comes with a new document, and is given up.
    booted(&machine, "b", true, '2', &[]);
    machine.attach("vdb", SLOT, &seed(&document("two", ""), ""));
    let second = machine.boot();
    assert_eq!(second.status.state, State::Applied);
    assert_eq!(machine.read("etc/hostname"), "two\n");
    for _ in 0..2 {
        booted(&machine, "a", false, '1', &['2']);
        let back = machine.boot();
        assert_eq!(
            (back.status.state, back.status.generation.as_ref()),
            (State::Unchanged, Some(&first))
        );
        assert_eq!(machine.read("etc/hostname"), "one\n");
        assert!(
            back.status
                .lines()
                .join("\n")
                .contains("came with a release that was given up")
        );
    }
    // The next update begins with what was confirmed, although another slot is on trial.
    booted(&machine, "b", true, '3', &['2']);
    assert_eq!(machine.boot().status.generation.as_ref(), Some(&first));
    // A changed document is applied, and stays.
    booted(&machine, "a", false, '1', &['2']);
    machine.attach("vdb", SLOT, &seed(&document("three", ""), ""));
    assert_eq!(machine.boot().status.state, State::Applied);
    assert_eq!(machine.boot().status.state, State::Unchanged);
    assert_eq!(machine.read("etc/hostname"), "three\n");
}

#[test]
fn a_configuration_that_came_before_the_failed_release_stays() {
    let machine = Machine::new();
    booted(&machine, "a", false, '1', &[]);
    machine.attach("vdb", SLOT, &seed(&document("one", ""), ""));
    let first = machine.boot().status.generation.unwrap();
    confirm(&machine, "a", &first);
    machine.attach("vdb", SLOT, &seed(&document("two", ""), ""));
    let second = machine.boot().status.generation.unwrap();
    booted(&machine, "b", true, '2', &[]);
    machine.boot();
    booted(&machine, "a", false, '1', &['2']);
    assert_eq!(machine.boot().status.generation.as_ref(), Some(&second));
}
