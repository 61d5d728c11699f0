//! What operators ask a machine over SSH, on the shipped image: answers for people and for programs, their exit codes,
//! and why it started anew.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use keelson_image_layout::Part;
use keelson_image_layout::slot_state::COPY_OFFSETS;
use keelson_os_build::qemu::{Disk, Forward, Protocol};
use keelson_qemu_tests::fetch::free_port;
use keelson_qemu_tests::guest::{BOOT_PATIENCE, END_PATIENCE};
use keelson_qemu_tests::registry::{Images, seed};
use keelson_qemu_tests::ssh::{ANNOUNCED, Answer, Client, Keys};
use keelson_qemu_tests::{DiskFile, Environment, Guest, Lab};
use serde_json::Value as Json;

/// OpenSSH's own failures end with this code.
const SSH_FAILED: i32 = 255;
/// How long a line of the journal may take to a follower.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(30);
/// A machine settles: units end, the slot is committed.
const SETTLES_WITHIN: Duration = Duration::from_secs(90);

/// One user on a machine, who asks.
struct Asker<'c> {
    client: &'c Client,
    user: &'static str,
}

impl Asker<'_> {
    /// The answer whatever its code, but for OpenSSH's own failures.
    fn ask(&self, words: &[&str]) -> Result<Answer> {
        let answer = self.client.ssh(self.user, self.user, words)?;
        ensure!(answer.code != SSH_FAILED, "ssh {words:?}: {}", answer.error);
        Ok(answer)
    }

    /// The server is one of the services that end, perhaps before the answer has left.
    fn sends_away(&self, words: &[&str]) -> Result<()> {
        let answer = self.client.ssh(self.user, self.user, words)?;
        ensure!(matches!(answer.code, 0 | SSH_FAILED), "{words:?}: {answer:?}");
        Ok(())
    }

    /// The document and the code.
    fn ask_json(&self, words: &[&str]) -> Result<(Json, i32)> {
        let answer = self.ask(&[words, &["--json"]].concat())?;
        let json = serde_json::from_str(&answer.output);
        Ok((
            json.with_context(|| format!("{words:?} answered {answer:?}"))?,
            answer.code,
        ))
    }
}

/// A machine with a document, and the way in.
struct Operated {
    guest: Guest,
    client: Client,
}

impl Operated {
    fn boot(lab: &Lab, disk: &DiskFile, keys: &Keys, document: &str) -> Result<Operated> {
        let volume = seed(lab.directory(), "seed", document)?;
        let port = free_port()?;
        let guest = lab.boot("guest", disk, |spec| {
            spec.disks.push(Disk::read_only(&volume, "seed"));
            spec.forwards = Some(vec![Forward {
                protocol: Protocol::Tcp,
                host: port,
                guest: 22,
            }]);
        })?;
        let (client, _) = Client::trusting(keys, &guest, 0, port)?;
        Ok(Operated { guest, client })
    }

    fn core(&self) -> Asker<'_> {
        Asker {
            client: &self.client,
            user: "core",
        }
    }

    fn power_off(mut self) -> Result<()> {
        self.core().sends_away(&["power-off"])?;
        let ended = self.guest.machine.wait_for_end(END_PATIENCE).context("power off")?;
        ensure!(ended.success(), "QEMU ended with {ended}");
        Ok(())
    }
}

fn document(keys: &Keys) -> Result<String> {
    Ok(format!(
        "schema = 1\n[system]\nhostname = \"ops-1\"\n\n{}{}{}{}",
        keys.section()?,
        keys.user("ann", "reader", &["wheel"])?,
        keys.user("sue", "reader", &["sudo"])?,
        keys.user("pat", "reader", &[])?,
    ))
}

/// Members of wheel and sudo operate, who is in no group looks on.
fn groups_make_operators(client: &Client) -> Result<()> {
    for (user, code) in [("ann", 0), ("sue", 0), ("pat", 3)] {
        let answer = client.ssh(user, "reader", &["services", "restart", "netd"])?;
        ensure!(answer.code == code, "{user}: {answer:?}");
        ensure!(client.ssh(user, "reader", &["services"])?.code == 0, "{user} may look");
    }
    Ok(())
}

/// Asks until the answer's code is this one; a machine that just started is not well at once.
fn settled(core: &Asker<'_>, words: &[&str], code: i32) -> Result<Json> {
    let deadline = Instant::now() + SETTLES_WITHIN;
    loop {
        let (answer, actual) = core.ask_json(words)?;
        if actual == code {
            return Ok(answer);
        }
        ensure!(
            Instant::now() < deadline,
            "{words:?} stays at code {actual}: {answer:#}"
        );
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// One boot, every command, then a reboot that `why` explains.
pub fn answers(environment: &Environment) -> Result<()> {
    Lab::run(environment, "commands", |lab| {
        let disk = lab.disk("system")?;
        let keys = Keys::make(lab.directory())?;
        let machine = Operated::boot(lab, &disk, &keys, &document(&keys)?)?;
        let core = machine.core();
        groups_make_operators(&machine.client)?;
        status_of_a_well_machine(&core)?;
        services(&core)?;
        logs(&core)?;
        timeline(&core)?;
        configuration(&core)?;
        readers_only_look(&machine)?;
        let (first, _) = core.ask_json(&["why"])?;
        ensure!(first["cause"] == "first-boot", "{first:#}");
        let from = machine.guest.machine.console().text().len();
        core.sends_away(&["reboot", "--why", "kernel"])?;
        machine.guest.wait_up(from)?;
        machine.guest.wait_for(from, ANNOUNCED)?;
        let (why, _) = core.ask_json(&["why"])?;
        let words = "reboot was asked for by core through access: kernel";
        ensure!(why["cause"] == "asked-for" && why["words"] == words, "{why:#}");
        ensure!(core.ask(&["why"])?.output.contains(words), "the same for people");
        let id = |which: &str| -> Result<Json> {
            let answer = core.ask(&["logs", "--boot", which, "--lines", "1", "--json"])?;
            let entry: Json = serde_json::from_str(answer.output.trim()).with_context(|| format!("{answer:?}"))?;
            Ok(entry["_BOOT_ID"].clone())
        };
        let (this, earlier) = (id("current")?, id("previous")?);
        ensure!(this != earlier && earlier.is_string(), "{this} and {earlier}");
        machine.power_off()
    })
}

fn status_of_a_well_machine(core: &Asker<'_>) -> Result<()> {
    let status = settled(core, &["status"], 0)?;
    ensure!(status["well"] == true && status["hostname"] == "ops-1", "{status:#}");
    ensure!(status["health"] == "complete" && status["trial"] == false, "{status:#}");
    let slot = if status["slot"] == "a" { 0 } else { 1 };
    ensure!(status["slots"][slot]["state"] == "good", "{status:#}");
    ensure!(status["containers"] == Json::Array(Vec::new()), "{status:#}");
    ensure!(
        status["configuration"]["generations"][0]["current"] == true,
        "{status:#}"
    );
    let people = core.ask(&["status"])?;
    eprintln!("{}", people.output);
    for part in [
        "ops-1, Keelson",
        "boot complete, slot committed",
        "10.0.2.15/24",
        "Nothing is wrong.",
    ] {
        ensure!(people.output.contains(part), "no {part:?} in\n{}", people.output);
    }
    Ok(())
}

fn services(core: &Asker<'_>) -> Result<()> {
    let (list, code) = core.ask_json(&["services"])?;
    let units = list["services"].as_array().context("a list")?;
    ensure!(
        code == 0
            && units
                .iter()
                .any(|unit| unit["name"] == "netd" && unit["state"] == "running"),
        "{list:#}"
    );
    let (before, _) = core.ask_json(&["services", "netd"])?;
    let (done, code) = core.ask_json(&["services", "restart", "netd"])?;
    ensure!(code == 0 && done["done"] == true, "{done:#}");
    let (after, _) = core.ask_json(&["services", "netd"])?;
    let pid = |answer: &Json| answer["service"]["main_pid"].as_i64();
    ensure!(
        pid(&before).is_some() && pid(&before) != pid(&after),
        "{before:#} {after:#}"
    );
    ensure!(after["memory"].as_u64().is_some_and(|bytes| bytes > 0), "{after:#}");
    ensure!(
        after["log"].as_array().is_some_and(|lines| !lines.is_empty()),
        "{after:#}"
    );
    let unknown = core.ask(&["services", "netf"])?;
    ensure!(
        unknown.code == 2 && unknown.error.contains("did you mean netd?"),
        "{unknown:?}"
    );
    let mistyped = core.ask(&["statsu"])?;
    ensure!(mistyped.code == 2 && mistyped.error.contains("status"), "{mistyped:?}");
    Ok(())
}

fn logs(core: &Asker<'_>) -> Result<()> {
    let entries = core.ask(&["logs", "--unit", "netd", "--boot", "--lines", "3", "--json"])?;
    ensure!(entries.code == 0 && entries.output.lines().count() == 3, "{entries:?}");
    for line in entries.output.lines() {
        let entry: Json = serde_json::from_str(line)?;
        ensure!(
            entry["_SYSTEMD_UNIT"]
                .as_str()
                .is_some_and(|unit| unit.starts_with("netd")),
            "{entry:#}"
        );
    }
    let nothing = core.ask(&["logs", "--until", "yesterday"])?;
    ensure!(
        nothing.output.is_empty() && nothing.error.contains("no entry"),
        "{nothing:?}"
    );
    let export = core.ask(&["logs", "--kernel", "--lines", "1", "--export"])?;
    ensure!(
        export.output.starts_with("__CURSOR=") && export.output.contains("_TRANSPORT=kernel"),
        "{export:?}"
    );
    logs_by_what_they_are(core)?;
    follows(core)
}

/// Priority and time choose; every entry that is shown is one that was asked for.
fn logs_by_what_they_are(core: &Asker<'_>) -> Result<()> {
    let entries = |words: &[&str]| -> Result<Vec<Json>> {
        let answer = core.ask(&[&["logs", "--json"], words].concat())?;
        ensure!(answer.code == 0, "{words:?}: {answer:?}");
        let lines = answer.output.lines().map(|line| Ok(serde_json::from_str(line)?));
        lines.collect()
    };
    let number = |entry: &Json, field: &str| entry[field].as_str().and_then(|text| text.parse::<i64>().ok());
    let warnings = entries(&["--boot", "--priority", "warning", "--lines", "200"])?;
    let all = entries(&["--boot", "--lines", "200"])?;
    let graver = |entry: &Json| number(entry, "PRIORITY").is_some_and(|priority| priority <= 4);
    ensure!(!all.iter().all(graver), "everything is grave");
    ensure!(warnings.iter().all(graver), "{warnings:#?}");
    ensure!(!warnings.is_empty(), "nothing of this boot is worth a warning");
    // In whole seconds, between the first and the last entry.
    let time = |entry: &Json| number(entry, "__REALTIME_TIMESTAMP").unwrap_or_default() / 1_000_000;
    let middle = all.get(all.len() / 2).map(time).context("entries")? + 1;
    let moment = format!("@{middle}");
    let old = entries(&["--boot", "--until", &moment, "--lines", "500"])?;
    let new = entries(&["--boot", "--since", &moment, "--lines", "500"])?;
    let right = !old.is_empty() && old.iter().all(|entry| time(entry) <= middle);
    ensure!(right, "until {middle}: {old:#?}");
    let right = !new.is_empty() && new.iter().all(|entry| time(entry) >= middle);
    ensure!(right, "since {middle}: {new:#?}");
    Ok(())
}

/// What happens after the question arrives without another one.
fn follows(core: &Asker<'_>) -> Result<()> {
    let mut follower = core.client.ssh_command(core.user, core.user);
    follower
        .args(["logs", "-f", "--unit", "netd", "--lines", "1"])
        .stdout(Stdio::piped());
    let mut follower = follower.spawn()?;
    let output = follower.stdout.take().context("an output")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    let next = || lines.recv_timeout(FOLLOWS_WITHIN).context("the follower is silent");
    let told = next().and_then(|_| {
        core.ask_json(&["services", "restart", "netd"])?;
        next()
    });
    follower.kill()?;
    follower.wait()?;
    told.map(drop)
}

fn timeline(core: &Asker<'_>) -> Result<()> {
    let (boot, code) = core.ask_json(&["boot"])?;
    ensure!(code == 0, "{boot:#}");
    let spans = boot["spans"].as_array().context("spans")?;
    let mut last = 0;
    for span in spans {
        let start = span["start_us"].as_u64().context("a start")?;
        ensure!(last <= start, "{span:#} starts before the one above it");
        ensure!(span["end_us"].as_u64().is_none_or(|end| end >= start), "{span:#}");
        last = start;
    }
    let phases: Vec<&str> = spans.iter().filter_map(|span| span["phase"].as_str()).collect();
    // The loader takes times only where neither processor nor firmware says that the machine is virtual; see `metal`.
    let told = boot["zero"] == "firmware";
    ensure!(
        phases.contains(&"firmware") == told && phases.contains(&"loader") == told,
        "{boot:#}"
    );
    for phase in ["kernel", "initramfs", "system", "unit"] {
        ensure!(phases.contains(&phase), "no {phase} in {boot:#}");
    }
    let kernel = boot["kernel_us"].as_u64().context("a start of the kernel")?;
    ensure!(
        boot["complete_us"].as_u64().is_some_and(|complete| complete > kernel),
        "{boot:#}"
    );
    let people = core.ask(&["boot"])?;
    eprintln!("{}", people.output);
    ensure!(
        people.output.contains(" started") && people.output.contains('█'),
        "{}",
        people.output
    );
    let picture = core.ask(&["boot", "--svg"])?.output;
    if let Some(path) = std::env::var_os("KEELSON_BOOT_SVG") {
        std::fs::write(path, &picture)?;
    }
    ensure!(
        picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"),
        "{picture}"
    );
    Ok(())
}

fn configuration(core: &Asker<'_>) -> Result<()> {
    let (config, code) = core.ask_json(&["config"])?;
    ensure!(
        code == 0 && config["configuration"]["system"]["hostname"] == "ops-1",
        "{config:#}"
    );
    let people = core.ask(&["config"])?;
    ensure!(people.output.contains("system.hostname = \"ops-1\""), "{people:?}");
    planned(core)
}

/// What another document would change, told by the machine that would change.
fn planned(core: &Asker<'_>) -> Result<()> {
    let other = tempfile::NamedTempFile::new()?;
    let ask = |text: &str, words: &[&str]| {
        std::fs::write(other.path(), text)?;
        core.client.ssh_with_input(core.user, core.user, words, other.path())
    };
    let renamed = "schema = 1\n[system]\nhostname = \"ops-2\"\n";
    let plan = ask(renamed, &["config", "plan", "-"])?;
    let told = ["ops-1", "ops-2", "hostname"]
        .iter()
        .all(|part| plan.output.contains(part));
    ensure!(plan.code <= 1 && told, "{plan:?}");
    let wrong = ask(&renamed.replace("hostname", "hostnam"), &["config", "plan", "-"])?;
    let said = format!("{}{}", wrong.output, wrong.error);
    ensure!(
        wrong.code != 0 && said.contains("did you mean `hostname`?"),
        "{wrong:?}"
    );
    let (config, _) = core.ask_json(&["config"])?;
    ensure!(
        config["configuration"]["system"]["hostname"] == "ops-1",
        "a plan changes nothing"
    );
    Ok(())
}

/// Readers see everything and change nothing.
fn readers_only_look(machine: &Operated) -> Result<()> {
    let reader = Asker {
        client: &machine.client,
        user: "reader",
    };
    for words in [
        &["status"][..],
        &["services"],
        &["logs", "-n", "1"],
        &["boot"],
        &["why"],
        &["config"],
    ] {
        ensure!(reader.ask(words)?.code == 0, "{words:?}");
    }
    for words in [
        &["reboot"][..],
        &["power-off"],
        &["services", "stop", "netd"],
        &["config", "plan", "/etc/passwd"],
    ] {
        let refused = reader.ask(words)?;
        ensure!(refused.code == 3, "{words:?}: {refused:?}");
    }
    Ok(())
}

/// One container whose image its registry has not, one whose registry takes no connection.
fn declared_in_vain(images: &Images) -> String {
    let section = images.section();
    let registry = section.trim_start_matches("schema = 1");
    let lost = images.reference("lost");
    format!("{registry}[container.lost]\nimage = {lost:?}\n[container.away]\nimage = \"10.0.2.2:9/away\"\n")
}

/// Both are said, each with its reason and its cure, and one more look is enough when the engine is up again.
fn cannot_be_pulled(core: &Asker<'_>, images: &Images) -> Result<()> {
    let lost = format!(
        "the declared container lost does not run: cannot pull {}: ",
        images.reference("lost")
    );
    is_said(
        core,
        &[
            &lost,
            "the declared container away does not run: cannot pull 10.0.2.2:9/away",
            "correct `image` of [container.lost]",
        ],
    )?;
    let (status, code) = core.ask_json(&["status"])?;
    let failure = &status["declared"]["lost"]["failure"];
    ensure!(code == 1 && failure["step"] == "pull", "{status:#}");
    Ok(())
}

/// The engine stopped by hand: status says that it does not answer, and what to do, which helps.
fn engine_is_silent(core: &Asker<'_>) -> Result<()> {
    let stopped = core.ask(&["services", "stop", "runtimed"])?;
    ensure!(stopped.code == 0, "{stopped:?}");
    is_said(
        core,
        &["the container engine does not answer", "services restart runtimed"],
    )?;
    let started = core.ask(&["services", "restart", "runtimed"])?;
    ensure!(started.code == 0, "{started:?}");
    let deadline = Instant::now() + SETTLES_WITHIN;
    while core.ask(&["status"])?.output.contains("engine does not answer") {
        ensure!(Instant::now() < deadline, "the engine stays silent");
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// Waits until status has all of this.
fn is_said(core: &Asker<'_>, parts: &[&str]) -> Result<()> {
    let deadline = Instant::now() + BOOT_PATIENCE;
    loop {
        let status = core.ask(&["status"])?;
        if status.code == 1 && parts.iter().all(|part| status.output.contains(part)) {
            eprintln!("{}", status.output);
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("not everything of {parts:?} is said:\n{}", status.output);
        }
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// Lost power, a record of a newer release, a document full of mistakes: said in words, and the code says it too.
pub fn ailments(environment: &Environment) -> Result<()> {
    Lab::run(environment, "ailments", |lab| {
        let disk = lab.disk("system")?;
        let keys = Keys::make(lab.directory())?;
        let good = document(&keys)?;
        let machine = Operated::boot(lab, &disk, &keys, &good)?;
        settled(&machine.core(), &["status"], 0)?;
        machine.guest.cut_power();
        // A record of a release that this one must not write: the slot cannot be committed.
        let mut state = disk.slot_state()?.state;
        state.min_reader = u16::MAX;
        for copy in COPY_OFFSETS {
            disk.write(Part::SlotState.start() + copy, &state.encode())?;
        }
        let machine = Operated::boot(lab, &disk, &keys, &format!("{good}colour = \"red\"\n"))?;
        let core = machine.core();
        let (why, _) = core.ask_json(&["why"])?;
        ensure!(
            why["cause"] == "power-loss" && why["before"]["boot_id"].is_string(),
            "{why:#}"
        );
        is_said(
            &core,
            &[
                "service mark-good has",
                "record of the slots",
                "1 mistake, the first in line",
            ],
        )?;
        let config = core.ask(&["config"])?;
        ensure!(config.code == 1 && config.output.contains("colour"), "{config:?}");
        machine.power_off()?;
        let images = Images::start(lab.directory())?;
        let declared = declared_in_vain(&images);
        let machine = Operated::boot(lab, &disk, &keys, &format!("{good}{declared}"))?;
        cannot_be_pulled(&machine.core(), &images)?;
        engine_is_silent(&machine.core())?;
        let (history, _) = machine.core().ask_json(&["why", "--history"])?;
        let causes: Vec<&str> = history["boots"]
            .as_array()
            .context("boots")?
            .iter()
            .filter_map(|boot| boot["end"]["cause"].as_str())
            .collect();
        ensure!(causes == ["asked-for", "power-loss"], "{history:#}");
        machine.guest.cut_power();
        Ok(())
    })
}
