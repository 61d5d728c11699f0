//! A machine in a temporary directory, and volumes to attach to it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test uses a part, and a failure is a failed test"
)]

use std::fs;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use keelson_config::places::Places;
use keelson_config::run::{Outcome, look, run};
use keelson_config::steps::Steps;

/// A machine whose root is a temporary directory.
pub struct Machine {
    pub root: tempfile::TempDir,
    pub places: Places,
}

impl Machine {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let places = Places::below(root.path());
        for directory in [
            &places.etc,
            &places.etc_base,
            &places.dev,
            &places.run,
            &places.sys.join("class/block"),
        ] {
            fs::create_dir_all(directory).unwrap();
        }
        for parent in [&places.machine_id, &places.hostname] {
            fs::create_dir_all(parent.parent().unwrap()).unwrap();
        }
        fs::create_dir_all(places.config.parent().unwrap()).unwrap();
        fs::write(&places.machine_id, "0123456789abcdef0123456789abcdef\n").unwrap();
        fs::write(places.etc_base.join("passwd"), keelson_image_layout::users::passwd()).unwrap();
        fs::write(places.etc_base.join("group"), keelson_image_layout::users::group()).unwrap();
        Self { root, places }
    }

    /// Attaches a disk with this content; `bus` is its place.
    pub fn attach(&self, name: &str, bus: &str, content: &[u8]) {
        let real = self.places.sys.join("devices").join(bus).join("block").join(name);
        fs::create_dir_all(&real).unwrap();
        fs::write(real.join("size"), format!("{}\n", content.len() / 512)).unwrap();
        let link = self.places.sys.join("class/block").join(name);
        let _ = fs::remove_file(&link);
        symlink(&real, link).unwrap();
        fs::write(self.places.dev.join(name), content).unwrap();
    }

    /// Gives QEMU's firmware device a blob.
    pub fn fw_cfg(&self, name: &str, content: &[u8]) {
        let place = self.places.sys.join("firmware/qemu_fw_cfg/by_name").join(name);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("raw"), content).unwrap();
    }

    /// Gives the firmware's table these strings of type 11.
    pub fn smbios(&self, strings: &[String]) {
        let mut table = vec![11, 5, 0, 0, u8::try_from(strings.len()).unwrap()];
        for string in strings {
            table.extend(string.as_bytes());
            table.push(0);
        }
        table.extend([0, 127, 4, 0, 0, 0, 0]);
        let place = self.places.sys.join("firmware/dmi/tables");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("DMI"), table).unwrap();
    }

    /// Sets one of the firmware's words about the machine.
    pub fn identity(&self, name: &str, value: &str) {
        let place = self.places.sys.join("class/dmi/id");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(name), format!("{value}\n")).unwrap();
    }

    /// Boots from a disk with this EFI system partition.
    pub fn esp(&self, content: &[u8]) {
        let facts = serde_json::json!({
            "disk": {"device": "/dev/vda", "esp": "/dev/vda1", "slot_state": "/dev/vda2", "state": "/dev/vda5"},
            "state": {"mode": "read-write"},
        });
        fs::write(&self.places.boot_facts, facts.to_string()).unwrap();
        fs::write(self.places.dev.join("vda1"), content).unwrap();
    }

    pub fn detach(&self, name: &str) {
        fs::remove_file(self.places.sys.join("class/block").join(name)).unwrap();
    }

    /// Boots: memory is empty, the state is what it was.
    pub fn boot(&self) -> Outcome {
        self.boot_watched(Steps::all())
    }

    pub fn boot_watched(&self, steps: Steps<'_>) -> Outcome {
        run(&self.places, look(&self.places), steps).unwrap()
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(path)).unwrap()
    }

    /// Every file below the root with its path from there.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut out = Vec::new();
        collect(self.root.path(), self.root.path(), &mut out);
        out
    }
}

fn collect(root: &Path, directory: &Path, out: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()) {
        let path: PathBuf = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(root, &path, out);
        } else if kind.is_file() {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            out.push((name, fs::read(path).unwrap()));
        }
    }
}

/// A FAT volume with these files.
pub fn fat(label: &str, size: usize, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0_u8; size]);
    let mut name = [b' '; 11];
    name[..label.len()].copy_from_slice(label.as_bytes());
    let options = fatfs::FormatVolumeOptions::new()
        .volume_label(name)
        .volume_id(0x1234_abcd);
    fatfs::format_volume(&mut disk, options).unwrap();
    {
        let volume = fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new()).unwrap();
        for (name, content) in files {
            for (at, _) in name.match_indices('/') {
                volume.root_dir().create_dir(&name[..at]).unwrap();
            }
            volume.root_dir().create_file(name).unwrap().write_all(content).unwrap();
        }
    }
    disk.into_inner()
}

/// A NoCloud volume with this document.
pub fn seed(document: &str, meta_data: &str) -> Vec<u8> {
    fat(
        "cidata",
        2 << 20,
        &[("user-data", document.as_bytes()), ("meta-data", meta_data.as_bytes())],
    )
}
