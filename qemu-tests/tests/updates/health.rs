//! What the judge of a release does on a machine: probes, commit, going back.

use anyhow::{Context, Result, ensure};
use keelson_image_layout::{EntryName, Reason, Slot, State};
use keelson_os_build::qemu::{Disk, Forward, Protocol};
use keelson_qemu_tests::fetch::free_port;
use keelson_qemu_tests::ssh::{Client, Keys};
use keelson_qemu_tests::{DiskFile, Environment, Guest, Lab, flavour, registry, staged};

/// Version of the update.
pub const NEWER: &str = "99.0.0";

/// A document with one name and what an update has to stand.
fn document(hostname: &str, update: &str) -> String {
    format!("schema = 1\n[system]\nhostname = \"{hostname}\"\n{update}")
}

fn boot(lab: &Lab, name: &str, disk: &DiskFile, document: &str) -> Result<Guest> {
    let volume = registry::seed(lab.directory(), name, document)?;
    lab.boot(name, disk, |spec| spec.disks.push(Disk::read_only(&volume, "seed")))
}

/// One boot of an update: it holds its health for a while, with probes that answer, and is committed.
pub fn kept(environment: &Environment) -> Result<()> {
    Lab::run(environment, "update-kept", |lab| {
        let disk = lab.disk("system")?;
        let slot = staged::stage(&disk, &flavour::build_version(lab, NEWER)?)?;
        let update = "[update]\nhealth-for = \"6s\"\n[[update.probe]]\nname = \"network\"\nunit = \"netd\"\n";
        let guest = boot(lab, "kept", &disk, &document("kept", update))?;
        let up = guest.wait_up(0)?;
        ensure!((up.slot, up.version.as_str()) == (slot, NEWER), "{up:?} came up");
        guest.wait_for(up.end, &format!("keelson: committed slot={slot} version={NEWER}"))?;
        guest.power_off()?;
        let record = staged::record(&disk, slot)?;
        ensure!((record.state, record.tries) == (State::Good, 3), "{record:?}");
        ensure!(
            staged::record(&disk, slot.other())?.state == State::Good,
            "the other slot was touched"
        );
        let expected = [Slot::A, Slot::B].map(|slot| EntryName::good(slot).to_string());
        ensure!(disk.entry_files()? == expected, "entries: {:?}", disk.entry_files()?);
        Ok(())
    })
}

/// A committed machine gets an update and with it a document whose probe nobody answers: release and configuration go
/// back by themselves, and the reason stays.
pub fn goes_back(environment: &Environment) -> Result<()> {
    Lab::run(environment, "update-goes-back", |lab| {
        let disk = lab.disk("system")?;
        let keys = Keys::make(lab.directory())?;
        let way_in = keys.section()?;
        let guest = boot(lab, "before", &disk, &document("before", &way_in))?;
        let before = guest.wait_up(0)?;
        guest.wait_for(before.end, "keelson: committed")?;
        guest.power_off()?;
        let slot = staged::stage(&disk, &flavour::build_version(lab, NEWER)?)?;
        let update = "[update]\nhealth-for = \"5s\"\nhealth-within = \"20s\"\n\
                      [[update.probe]]\nname = \"nobody\"\ntcp = \"127.0.0.1:9\"\n";
        let port = free_port()?;
        let after = document("after", &format!("{update}\n{way_in}"));
        let volume = registry::seed(lab.directory(), "after", &after)?;
        let guest = lab.boot("after", &disk, |spec| {
            spec.disks.push(Disk::read_only(&volume, "seed"));
            spec.forwards = Some(vec![Forward {
                protocol: Protocol::Tcp,
                host: port,
                guest: 22,
            }]);
        })?;
        let up = guest.wait_up(0)?;
        ensure!((up.slot, up.version.as_str()) == (slot, NEWER), "{up:?} came up");
        let left = guest.wait_for(up.end, "keelson: given up")?;
        // The document's volume is still there, and the document is not applied again.
        guest.wait_for(left, "came with a release that was given up")?;
        let back = guest.wait_up(left)?;
        ensure!(
            (back.slot, &back.version) == (before.slot, &before.version),
            "{back:?} came up"
        );
        guest.wait_for(back.end, "keelson: committed")?;
        let (why, people) = Client::trusting(&keys, &guest, left, port)?.0.why()?;
        let named = people.contains("probe nobody: 127.0.0.1:9 takes no connection");
        ensure!(why["cause"] == "failed-health" && named, "{why:#}\n{people}");
        guest.power_off()?;
        let record = staged::record(&disk, slot)?;
        ensure!(
            (record.state, record.reason) == (State::Bad, Reason::Health),
            "{record:?}"
        );
        ensure!(disk.entry(slot)?.is_bad(), "entries: {:?}", disk.entry_files()?);
        told(&disk, slot)
    })
}

/// The history has one end for it, with the probe's name in its words.
fn told(disk: &DiskFile, slot: Slot) -> Result<()> {
    let history: serde_json::Value = serde_json::from_str(&disk.state_file("/boot/history")?)?;
    let boots = history["boots"].as_array().context("the history has no boots")?;
    let failed: Vec<_> = boots
        .iter()
        .filter(|boot| boot["end"]["cause"] == "failed-health")
        .collect();
    let [failed] = failed.as_slice() else {
        anyhow::bail!("told {} times: {history}", failed.len())
    };
    let words = failed["end"]["words"].as_str().unwrap_or_default();
    ensure!(failed["slot"] == slot.letter().to_string(), "{failed}");
    ensure!(
        words.contains("probe nobody: 127.0.0.1:9 takes no connection"),
        "{words}"
    );
    Ok(())
}
