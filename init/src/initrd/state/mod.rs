//! The state partition: checked, mounted, and on first boot grown and given identities of its own.
//!
//! It is never reformatted and its damage never counts against a slot: what cannot be repaired is mounted for reading
//! with memory over it, what cannot be read is replaced by memory, and the machine says that it is degraded.

pub mod check;
pub mod cover;
pub mod first_boot;
pub mod repair;
pub mod seed;
pub mod tree;

use std::path::Path;

use keelson_image_layout::{Part, StateMount, paths};

use super::disk::{Candidate, Nodes};
use super::root::SYSROOT;

/// What became of the state partition.
#[derive(Debug)]
pub struct Opened {
    /// How it is mounted.
    pub mount: StateMount,
    /// Whether identities were made.
    pub first_boot: bool,
}

/// Mounts the state below the root that is mounted already, and makes it usable. `alive` is called while waiting.
pub fn open(nodes: &Nodes, disk: &Candidate, alive: &mut dyn FnMut()) -> Opened {
    let target = Path::new(SYSROOT).join(paths::STATE.trim_start_matches('/'));
    if disk.is_medium() {
        return ready(check::use_memory_of_medium(&target), &target, Age::Begun);
    }
    let mount = check::mount(nodes.part(Part::State), &target, alive);
    match mount {
        StateMount::ReadWrite if tree::is_complete(&target) => ready(mount, &target, Age::Known),
        StateMount::ReadWrite => ready(mount, &target, begin(nodes, disk, &target)),
        StateMount::Memory { .. } | StateMount::Medium => ready(mount, &target, Age::Begun),
        StateMount::ReadOnly { .. } => ready(cover::with_memory(mount, &target), &target, Age::Begun),
    }
}

/// How far first boot got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Done, on an earlier boot.
    Known,
    /// Done now, but for the tree.
    New,
    /// Not done; the next boot goes on.
    Begun,
}

fn begin(nodes: &Nodes, disk: &Candidate, target: &Path) -> Age {
    match first_boot::run(nodes, disk, target) {
        Ok(()) => Age::New,
        Err(error) => {
            log::error!(error:% = crate::chain(&*error); "first boot is not complete and is continued next time");
            Age::Begun
        }
    }
}

/// Fills the tree, and last of all marks first boot as done.
fn ready(mount: StateMount, target: &Path, age: Age) -> Opened {
    // What only memory holds was not made on this boot for good, and no seed in it may count.
    let first_boot = age != Age::Known && mount == StateMount::ReadWrite;
    let made = tree::make(target);
    if let Err(error) = &made {
        log::error!(error:% = error; "state tree cannot be made");
    }
    let trust = if age == Age::Known {
        seed::Trust::Kept
    } else {
        seed::Trust::New
    };
    seed::use_and_replace(target, trust);
    let completed = made.and_then(|()| {
        if age == Age::New {
            tree::complete(target)
        } else {
            Ok(())
        }
    });
    match (completed, mount) {
        (Err(error), StateMount::ReadWrite) => {
            let mount = check::use_memory(target, &format!("its tree cannot be made: {error}"));
            let _ = tree::make(target);
            Opened { mount, first_boot }
        }
        (_, mount) => Opened { mount, first_boot },
    }
}
