//! Signing what firmware starts from a disk image: the boot loader and both slots' entries.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use keelson_image_layout::slot_state::{COPY_BYTES, COPY_OFFSETS};
use keelson_image_layout::{Part, Slot, SlotState};

use super::authenticode;
use super::keys::Key;
use super::variables::Variable;
use crate::digest::sha256;
use crate::disk::esp::{self, Held, LOADER, LOADER_CONF};
use crate::disk::region::copy_holes;
use crate::disk::table::{self, Found};

/// Whether the loader offers the firmware the keys (`secure-boot-enroll` of loader.conf(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enrol {
    /// By itself in virtual machines; elsewhere as an entry of its menu.
    IfSafe,
    /// Only as an entry of its menu.
    Manual,
    /// By itself on every machine whose firmware is in setup mode.
    Force,
}

impl Enrol {
    const fn word(self) -> &'static str {
        match self {
            Enrol::IfSafe => "if-safe",
            Enrol::Manual => "manual",
            Enrol::Force => "force",
        }
    }
}

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Paths on the ESP; of a single file, its own.
    pub files: Vec<String>,
}

/// Signs a disk image, or a single executable of firmware, into a new file at `out`. With `enrol` the disk also brings
/// the keys of that folder to firmware in setup mode.
///
/// # Errors
/// Says what cannot be read, signed or written; then there is nothing new at `out`.
pub fn sign(from: &Path, key: &Key, out: &Path, enrol: Option<(Enrol, &Path)>) -> Result<Signed> {
    let mut begin = [0; 2];
    let mut file = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    file.read_exact(&mut begin)
        .with_context(|| format!("{} is empty", from.display()))?;
    let part = out.with_added_extension("part");
    let made = if &begin == b"MZ" {
        file.rewind()?;
        sign_file(file, from, key, &part)
    } else {
        sign_copy(from, key, &part, enrol)
    };
    let finished = made.and_then(|signed| {
        std::fs::rename(&part, out).with_context(|| format!("cannot write {}", out.display()))?;
        Ok(signed)
    });
    if finished.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    finished
}

fn sign_file(mut file: File, from: &Path, key: &Key, part: &Path) -> Result<Signed> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let signed = authenticode::sign(&bytes, key).with_context(|| from.display().to_string())?;
    std::fs::write(part, signed).with_context(|| format!("cannot write {}", part.display()))?;
    Ok(Signed {
        files: vec![from.display().to_string()],
    })
}

fn sign_copy(from: &Path, key: &Key, part: &Path, enrol: Option<(Enrol, &Path)>) -> Result<Signed> {
    copy_holes(from, part, 0).with_context(|| format!("cannot copy {}", from.display()))?;
    let disk = File::options().read(true).write(true).open(part)?;
    let partitions = table::read(&disk).with_context(|| from.display().to_string())?;
    let place = |part: Part| {
        let found = partitions.iter().find(|found| found.name == part.label());
        found.with_context(|| format!("{} has no partition {:?}", from.display(), part.label()))
    };
    let (esp_part, state_part) = (place(Part::Esp)?, place(Part::SlotState)?);
    let signed = esp::change(&disk, (esp_part.start, esp_part.len), |contents| -> Result<_> {
        let signed = sign_volume(&mut contents.files, key)?;
        if let Some((enrol, keys)) = enrol {
            offer_keys(&mut contents.files, enrol, keys)?;
        }
        Ok(signed)
    })?;
    update_record(&disk, state_part, &signed)?;
    disk.sync_all()
        .with_context(|| format!("cannot write {}", part.display()))?;
    Ok(Signed {
        files: signed.into_iter().map(|change| change.path).collect(),
    })
}

/// A file before and after, by digest.
struct Change {
    path: String,
    before: [u8; 32],
    after: [u8; 32],
}

fn sign_volume(files: &mut [Held], key: &Key) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let is_started = |name: &str| {
        let lower = name.to_ascii_lowercase();
        name == LOADER || (name.starts_with(esp::ENTRIES) && lower.ends_with(".efi"))
    };
    for file in files.iter_mut().filter(|file| is_started(&file.path)) {
        let signed = authenticode::sign(&file.bytes, key).with_context(|| format!("{} on the ESP", file.path))?;
        changes.push(Change {
            path: file.path.clone(),
            before: sha256(&file.bytes),
            after: sha256(&signed),
        });
        file.bytes = signed;
    }
    match changes.iter().any(|change| change.path == LOADER) {
        true => Ok(changes),
        false => bail!("the ESP has no boot loader ({LOADER})"),
    }
}

/// Puts the signed updates where the loader looks for them, and tells it what to do with them.
fn offer_keys(files: &mut Vec<Held>, enrol: Enrol, keys: &Path) -> Result<()> {
    let mut put = |path: String, bytes: Vec<u8>| {
        files.retain(|file| file.path != path);
        files.push(Held { path, bytes });
    };
    for variable in Variable::ALL {
        let path = keys.join(format!("{}.auth", variable.name()));
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        put(format!("loader/keys/auto/{}.auth", variable.name()), bytes);
    }
    let conf = format!(
        "{}secure-boot-enroll {}\n",
        String::from_utf8_lossy(LOADER_CONF),
        enrol.word()
    );
    put("loader/loader.conf".to_owned(), conf.into_bytes());
    Ok(())
}

/// The slots' record names their entries by digest; both copies say the same afterwards.
fn update_record(disk: &File, part: &Found, changes: &[Change]) -> Result<()> {
    let mut copies = [[0; COPY_BYTES]; 2];
    for (copy, offset) in copies.iter_mut().zip(COPY_OFFSETS) {
        disk.read_exact_at(copy, part.start + offset)
            .context("slot-state partition")?;
    }
    let [first, second] = &copies;
    let Some(current) = SlotState::newest(first, second) else {
        return Ok(());
    };
    let mut state = current.state;
    for slot in Slot::ALL {
        let recorded = state.slot(slot).uki_sha256;
        if let Some(change) = changes.iter().find(|change| change.before == recorded) {
            state.slot_mut(slot).uki_sha256 = change.after;
        }
    }
    let record = state.encode();
    COPY_OFFSETS
        .iter()
        .try_for_each(|offset| disk.write_all_at(&record, part.start + offset))
        .context("cannot write the slot-state record")
}
