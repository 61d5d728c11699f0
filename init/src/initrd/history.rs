//! The boot history on state: the boot before is closed by what it left behind, this one is opened.
//!
//! Here, since nobody later knows as much, and since PID 1 must not wait for a disk. What cannot be written costs the
//! history a line and the boot nothing. `docs/formats/boot-history.md`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use keelson_image_layout::boot_history::{Boot, Ending, Evidence, History};
use keelson_image_layout::{BootFacts, SlotFacts, paths};

use super::root::SYSROOT;
use super::trace::Failure;

/// Readable for operators.
const MODE: u32 = 0o644;

/// Adds this boot to the history in the state that is mounted already. `before` are the slots before it was counted.
pub fn keep(facts: &BootFacts, before: Option<[SlotFacts; 2]>, failure: Option<&Failure>) {
    let past = Past {
        started: started(),
        before,
        failure,
    };
    if let Err(error) = add(Path::new(SYSROOT), facts, past) {
        log::warn!(error:% = error; "the boot history is not written");
    }
}

/// What is not in the boot's facts.
#[derive(Debug)]
struct Past<'a> {
    started: Option<u64>,
    before: Option<[SlotFacts; 2]>,
    failure: Option<&'a Failure>,
}

fn add(root: &Path, facts: &BootFacts, past: Past<'_>) -> io::Result<()> {
    let path = below(root, paths::BOOT_HISTORY);
    let mut history = read(&path);
    if !history.may_write() {
        log::info!("the boot history belongs to a newer release and is left alone");
        return Ok(());
    }
    let ending: Option<Ending> = fs::read(below(root, paths::BOOT_ENDING))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let clock = fs::read_to_string(below(root, paths::CLOCK)).ok();
    let evidence = Evidence {
        ending: ending.as_ref(),
        trace: past
            .failure
            .map(|failure| (failure.trace.reason, failure.trace.number, failure.last_line())),
        last_alive: clock.and_then(|text| text.trim_end().parse().ok()),
        slots: past.before,
    };
    history.begin(boot(facts, past.started), &evidence);
    keelson_durable::replace(&path, &history.to_bytes(), MODE)
}

/// A history that is missing or damaged begins anew.
fn read(path: &Path) -> History {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return History::default(),
        Err(error) => {
            log::warn!(error:% = error; "the boot history cannot be read and begins anew");
            return History::default();
        }
    };
    History::parse(&bytes).unwrap_or_else(|error| {
        log::warn!(error:% = crate::chain(&error); "the boot history begins anew");
        History::default()
    })
}

fn boot(facts: &BootFacts, started: Option<u64>) -> Boot {
    Boot {
        boot_id: Some(facts.boot_id.clone()),
        slot: facts.slot,
        version: facts.release.version.clone(),
        trial: facts.trial,
        started,
        slots: facts.slots.clone(),
        end: None,
    }
}

/// When the kernel started, by the clock of now.
fn started() -> Option<u64> {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let up = Duration::try_from(up).ok()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    now.checked_sub(up).map(|started| started.as_secs())
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use keelson_image_layout::boot_history::{Asker, Cause, Kind};

    use super::*;

    fn facts(id: &str) -> BootFacts {
        serde_json::from_value(serde_json::json!({
            "format": 1,
            "release": {
                "format": 1, "version": "1.0.0", "kernel": "", "time": 0,
                "verity": { "data_blocks": 1, "salt": "00".repeat(32), "root_hash": "00".repeat(32) },
            },
            "slot": "a", "trial": false, "boot_id": id, "first_boot": false,
            "disk": { "device": "", "esp": "", "slot_state": "", "state": "" },
            "state": { "mode": "read-write" },
        }))
        .unwrap()
    }

    fn past() -> Past<'static> {
        Past {
            started: Some(5),
            before: None,
            failure: None,
        }
    }

    #[test]
    fn each_boot_closes_the_one_before() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("state/boot")).unwrap();
        add(root.path(), &facts("one"), past()).unwrap();
        let ending = Ending {
            boot_id: "one".to_owned(),
            kind: Kind::PowerOff,
            asker: Asker::PowerButton,
            at: 9,
            up: 4,
        };
        fs::write(
            root.path().join("state/boot/ending"),
            serde_json::to_vec(&ending).unwrap(),
        )
        .unwrap();
        add(root.path(), &facts("two"), past()).unwrap();
        add(root.path(), &facts("three"), past()).unwrap();
        let history = read(&root.path().join("state/boot/history"));
        let causes = history.boots.iter().map(|boot| boot.end.as_ref().map(|end| end.cause));
        assert_eq!(
            causes.collect::<Vec<_>>(),
            [Some(Cause::AskedFor), Some(Cause::PowerLoss), None]
        );
    }

    #[test]
    fn a_damaged_history_begins_anew_and_a_newer_one_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("state/boot/history");
        fs::create_dir_all(root.path().join("state/boot")).unwrap();
        fs::write(&path, b"{\"form").unwrap();
        add(root.path(), &facts("one"), past()).unwrap();
        assert_eq!(read(&path).boots.len(), 1);
        let newer = b"{\"format\":9,\"min_reader\":9,\"boots\":[]}";
        fs::write(&path, newer).unwrap();
        add(root.path(), &facts("two"), past()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), newer);
    }
}
