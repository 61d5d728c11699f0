//! Installing onto an empty disk: from a medium with a person at the console, and from a running machine over SSH.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keelson_os_build::flavour::Flavour;
use keelson_os_build::qemu::Disk;
use keelson_os_build::qemu::arguments::{Bus, Card};
use keelson_qemu_tests::guest::BOOT_PATIENCE;
use keelson_qemu_tests::registry::seed;
use keelson_qemu_tests::ssh::{Client, Keys, reachable};
use keelson_qemu_tests::state::Identities;
use keelson_qemu_tests::{DiskFile, Environment, Lab, flavour};

use crate::metal::comes_up;

const TARGET: &str = "TARGET-1";
const BYTES: u64 = 6 << 30;
/// A busy host without acceleration writes some hundred megabytes.
const INSTALL_PATIENCE: Duration = Duration::from_secs(300);

pub fn from_a_stick(environment: &Environment) -> Result<()> {
    Lab::run(environment, "install-usb", |lab| from_medium(lab, Bus::Usb))
}

pub fn from_a_disc(environment: &Environment) -> Result<()> {
    Lab::run(environment, "install-disc", |lab| from_medium(lab, Bus::Cdrom))
}

/// A running machine puts its release onto a second disk, with a document for the new machine, as an operator asks for
/// over SSH.
pub fn over_ssh(environment: &Environment) -> Result<()> {
    Lab::run(environment, "install-ssh", |lab| {
        let keys = Keys::make(lab.directory())?;
        let target = empty_disk(lab, "target.img")?;
        let document = |name: &str| -> Result<String> {
            Ok(format!(
                "schema = 1\n[system]\nhostname = {name:?}\n{}",
                keys.section()?
            ))
        };
        let given = lab.directory().join("new.toml");
        std::fs::write(&given, document("second")?)?;
        let wrong = lab.directory().join("wrong.toml");
        std::fs::write(&wrong, "schema = 1\n[sytem]\n")?;
        let seed = seed(lab.directory(), "seed", &document("first")?)?;
        let (guest, client) = reachable(lab, "first", &lab.disk("system")?, &keys, |spec| {
            spec.disks.push(Disk::read_only(&seed, "seed"));
            spec.disks.push(Disk::new(target.path().to_owned(), TARGET));
        })?;
        refused(&client, &["--disk", TARGET], "give its word")?;
        refused(&client, &["--disk", TARGET, "--erase", "yes"], "give its word")?;
        let onto = ["install", "--disk", TARGET, "--erase", TARGET, "--config", "-"];
        let answer = client.ssh_with_input("core", "core", &onto, &wrong)?;
        ensure!(answer.code != 0 && answer.error.contains("sytem"), "{answer:?}");
        let reader = client.ssh_with_input("reader", "reader", &onto, &given)?;
        ensure!(reader.code != 0, "a reader installs: {reader:?}");
        let empty = target.read(0, 1 << 20)?.iter().all(|byte| *byte == 0);
        ensure!(empty, "a refusal wrote to the disk");
        let answer = client.ssh_with_input("core", "core", &onto, &given)?;
        ensure!(
            answer.code == 0 && answer.output.contains("was read back"),
            "{answer:?}"
        );
        guest.power_off()?;

        let (guest, client) = reachable(lab, "second", &target, &keys, |_| ())?;
        let status = client.ssh("core", "core", &["status"])?;
        ensure!(status.output.contains("second, Keelson"), "{status:?}");
        guest.power_off()?;
        Ok(())
    })
}

/// Asks for an installation that is not made, and why must be said.
fn refused(client: &Client, words: &[&str], why: &str) -> Result<()> {
    let answer = client.ssh("core", "core", &[&["install"], words].concat())?;
    ensure!(answer.code != 0 && answer.error.contains(why), "{words:?}: {answer:?}");
    Ok(())
}

fn from_medium(lab: &Lab, bus: Bus) -> Result<()> {
    let medium = flavour::medium(lab, Flavour::Metal)?;
    let before = content(&medium)?;
    let target = empty_disk(lab, "target.img")?;
    let mut guest = lab.start("medium", &medium, |spec| {
        spec.card = Card::E1000e;
        spec.disks.iter_mut().for_each(|disk| {
            disk.bus = bus;
            disk.read_only = bus == Bus::Cdrom;
        });
        spec.disks.push(on_ahci(target.path().to_owned()));
    })?;
    guest.wait_up(0)?;
    guest.wait_for(0, &format!("type: {TARGET}"))?;
    let asked = guest.wait_for(0, "Enter to look again: ")?;
    // A wrong word changes nothing, and the question comes again.
    guest.machine.enter("yes\n")?;
    let refused = guest.wait_for(asked, "nothing was changed: there is no disk \"yes\"")?;
    let again = guest.wait_for(refused, "Enter to look again: ")?;
    guest.machine.enter(&format!("{TARGET}\n"))?;
    let erased = guest.machine.wait_for(again, "install: erasing", BOOT_PATIENCE)?;
    guest
        .machine
        .wait_for(erased, "Take the medium out", INSTALL_PATIENCE)?;
    guest.power_off()?;
    ensure!(content(&medium)? == before, "the medium was written");

    comes_up(lab, &target, Bus::Ahci, Card::E1000e)?;
    let machine = Identities::read(&target)?;
    let second = DiskFile::copy(target.path(), &lab.directory().join("copy.img"))?;
    ensure!(
        machine.shared_with(&Identities::read(&second)?).len() == 5,
        "identities are not read"
    );
    let (clean, words) = target.check_state()?;
    ensure!(clean, "the state file system is not clean: {words}");
    Ok(())
}

/// Everything but the EFI system partition, where the boot loader keeps a seed.
fn content(medium: &DiskFile) -> Result<(Vec<u8>, Vec<u8>)> {
    let esp = gpt::GptConfig::new().writable(false).open(medium.path())?;
    let esp = esp
        .partitions()
        .get(&1)
        .cloned()
        .context("the medium has no first partition")?;
    let (start, end) = (esp.first_lba * 512, (esp.last_lba + 1) * 512);
    let rest = usize::try_from(medium.size()? - end)?;
    Ok((medium.read(0, usize::try_from(start)?)?, medium.read(end, rest)?))
}

fn empty_disk(lab: &Lab, name: &str) -> Result<DiskFile> {
    let path = lab.directory().join(name);
    File::create(&path)?.set_len(BYTES)?;
    Ok(DiskFile::at(path))
}

fn on_ahci(path: PathBuf) -> Disk {
    Disk {
        bus: Bus::Ahci,
        ..Disk::new(path, TARGET)
    }
}
