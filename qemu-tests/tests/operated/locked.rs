//! The locked boot chain: only what was signed starts, what was added changes nothing, what was measured is what was
//! predicted, and a machine that hangs or panics comes back and says why.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use keelson_image_layout::slot_state::State;
use keelson_image_layout::{Reason, Slot, paths};
use keelson_os_build::cache::Cache;
use keelson_os_build::disk::esp::Held;
use keelson_os_build::flavour::Flavour;
use keelson_os_build::{deb, inspect, measure, uki};
use keelson_qemu_tests::guest::{BOOT_PATIENCE, UP};
use keelson_qemu_tests::provisioned::{AS_HOST, Provisioned, operated_with_probe_on};
use keelson_qemu_tests::secure::{Locked, tpm};
use keelson_qemu_tests::ssh::{Client, Keys};
use keelson_qemu_tests::{DiskFile, Environment, Lab, journal};
use serde_json::Value;

/// What PID 1 and initramfs give the watchdog.
const WATCHDOG: Duration = Duration::from_secs(60);
/// Between the hang and the next boot: the watchdog's time, and some for the firmware.
const RESET_PATIENCE: Duration = Duration::from_secs(180);

/// A signed image comes up under Secure Boot, in lockdown, and its TPM holds what was predicted.
pub fn signed_and_measured(environment: &Environment) -> Result<()> {
    Lab::run(environment, "locked-signed", |lab| {
        let locked = Locked::new(lab)?;
        let disk = locked.disk(lab, "system")?;
        let expected = predicted(&disk)?;
        let tpm = tpm(lab)?;
        let guest = lab.boot("guest", &disk, |spec| {
            locked.fit(spec);
            spec.tpm = Some(tpm.socket().to_owned());
        })?;
        guest.wait_for(0, "keelson: committed")?;
        guest.power_off()?;
        let lines = journal_of(&disk, lab)?;
        for text in ["Kernel is locked down from EFI Secure Boot", "secure boot state=On"] {
            ensure!(
                lines.iter().any(|line| line.contains(text)),
                "the journal does not say {text:?}"
            );
        }
        let measured = measured(&lines)?;
        ensure!(measured == expected, "predicted {expected}, measured {measured}");
        Ok(())
    })
}

/// The same machine looked at from inside: kernel, facts and event log say the same.
pub fn seen_from_inside(environment: &Environment) -> Result<()> {
    Lab::run(environment, "locked-inside", |lab| {
        let locked = Locked::new(lab)?;
        let disk = locked.disk(lab, "system")?;
        let expected = predicted(&disk)?;
        let tpm = tpm(lab)?;
        let keys = Keys::make(lab.directory())?;
        let (machine, client) = operated_with_probe_on(lab, disk, &keys, AS_HOST, |spec| {
            locked.fit(spec);
            spec.tpm = Some(tpm.socket().to_owned());
        })?;
        status_has_the_prediction(&client, &expected)?;
        let read = |path: &str| machine.ask(&format!("/read?/proc/1/root{path}"));
        let register = read("/sys/class/tpm/tpm0/pcr-sha256/11")?.trim().to_lowercase();
        ensure!(
            register == expected,
            "predicted {expected}, the register holds {register}"
        );
        let facts: Value = serde_json::from_str(&read(paths::BOOT_FACTS)?)?;
        ensure!(
            facts.get("secure_boot") == Some(&Value::from("on")),
            "the facts say {facts}"
        );
        let log = read("/run/log/systemd/tpm2-measure.log")?;
        let phases: Vec<&str> = measure::PHASES
            .into_iter()
            .filter(|phase| log.contains(&format!("\"{phase}\"")))
            .collect();
        ensure!(phases == measure::PHASES, "the event log holds {phases:?}");
        let lockdown = machine.ask("/put?/proc/1/root/dev/mem=x")?;
        ensure!(lockdown.starts_with("refused"), "memory can be written: {lockdown}");
        machine.guest.power_off()?;
        Ok(())
    })
}

/// A change to one part of slot B's entry: slot A comes up.
pub fn changed_entry(environment: &Environment) -> Result<()> {
    Lab::run(environment, "locked-changed", |lab| {
        let locked = Locked::new(lab)?;
        let disk = locked.disk(lab, "system")?;
        disk.change_entry(Slot::B, |entry| {
            let line = uki::section(entry, ".cmdline").context("no command line")?;
            let line = String::from_utf8_lossy(line).replace("panic=5", "panic=9");
            uki::with_command_line(entry, &line).context("the command line does not fit")
        })?;
        let guest = lab.boot("guest", &disk, |spec| locked.fit(spec))?;
        ensure!(
            guest.wait_up(0)?.slot == Slot::A,
            "the slot with the changed command line came up"
        );
        guest.power_off()?;
        Ok(())
    })
}

/// What `status` shows of the chain is what `os-build measure` predicts, once the boot is complete.
fn status_has_the_prediction(client: &Client, expected: &str) -> Result<()> {
    let deadline = Instant::now() + BOOT_PATIENCE;
    loop {
        let answer = client.ssh("core", "core", &["status", "--json"])?;
        let status: Value = serde_json::from_str(&answer.output).with_context(|| format!("{answer:?}"))?;
        let chain = &status["chain"];
        ensure!(chain["secure_boot"] == true && chain["tpm"] == true, "{chain}");
        if chain["pcr11"] == expected {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "predicted {expected}, shown {chain}");
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// A changed kernel in one slot and a changed initramfs in the other: nothing starts.
pub fn nothing_left_to_start(environment: &Environment) -> Result<()> {
    Lab::run(environment, "locked-refused", |lab| {
        let locked = Locked::new(lab)?;
        let disk = locked.disk(lab, "system")?;
        for (slot, section) in [(Slot::A, ".linux"), (Slot::B, ".initrd")] {
            disk.change_entry(slot, |entry| flip_in(entry, section))?;
        }
        let guest = lab.start("guest", &disk, |spec| locked.fit(spec))?;
        // Each slot is tried; had one started, the machine would be up long before.
        let deadline = Instant::now() + BOOT_PATIENCE;
        while !disk
            .entry_files()
            .is_ok_and(|names| names.iter().all(|name| name.contains("+0-")))
        {
            ensure!(Instant::now() < deadline, "the entries are {:?}", disk.entry_files());
            ensure!(
                guest.machine.console().count("keelson:") == 0,
                "a changed entry was started"
            );
            std::thread::sleep(Duration::from_secs(1));
        }
        let refusal = guest.machine.console().text();
        ensure!(
            refusal.contains("Access denied") || refusal.contains("Security"),
            "the firmware does not say why"
        );
        guest.cut_power();
        Ok(())
    })
}

/// An image nobody signed does not even get to its boot loader.
pub fn unsigned(environment: &Environment) -> Result<()> {
    Lab::run(environment, "locked-unsigned", |lab| {
        let locked = Locked::new(lab)?;
        let disk = lab.disk("system")?;
        let guest = lab.start("guest", &disk, |spec| locked.fit(spec))?;
        guest.wait_for(0, "Access Denied")?;
        guest.cut_power();
        ensure!(
            disk.entry(Slot::B)?.counter.is_some_and(|counter| counter.done == 0),
            "the boot loader ran"
        );
        Ok(())
    })
}

/// Firmware without keys takes those of the disk at its first start, and from then on nothing else.
pub fn brings_its_keys(environment: &Environment) -> Result<()> {
    Lab::run(environment, "locked-enrolled", |lab| {
        let locked = Locked::new(lab)?;
        let disk = locked.disk_with_keys(lab, "system")?;
        let guest = lab.boot("guest", &disk, |spec| locked.fit_without_keys(spec))?;
        guest.power_off()?;
        // The same variables, another disk.
        let unsigned = lab.disk("unsigned")?;
        let guest = lab.start("guest", &unsigned, |spec| locked.fit_without_keys(spec))?;
        guest.wait_for(0, "Access Denied")?;
        guest.cut_power();
        Ok(())
    })
}

/// Words by SMBIOS, a credential and an addon on the ESP: the machine comes up as it would without them.
pub fn added_things(environment: &Environment) -> Result<()> {
    const WORDS: &str = "rdinit=/planted root=/dev/vda7 init=/planted loglevel=7 keelson.slot=a";
    Lab::run(environment, "locked-added", |lab| {
        let locked = Locked::new(lab)?;
        let disk = locked.disk(lab, "system")?;
        let expected = predicted(&disk)?;
        let addon = addon("planted-by-addon")?;
        disk.change_esp(|contents| {
            let file = |path: &str, bytes: &[u8]| Held {
                path: path.into(),
                bytes: bytes.into(),
            };
            contents.files.push(file("loader/credentials/planted.cred", b"planted"));
            contents.files.push(file("loader/addons/planted.addon.efi", &addon));
            Ok(())
        })?;
        let tpm = tpm(lab)?;
        let guest = lab.boot("guest", &disk, |spec| {
            locked.fit(spec);
            spec.tpm = Some(tpm.socket().to_owned());
            spec.kernel_words = vec![WORDS.into()];
        })?;
        guest.wait_for(0, "keelson: committed")?;
        let console = guest.machine.console().text();
        guest.power_off()?;
        ensure!(
            console.contains("have no effect: rdinit=/planted"),
            "the console does not name the words"
        );
        let lines = journal_of(&disk, lab)?;
        ensure!(
            !lines.iter().any(|line| line.contains("planted-by-addon")),
            "the addon's words were taken"
        );
        let measured = measured(&lines)?;
        ensure!(measured == expected, "predicted {expected}, measured {measured}");
        Ok(())
    })
}

/// Longer than the watchdog's time nothing happens; then PID 1 is stopped, and the watchdog resets the machine.
pub fn hang(environment: &Environment) -> Result<()> {
    Lab::run(environment, "locked-hang", |lab| {
        let keys = Keys::make(lab.directory())?;
        let disk = lab.disk("system")?;
        let (machine, client) = operated_with_probe_on(lab, disk, &keys, AS_HOST, |spec| spec.watchdog = true)?;
        std::thread::sleep(WATCHDOG + Duration::from_secs(20));
        ensure!(
            machine.guest.machine.console().count(UP) == 1,
            "a healthy machine was reset"
        );
        machine
            .ask("/ok")
            .context("the machine does not answer after a while")?;
        let from = machine.guest.machine.console().text().len();
        // PID 1 has a control group of its own; frozen, it does not come round any more.
        put(&machine, "/proc/1/root/sys/fs/cgroup/init/cgroup.freeze", "1")?;
        comes_back(&machine, from, Reason::Watchdog, "watchdog")?;
        is_told(&client.again(&keys, &machine.guest, from)?, "watchdog")?;
        machine.guest.power_off()?;
        says_why(&machine.disk, "watchdog", Reason::Watchdog)
    })
}

/// A panic reboots, and its last words are kept.
pub fn panic(environment: &Environment) -> Result<()> {
    Lab::run(environment, "locked-panic", |lab| {
        let keys = Keys::make(lab.directory())?;
        let (machine, client) = operated_with_probe_on(lab, lab.disk("system")?, &keys, AS_HOST, |_| ())?;
        memory_is_short(&machine, &client)?;
        let from = machine.guest.machine.console().text().len();
        // The machine is gone before it could answer.
        let _ = put(&machine, "/proc/1/root/proc/sysrq-trigger", "c");
        comes_back(&machine, from, Reason::Panic, "panic")?;
        is_told(&client.again(&keys, &machine.guest, from)?, "panic")?;
        machine.guest.power_off()?;
        says_why(&machine.disk, "panic", Reason::Panic)
    })
}

/// `why` names the cause, for programs and for people.
fn is_told(client: &Client, cause: &str) -> Result<()> {
    let (why, people) = client.why()?;
    ensure!(why["cause"] == cause && people.contains(cause), "{why:#}\n{people}");
    Ok(())
}

/// Memory set aside as huge pages until little is left: `status` says so, and no more once it is given back.
fn memory_is_short(machine: &Provisioned, client: &Client) -> Result<()> {
    const PAGE: u64 = 2 << 20;
    const PAGES: &str = "/proc/1/root/proc/sys/vm/nr_hugepages";
    const LEFT: u64 = 24 << 20;
    let status = || -> Result<Value> {
        let answer = client.ssh("core", "core", &["status", "--json"])?;
        serde_json::from_str(&answer.output).with_context(|| format!("{answer:?}"))
    };
    let available = status()?["memory"]["available"].as_u64().context("available memory")?;
    put(machine, PAGES, &(available.saturating_sub(LEFT) / PAGE).to_string())?;
    let short = client.ssh("core", "core", &["status"])?;
    eprintln!("{}", short.output);
    put(machine, PAGES, "0")?;
    ensure!(
        short.code == 1
            && short.output.contains("memory is short: ")
            && short
                .output
                .contains("give containers a limit, or the machine more memory"),
        "{short:?}"
    );
    let after = client.ssh("core", "core", &["status"])?;
    ensure!(!after.output.contains("memory is short"), "{after:?}");
    Ok(())
}

fn put(machine: &Provisioned, path: &str, text: &str) -> Result<()> {
    let answer = machine.ask(&format!("/put?{path}={text}"))?;
    ensure!(answer.starts_with("written"), "{path}: {answer}");
    Ok(())
}

/// Waits for the next boot behind `from`, which says how the one before ended.
fn comes_back(machine: &Provisioned, from: usize, reason: Reason, word: &str) -> Result<()> {
    let console = &machine.guest.machine;
    console
        .wait_for(from, &format!("an earlier boot ended badly: {word}"), RESET_PATIENCE)
        .with_context(|| format!("after {reason:?}"))?;
    machine.guest.wait_up(from)?;
    Ok(())
}

/// What is kept on the disk of the boot before the last.
fn says_why(disk: &DiskFile, cause: &str, reason: Reason) -> Result<()> {
    let history: Value = serde_json::from_str(&disk.state_file(paths::BOOT_HISTORY.trim_start_matches("/state"))?)?;
    let ends: Vec<&Value> = history
        .pointer("/boots")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect();
    let found = ends
        .iter()
        .any(|boot| boot.pointer("/end/cause").and_then(Value::as_str) == Some(cause));
    ensure!(found, "the history does not name {cause}: {history}");
    let state = disk.slot_state()?.state;
    let counted = Slot::ALL
        .iter()
        .any(|slot| state.slot(*slot).reason == reason && state.slot(*slot).state != State::Bad);
    ensure!(counted, "the slots' record does not count it: {state:?}");
    Ok(())
}

/// What register 11 will hold when the boot of a disk is complete. Both slots have the same entry.
fn predicted(disk: &DiskFile) -> Result<String> {
    let entries = inspect::entries(disk.path())?;
    let entry = entries.first().context("the disk has no boot entry")?;
    Ok(measure::predict(&entry.bytes, &measure::PHASES.join(":"))?.sha256)
}

fn journal_of(disk: &DiskFile, lab: &Lab) -> Result<Vec<String>> {
    let entries = journal::entries(disk, lab.directory())?;
    let message = |entry: &keelson_journald::Entry| entry.fields.text("MESSAGE").map(str::to_owned);
    Ok(entries.iter().filter_map(message).collect())
}

/// The register's value that the machine read when it was ready.
fn measured(lines: &[String]) -> Result<String> {
    let line = lines
        .iter()
        .rev()
        .find(|line| line.contains("measured, register 11") && line.contains("phase=ready"));
    let Some(line) = line else {
        bail!("the journal does not tell what was measured")
    };
    let value = line
        .split("sha256=")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    Ok(value.context("no value in the line")?.trim_matches('"').to_owned())
}

fn flip_in(entry: &[u8], section: &str) -> Result<Vec<u8>> {
    let content = uki::section(entry, section).with_context(|| format!("no section {section}"))?;
    let at = content.as_ptr() as usize - entry.as_ptr() as usize + content.len() / 2;
    let mut changed = entry.to_vec();
    if let Some(byte) = changed.get_mut(at) {
        *byte ^= 1;
    }
    Ok(changed)
}

/// An addon as systemd means it, with words for the command line; nobody signed it.
fn addon(words: &str) -> Result<Vec<u8>> {
    let cache = Cache::of_user()?;
    let flavour = Flavour::Cloud;
    let wanted = deb::Wanted::Exactly(&flavour.packages());
    let packages = deb::Packages::resolve(&cache, flavour.package_set(), wanted, false, &|_| ())?;
    let folder = packages.unpacked(packages.find("systemd-boot-efi")?)?;
    let stub = std::fs::read(folder.join("usr/lib/systemd/boot/efi/addonx64.efi.stub"))?;
    Ok(uki::addon(&stub, words)?)
}
