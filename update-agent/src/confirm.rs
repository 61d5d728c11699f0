//! Notes which configuration was in force when a slot booted well: what the configuration agent falls back to.
//!
//! Writes the link `confirmed-SLOT` of the configuration store and nothing else there.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use keelson_image_layout::Slot;

/// The one field of the configuration agent's `status.json` that counts here. Not the link `current`: it may lead to a
/// damaged generation, in whose place another one is in force.
#[derive(serde::Deserialize)]
struct Status {
    generation: Option<String>,
}

/// Leads `confirmed-SLOT` in `store` to the generation that `status` names. `false` without one, or when the store
/// does not hold it.
///
/// # Errors
/// The link cannot be written; the earlier one is then still there.
pub fn confirm(status: &Path, store: &Path, slot: Slot) -> io::Result<bool> {
    let in_force = fs::read(status).ok().and_then(|bytes| generation(&bytes));
    let Some(target) = in_force.map(|id| Path::new("generations").join(id)) else {
        return Ok(false);
    };
    if !store.join(&target).is_dir() {
        return Ok(false);
    }
    let name = format!("confirmed-{}", slot.letter());
    let link = store.join(&name);
    if fs::read_link(&link).is_ok_and(|held| held == target) {
        return Ok(true);
    }
    let next = store.join(format!(".{name}.new"));
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => symlink(&target, &next)?,
    }
    fs::rename(&next, &link)?;
    fs::File::open(store)?.sync_all()?;
    Ok(true)
}

/// The generation's name: 64 hexadecimal digits, anything else could lead elsewhere.
fn generation(status: &[u8]) -> Option<String> {
    let status: Status = serde_json::from_slice(status).ok()?;
    let hex = |id: &String| id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    status.generation.filter(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_in_force_is_confirmed_for_the_slot_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (store, status) = (directory.path().join("config"), directory.path().join("status.json"));
        let ids = ["a".repeat(64), "b".repeat(64)];
        for id in &ids {
            fs::create_dir_all(store.join("generations").join(id)).unwrap();
        }
        symlink("stale", store.join(".confirmed-a.new")).unwrap();
        for id in [&ids[0], &ids[0], &ids[1]] {
            fs::write(&status, format!("{{\"format\":1,\"generation\":\"{id}\"}}")).unwrap();
            assert!(confirm(&status, &store, Slot::A).unwrap());
            let held = fs::read_link(store.join("confirmed-a")).unwrap();
            assert_eq!(held, Path::new("generations").join(id));
        }
        assert_eq!(fs::read_dir(&store).unwrap().count(), 2, "nothing is left behind");
    }

    #[test]
    fn without_a_configuration_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let (store, status) = (directory.path().join("config"), directory.path().join("status.json"));
        let gone = "c".repeat(64);
        assert!(!confirm(&status, &store, Slot::B).unwrap());
        for generation in ["null", "\"../../etc\"", &format!("\"{gone}\"")] {
            fs::write(&status, format!("{{\"generation\":{generation}}}")).unwrap();
            assert!(!confirm(&status, &store, Slot::B).unwrap(), "{generation}");
        }
        assert!(!store.exists());
    }
}
