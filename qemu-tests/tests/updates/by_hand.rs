//! An operator goes back to the release before, over SSH.

use anyhow::{Result, ensure};
use keelson_image_layout::{Reason, State};
use keelson_os_build::qemu::Disk;
use keelson_qemu_tests::ssh::{Keys, reachable};
use keelson_qemu_tests::{Environment, Lab, flavour, registry, staged};

use crate::health::NEWER;

/// OpenSSH's own failures end with this code: the server is one of the services that end.
const SSH_FAILED: i32 = 255;

/// A committed update is left by `update rollback`; the release before runs again and both are told.
pub fn rollback(environment: &Environment) -> Result<()> {
    Lab::run(environment, "update-rollback", |lab| {
        let disk = lab.disk("system")?;
        let slot = staged::stage(&disk, &flavour::build_version(lab, NEWER)?)?;
        let keys = Keys::make(lab.directory())?;
        let document = format!("schema = 1\n{}[update]\nhealth-for = \"1s\"\n", keys.section()?);
        let volume = registry::seed(lab.directory(), "seed", &document)?;
        let (guest, client) = reachable(lab, "guest", &disk, &keys, |spec| {
            spec.disks.push(Disk::read_only(&volume, "seed"));
        })?;
        let status = client.ssh("core", "core", &["update"])?;
        ensure!(
            status
                .output
                .starts_with(&format!("running  {NEWER} from slot {slot}, committed\n")),
            "{status:?}"
        );
        let answer = client.ssh("core", "core", &["update", "rollback"])?;
        ensure!(matches!(answer.code, 0 | SSH_FAILED), "{answer:?}");
        let left = guest.wait_for(0, "keelson: given up")?;
        let back = guest.wait_up(left)?;
        ensure!(back.slot == slot.other(), "{back:?} came up");
        let client = client.again(&keys, &guest, left)?;
        let history = client.ssh("core", "core", &["update", "history"])?;
        let words = format!("left: update: reboot was asked for by the service rollback: back from version {NEWER}");
        ensure!(history.output.contains(&words), "{history:?}");
        // There is nothing to go back to now.
        let refused = client.ssh("core", "core", &["update", "rollback"])?;
        ensure!(refused.code == 1, "{refused:?}");
        guest.power_off()?;
        let record = staged::record(&disk, slot)?;
        ensure!(
            (record.state, record.reason) == (State::Bad, Reason::Replaced),
            "{record:?}"
        );
        ensure!(disk.entry(slot)?.is_bad(), "entries: {:?}", disk.entry_files()?);
        Ok(())
    })
}
