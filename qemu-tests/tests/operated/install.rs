//! Installing onto an empty disk: from a medium with a person at the console or nobody, and from a running machine over SSH.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keelson_os_build::flavour::Flavour;
use keelson_os_build::qemu::Disk;
use keelson_os_build::qemu::arguments::{Bus, Card};
use keelson_qemu_tests::guest::BOOT_PATIENCE;
use keelson_qemu_tests::registry::seed;
use keelson_qemu_tests::ssh::{Client, Keys, reachable};
use keelson_qemu_tests::state::Identities;
use keelson_qemu_tests::{DiskFile, Environment, Guest, Lab, flavour};

use crate::metal::comes_up;

const TARGET: &str = "TARGET-1";
pub const BYTES: u64 = 6 << 30;
/// A busy host without acceleration writes some hundred megabytes.
const INSTALL_PATIENCE: Duration = Duration::from_secs(300);

/// With a person at the console; a document that names a disk without the word for it does not answer for them.
pub fn from_a_stick(environment: &Environment) -> Result<()> {
    Lab::run(environment, "install-usb", |lab| {
        let target = empty_disk(lab, "target.img", BYTES)?;
        let undecided = seed(lab.directory(), "undecided", &unattended(false))?;
        from_medium(lab, Bus::Usb, &[&target], &undecided, |guest| {
            guest.wait_for(0, &format!("type: {TARGET}"))?;
            let asked = guest.wait_for(0, "Enter to look again: ")?;
            // A wrong word changes nothing, and the question comes again.
            guest.machine.enter("yes\n")?;
            let refused = guest.wait_for(asked, "nothing was changed: there is no disk \"yes\"")?;
            let again = guest.wait_for(refused, "Enter to look again: ")?;
            ensure!(is_empty(&target)?, "a refusal wrote to the disk");
            guest.machine.enter(&format!("{TARGET}\n"))?;
            Ok(again)
        })?;
        is_a_machine(lab, &target)
    })
}

/// With nobody: the document says which disk, and the larger one stays as it is.
pub fn from_a_disc(environment: &Environment) -> Result<()> {
    Lab::run(environment, "install-disc", |lab| {
        let target = empty_disk(lab, "target.img", BYTES)?;
        let other = empty_disk(lab, "other.img", BYTES + (1 << 30))?;
        let answer = seed(lab.directory(), "answer", &unattended(true))?;
        from_medium(lab, Bus::Cdrom, &[&target, &other], &answer, |_| Ok(0))?;
        ensure!(is_empty(&other)?, "the other disk was written");
        is_a_machine(lab, &target)
    })
}

/// A document for a medium.
fn unattended(erase: bool) -> String {
    format!("schema = 1\n[install]\ndisk = \"smallest\"\nerase = {erase}\n")
}

/// A running machine puts its release onto a second disk, with a document for the new machine, as an operator asks for
/// over SSH.
pub fn over_ssh(environment: &Environment) -> Result<()> {
    Lab::run(environment, "install-ssh", |lab| {
        let keys = Keys::make(lab.directory())?;
        let target = empty_disk(lab, "target.img", BYTES)?;
        let source = lab.disk("system")?;
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
        let (guest, client) = reachable(lab, "first", &source, &keys, |spec| {
            spec.disks.push(Disk::read_only(&seed, "seed"));
            spec.disks.push(Disk::new(target.path().to_owned(), TARGET));
        })?;
        let shown = client.ssh("core", "core", &["install"])?;
        let way = format!("install --disk {TARGET} --erase {TARGET}");
        ensure!(
            shown.code == 0 && shown.output.contains(&way) && shown.output.matches("cannot be used").count() == 2,
            "{shown:?}"
        );
        refused(&client, &["--disk", TARGET], "give its word")?;
        refused(&client, &["--disk", TARGET, "--erase", "yes"], "give its word")?;
        let onto = ["install", "--disk", TARGET, "--erase", TARGET, "--config", "-"];
        let answer = client.ssh_with_input("core", "core", &onto, &wrong)?;
        ensure!(answer.code != 0 && answer.error.contains("sytem"), "{answer:?}");
        let reader = client.ssh_with_input("reader", "reader", &onto, &given)?;
        ensure!(reader.code != 0, "a reader installs: {reader:?}");
        ensure!(is_empty(&target)?, "a question or a refusal wrote to the disk");
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
        let (of_source, of_target) = (Identities::read(&source)?, Identities::read(&target)?);
        ensure!(of_source.host_key.is_some(), "the source has no host key");
        let shared = of_source.shared_with(&of_target);
        ensure!(shared.is_empty(), "the machines share: {}", shared.join(", "));
        Ok(())
    })
}

/// Asks for an installation that is not made, and why must be said.
fn refused(client: &Client, words: &[&str], why: &str) -> Result<()> {
    let answer = client.ssh("core", "core", &[&["install"], words].concat())?;
    ensure!(answer.code != 0 && answer.error.contains(why), "{words:?}: {answer:?}");
    Ok(())
}

/// Starts a machine from a medium, with a document and empty disks of which the first is to be installed onto; `ask` goes
/// through what the console asks. The medium stays as it is.
fn from_medium(
    lab: &Lab,
    bus: Bus,
    targets: &[&DiskFile],
    document: &Path,
    ask: impl FnOnce(&mut Guest) -> Result<usize>,
) -> Result<()> {
    let medium = flavour::medium(lab, Flavour::Metal)?;
    let before = content(&medium)?;
    let mut guest = lab.start("medium", &medium, |spec| {
        spec.card = Card::E1000e;
        spec.disks.iter_mut().for_each(|disk| {
            disk.bus = bus;
            disk.read_only = bus == Bus::Cdrom;
        });
        let targets = targets.iter().zip([TARGET, "OTHER-1"]);
        spec.disks
            .extend(targets.map(|(disk, serial)| on_ahci(disk.path().to_owned(), serial)));
        spec.disks.push(Disk::read_only(document, "seed"));
    })?;
    guest.wait_up(0)?;
    let from = ask(&mut guest)?;
    let erased = guest.machine.wait_for(from, "install: erasing", BOOT_PATIENCE)?;
    guest
        .machine
        .wait_for(erased, "Take the medium out", INSTALL_PATIENCE)?;
    guest.power_off()?;
    ensure!(content(&medium)? == before, "the medium was written");
    Ok(())
}

/// The disk alone is a machine that is provisioned like any other, with identities.
fn is_a_machine(lab: &Lab, target: &DiskFile) -> Result<()> {
    comes_up(lab, target, Bus::Ahci, Card::E1000e)?;
    let machine = Identities::read(target)?;
    let second = DiskFile::copy(target.path(), &lab.directory().join("copy.img"))?;
    ensure!(
        machine.shared_with(&Identities::read(&second)?).len() == 6,
        "identities are not read"
    );
    let (clean, words) = target.check_state()?;
    ensure!(clean, "the state file system is not clean: {words}");
    Ok(())
}

/// Whether nothing was ever written where a table would be.
pub fn is_empty(disk: &DiskFile) -> Result<bool> {
    Ok(disk.read(0, 1 << 20)?.iter().all(|byte| *byte == 0))
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

pub fn empty_disk(lab: &Lab, name: &str, bytes: u64) -> Result<DiskFile> {
    let path = lab.directory().join(name);
    File::create(&path)?.set_len(bytes)?;
    Ok(DiskFile::at(path))
}

fn on_ahci(path: PathBuf, serial: &str) -> Disk {
    Disk {
        bus: Bus::Ahci,
        ..Disk::new(path, serial)
    }
}
