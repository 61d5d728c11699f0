//! The commit of a configuration, cut at every step: the old one is in force or the new one, never a mixture.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod support;

use std::cell::Cell;
use std::io;

use keelson_config::generation::Store;
use keelson_config::status::State;
use keelson_config::steps::Steps;
use support::{Machine, seed};

const SLOT: &str = "pci0/0000:00:03.0/virtio1";

fn document(name: &str) -> String {
    format!(
        "schema = 1\n[system]\nhostname = \"{name}\"\n[secrets.s]\nvalue = \"value of {name}\"\n[container.{name}]\n\
         image = \"{name}\"\nenv = {{ S = {{ secret = \"s\" }} }}\n"
    )
}

/// What is in force is whole and consistent: its name, its container and its secret belong together.
fn name_in_force(machine: &Machine) -> Option<String> {
    let generation = Store::read_only(&machine.places.config).load_in_force().unwrap()?;
    let name = generation.config.system.hostname.clone().unwrap().to_string();
    assert!(generation.config.containers.contains_key(name.as_str()));
    let secret = generation.config.secret_refs().next().unwrap();
    let path = machine
        .places
        .secrets
        .join(format!("{}.{}", secret.name, secret.version));
    assert_eq!(std::fs::read_to_string(path).unwrap(), format!("value of {name}"));
    Some(name)
}

/// Boots and lets everything from step `cut` on fail. Gives whether the cut came.
fn boot_cut_at(machine: &Machine, cut: usize) -> bool {
    let count = Cell::new(0);
    let ahead = |_: &str| {
        count.set(count.get() + 1);
        if count.get() > cut {
            Err(io::Error::other("power cut"))
        } else {
            Ok(())
        }
    };
    machine.boot_watched(Steps::watched(&ahead));
    count.get() > cut
}

/// Cuts the change from `old` to `new` at every step; gives how many there are.
fn cut_everywhere(old: &[&str], new: &str) -> usize {
    for cut in 0.. {
        let machine = Machine::new();
        for name in old {
            machine.attach("vdb", SLOT, &seed(&document(name), ""));
            assert_eq!(machine.boot().status.state, State::Applied);
        }
        machine.attach("vdb", SLOT, &seed(&document(new), ""));
        let came = boot_cut_at(&machine, cut);
        let in_force = name_in_force(&machine);
        let expected = [old.last().map(|name| (*name).to_owned()), Some(new.to_owned())];
        assert!(expected.contains(&in_force), "cut {cut}: {in_force:?}");

        // The next boot completes it, and nothing of the cut is left over.
        let outcome = machine.boot();
        assert!(
            matches!(outcome.status.state, State::Applied | State::Unchanged),
            "cut {cut}: {:?}",
            outcome.status
        );
        assert_eq!(name_in_force(&machine).as_deref(), Some(new));
        assert_eq!(machine.read("run/keelson/secrets/s"), format!("value of {new}"));
        machine.attach("vdb", SLOT, &seed(&document("last"), ""));
        machine.boot();
        let generations = machine.places.config.join("generations");
        let left = std::fs::read_dir(generations).unwrap().count();
        assert_eq!(left, 2, "cut {cut}: the one in force and the one before");
        if !came {
            return cut;
        }
    }
    unreachable!("a boot has finitely many steps")
}

#[test]
fn first_commit() {
    let steps = cut_everywhere(&[], "one");
    assert!(steps >= 10, "{steps}");
}

#[test]
fn change_of_what_is_in_force() {
    let steps = cut_everywhere(&["one", "two"], "three");
    // Two more than at first: an old generation and its secret are removed.
    assert!(steps >= 12, "{steps}");
}
