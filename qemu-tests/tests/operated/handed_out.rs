//! What a build machine hands out: images in the forms of other hypervisors, and a disk written by `os-build install`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use keelson_os_build::flavour::Flavour;
use keelson_os_build::format::{self, Format};
use keelson_os_build::qemu::arguments::Layout;
use keelson_qemu_tests::ssh::{Keys, reachable, run, succeed};
use keelson_qemu_tests::state::OfDisk;
use keelson_qemu_tests::{DiskFile, Environment, Lab, flavour};

use crate::install::{BYTES, empty_disk, is_empty};

/// A qcow2 image boots as it is handed out; in the other forms lies the same disk.
pub fn formats(environment: &Environment) -> Result<()> {
    Lab::run(environment, "formats", |lab| {
        let image = flavour::build_with(lab, Flavour::Cloud, Format::Qcow2, false)?;
        let guest = lab.boot("qcow2", &image, |spec| {
            spec.disks.iter_mut().for_each(|disk| disk.layout = Layout::Qcow2);
        })?;
        let up = guest.wait_up(0)?;
        guest.wait_for(up.end, "committed")?;
        guest.power_off()?;
        succeed(
            Command::new("qemu-img")
                .args(["check", "-f", "qcow2"])
                .arg(image.path()),
        )?;
        for (format, driver) in [(Format::Vmdk, "vmdk"), (Format::Vhd, "vpc")] {
            let made = lab.directory().join(format!("image.{}", format.name()));
            format::convert(&environment.disk, &made, format)?;
            let mut compare = Command::new("qemu-img");
            compare.args(["compare", "-F", "raw", "-f", driver]).arg(&made);
            succeed(compare.arg(&environment.disk))?;
            std::fs::remove_file(&made)?;
        }
        Ok(())
    })
}

/// A disk of the build machine becomes a machine: asked for with its word, with a document, under new identities.
pub fn onto_a_device(environment: &Environment) -> Result<()> {
    Lab::run(environment, "install-build-machine", |lab| {
        let keys = Keys::make(lab.directory())?;
        let document = lab.directory().join("machine.toml");
        std::fs::write(&document, format!("schema = 1\n{}", keys.section()?))?;
        let wrong = lab.directory().join("wrong.toml");
        std::fs::write(&wrong, "schema = 1\n[sytem]\n")?;
        let target = empty_disk(lab, "target.img", BYTES)?;
        let device = Device::of(&target)?;
        let word = device.word();
        for (words, why) in [
            (vec![], "give its word"),
            (vec!["--erase", "yes"], "give its word"),
            (
                vec!["--erase", &word, "--config", &wrong.display().to_string()],
                "sytem",
            ),
        ] {
            let answer = run(device.install(environment)?.args(&words))?;
            ensure!(answer.code != 0 && answer.error.contains(why), "{words:?}: {answer:?}");
        }
        ensure!(is_empty(&target)?, "a refusal wrote to the disk");
        succeed(
            device
                .install(environment)?
                .args(["--erase", &word, "--config"])
                .arg(&document),
        )?;
        drop(device);

        let image = DiskFile::at(environment.disk.clone());
        let (of_image, written) = (OfDisk::read(&image)?, OfDisk::read(&target)?);
        // The state file system gets its own at the first start, with everything on it.
        let new = of_image.guids.iter().all(|guid| !written.guids.contains(guid));
        ensure!(
            new && of_image.esp_volume_id != written.esp_volume_id,
            "image and disk share identities: {of_image:?} {written:?}"
        );
        let (guest, client) = reachable(lab, "machine", &target, &keys, |_| ())?;
        let status = client.ssh("core", "core", &["status"])?;
        ensure!(status.output.contains("Keelson"), "{status:?}");
        guest.power_off()?;
        let shared = of_image.shared_with(&OfDisk::read(&target)?);
        ensure!(shared.is_empty(), "image and machine share: {}", shared.join(", "));
        Ok(())
    })
}

/// What stands for a disk of this host: a device where the test may make one, else the file.
struct Device {
    path: PathBuf,
    is_loop: bool,
}

impl Device {
    fn of(file: &DiskFile) -> Result<Device> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Device {
                path: file.path().to_owned(),
                is_loop: false,
            });
        }
        let shown = succeed(Command::new("losetup").args(["--find", "--show"]).arg(file.path()))?;
        Ok(Device {
            path: PathBuf::from(shown.trim()),
            is_loop: true,
        })
    }

    /// It has no serial number, so that its word is its name.
    fn word(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn install(&self, environment: &Environment) -> Result<Command> {
        let program: &Path = &flavour::programs()?.join("os-build");
        let mut command = Command::new(program);
        command
            .arg("install")
            .arg(&self.path)
            .arg("--image")
            .arg(&environment.disk);
        Ok(command)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.is_loop {
            let _ = Command::new("losetup").arg("--detach").arg(&self.path).status();
        }
    }
}
