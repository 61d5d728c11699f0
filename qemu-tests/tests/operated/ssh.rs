//! The way in: who gets in, what they may ask, and Docker's own clients.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use keelson_os_build::cache::Cache;
use keelson_os_build::qemu::{Disk, Forward, Protocol};
use keelson_os_build::tool;
use keelson_qemu_tests::fetch::{free_port, get_within};
use keelson_qemu_tests::guest::BOOT_PATIENCE;
use keelson_qemu_tests::registry::{Images, seed};
use keelson_qemu_tests::ssh::{ANNOUNCED, Client, Keys, succeed};
use keelson_qemu_tests::{DiskFile, Environment, Guest, Lab, journal};

/// A machine whose SSH port and port 8080 are forwarded.
struct Reached {
    guest: Guest,
    client: Client,
    fingerprint: String,
    web: u16,
}

fn boot(lab: &Lab, name: &str, disk: &DiskFile, keys: &Keys, document: &str) -> Result<Reached> {
    let volume = seed(lab.directory(), name, &format!("{document}{}", keys.section()?))?;
    let (port, web) = (free_port()?, free_port()?);
    let guest = lab.boot(name, disk, |spec| {
        spec.disks.push(Disk::read_only(&volume, "seed"));
        let forward = |host, guest| Forward {
            protocol: Protocol::Tcp,
            host,
            guest,
        };
        spec.forwards = Some(vec![forward(port, 22), forward(web, 8080)]);
    })?;
    let (client, fingerprint) = Client::trusting(keys, &guest, 0, port)?;
    Ok(Reached {
        guest,
        client,
        fingerprint,
        web,
    })
}

/// Everything a stranger tries is refused, a reader reads, an operator operates; the journal has it all. The machine is
/// the same one after the reboot that the operator asked for.
pub fn the_right_key_only(environment: &Environment) -> Result<()> {
    Lab::run(environment, "ssh", |lab| {
        let keys = Keys::make(lab.directory())?;
        let disk = lab.disk("system")?;
        let Reached {
            guest,
            client,
            fingerprint,
            ..
        } = boot(lab, "guest", &disk, &keys, "schema = 1\n\n")?;
        refuses_strangers(&client)?;
        readers_only_look(&client)?;
        let answer = client.ssh("core", "core", &["status", "--json"])?;
        ensure!(answer.code <= 1 && answer.output.starts_with('{'), "status: {answer:?}");
        let end = guest.machine.console().position();
        let answer = client.ssh("core", "core", &["reboot", "--why", "'the test'"])?;
        ensure!(answer.code == 0, "reboot: {answer:?}");
        let up = guest.wait_up(end)?;
        guest.wait_for(end, &format!("{ANNOUNCED}{fingerprint}"))?;
        guest.wait_for(up.end, "committed")?;
        is_patient_only_so_long(&client)?;
        guest.power_off()?;
        has_noted(&disk, lab.directory())
    })
}

fn refuses_strangers(client: &Client) -> Result<()> {
    for (user, key, options) in [
        ("core", "stranger", [].as_slice()),
        ("root", "core", &[]),
        (
            "core",
            "stranger",
            &["-o", "PreferredAuthentications=password,keyboard-interactive"],
        ),
        ("core", "core", &["-o", "KexAlgorithms=diffie-hellman-group14-sha1"]),
        ("reader", "reader", &["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"]),
    ] {
        let answer = client.ssh(user, key, &[options, &["status"]].concat())?;
        ensure!(
            answer.code == 255 && answer.output.is_empty(),
            "{user} {key} {options:?}: {answer:?}"
        );
        // Whoever gets in is forgiven what came before.
        let answer = client.ssh("core", "core", &[])?;
        ensure!(
            answer.code == 0 && answer.output.contains("status"),
            "alone: {answer:?}"
        );
    }
    Ok(())
}

fn readers_only_look(client: &Client) -> Result<()> {
    let answer = client.ssh("reader", "reader", &["services"])?;
    ensure!(
        answer.code == 0 && answer.output.contains("netd"),
        "services: {answer:?}"
    );
    for words in [
        ["reboot"].as_slice(),
        &["services", "stop", "netd"],
        &["docker", "system", "dial-stdio"],
    ] {
        let answer = client.ssh("reader", "reader", words)?;
        ensure!(
            answer.code == 3 && answer.error.contains("only operators"),
            "{words:?}: {answer:?}"
        );
    }
    Ok(())
}

/// After enough failures not even the right key is answered, for a while.
fn is_patient_only_so_long(client: &Client) -> Result<()> {
    for _ in 0..20 {
        let answer = client.ssh("core", "stranger", &["status"])?;
        if !answer.error.contains("Permission denied") {
            let answer = client.ssh("core", "core", &["status"])?;
            ensure!(answer.code == 255, "let in: {answer:?}");
            return Ok(());
        }
    }
    anyhow::bail!("twenty failures in a row, and still answered")
}

fn has_noted(disk: &DiskFile, work: &Path) -> Result<()> {
    let entries: Vec<String> = journal::entries(disk, work)?
        .iter()
        .map(|entry| {
            let field = |(name, value): (&str, &[u8])| format!("{name}={}\n", String::from_utf8_lossy(value));
            entry.fields.iter().map(field).collect()
        })
        .collect();
    for parts in [
        ["login", "USER=core", "KEY=SHA256:", "ADDRESS=10.0.2.2"],
        [
            "login refused",
            "USER=core",
            "KEY=SHA256:",
            "REASON=not a key of this user",
        ],
        [
            "login refused",
            "USER=root",
            "KEY=SHA256:",
            "REASON=no user of this name",
        ],
        // A client with a password only, and one that signs with SHA-1 only.
        [
            "login refused",
            "USER=core",
            "ADDRESS=10.0.2.2",
            "REASON=no key was offered",
        ],
        [
            "login refused",
            "USER=reader",
            "ADDRESS=10.0.2.2",
            "REASON=no key was offered",
        ],
        [
            "connection refused",
            "ADDRESS=10.0.2.2",
            "REASON=",
            "diffie-hellman-group14-sha1",
        ],
        [
            "request refused",
            "USER=reader",
            "ASKED=reboot",
            "REASON=keelson: only operators",
        ],
        [
            "connections are refused for a while",
            "ADDRESS=10.0.2.2",
            "SECONDS=",
            "REASON=too many failures",
        ],
    ] {
        let found = entries
            .iter()
            .any(|entry| parts.iter().all(|part| entry.contains(part)));
        let of_ssh = || {
            entries
                .iter()
                .filter(|entry| entry.contains("keelson-sshd"))
                .cloned()
                .collect::<String>()
        };
        ensure!(found, "{parts:?} is not in the journal:\n{}", of_ssh());
    }
    Ok(())
}

/// The clients of Debian's releases run, look at, follow and remove containers and images.
pub fn docker_clients(environment: &Environment) -> Result<()> {
    Lab::run(environment, "docker-over-ssh", |lab| {
        let keys = Keys::make(lab.directory())?;
        let images = Images::with_probe(lab.directory())?;
        let disk = lab.disk("system")?;
        disk.enlarge(6 << 30)?;
        let machine = boot(lab, "guest", &disk, &keys, &images.section())?;
        let cache = Cache::of_user()?;
        for suite in ["trixie", "forky"] {
            let program = tool::program_of(&cache, suite, "docker-cli", "usr/bin/docker")?;
            works(&machine, &program, &images.reference("probe")).with_context(|| format!("client of {suite}"))?;
        }
        machine.guest.power_off()?;
        Ok(())
    })
}

fn works(machine: &Reached, program: &Path, image: &str) -> Result<()> {
    let docker = |words: &[&str]| succeed(machine.client.docker(program).args(words));
    eprintln!("{}", docker(&["version"])?);
    docker(&["pull", image])?;
    let listed = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"])?;
    ensure!(listed.trim() == image, "images: {listed}");
    let id = docker(&["run", "-d", "--name", "web", "-p", "8080:80", image])?;
    get_within(machine.web, "/ok", BOOT_PATIENCE)?;
    let listed = docker(&["ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Ports}}"])?;
    ensure!(
        listed.starts_with(id.trim()) && listed.contains("web") && listed.contains("8080->80"),
        "ps: {listed}"
    );
    let state = docker(&["inspect", "--format", "{{.State.Status}} {{.Config.Image}}", "web"])?;
    ensure!(state.trim() == format!("running {image}"), "inspect: {state}");
    let info = docker(&["info", "--format", "{{.OSType}} {{.ContainersRunning}} {{.Images}}"])?;
    ensure!(info.trim() == "linux 1 1", "info: {info}");
    let shown = docker(&["image", "inspect", "--format", "{{index .RepoTags 0}} {{.Os}}", image])?;
    ensure!(shown.trim() == format!("{image} linux"), "image inspect: {shown}");
    follows(machine, program, image)?;
    docker(&["stop", "web"])?;
    docker(&["rm", "web"])?;
    ensure!(docker(&["ps", "-aq"])?.trim().is_empty(), "containers are left");
    docker(&["rmi", image])?;
    ensure!(docker(&["images", "-q"])?.trim().is_empty(), "images are left");
    Ok(())
}

/// `logs -f` shows what is said, and ends with the container.
fn follows(machine: &Reached, program: &Path, image: &str) -> Result<()> {
    let docker = |words: &[&str]| succeed(machine.client.docker(program).args(words));
    docker(&[
        "run",
        "-d",
        "--name",
        "talker",
        "--entrypoint",
        "/probe",
        image,
        "say",
        "a word",
    ])?;
    let mut follower = machine.client.docker(program);
    let mut follower = follower.args(["logs", "-f", "talker"]).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(follower.stdout.take().context("its output")?).lines();
    let line = lines.next().context("nothing is said")??;
    ensure!(line.contains("a word"), "logs -f: {line}");
    let chosen = |words: &[&str]| docker(&[&["logs"], words, &["talker"]].concat());
    let last = chosen(&["--tail", "1"])?;
    ensure!(
        last.lines().count() == 1 && last.contains("a word"),
        "logs --tail: {last}"
    );
    ensure!(
        chosen(&["--since", "10m"])?.contains("a word"),
        "logs --since leaves out what was just said"
    );
    ensure!(
        chosen(&["--until", "10m"])?.is_empty(),
        "logs --until shows what was said later"
    );
    docker(&["rm", "-f", "talker"])?;
    lines.for_each(drop);
    follower.wait()?;
    Ok(())
}

/// Two machines have two host keys; a damaged one is not replaced.
pub fn host_keys(environment: &Environment) -> Result<()> {
    Lab::run(environment, "host-keys", |lab| {
        let keys = Keys::make(lab.directory())?;
        let mut fingerprints = Vec::new();
        for name in ["one", "two"] {
            let disk = lab.disk(name)?;
            let machine = boot(lab, name, &disk, &keys, "schema = 1\n\n")?;
            machine.guest.power_off()?;
            fingerprints.push(machine.fingerprint);
        }
        ensure!(fingerprints.first() != fingerprints.last(), "two machines have one key");
        a_damaged_key_stays(lab, &keys, &DiskFile::at(lab.directory().join("one.img")))
    })
}

fn a_damaged_key_stays(lab: &Lab, keys: &Keys, disk: &DiskFile) -> Result<()> {
    const KEY: &str = "/machine/ssh/ed25519";
    let half = disk.state_dump(KEY)?.len() / 2;
    disk.change_state(&format!("set_inode_field {KEY} size {half}"))?;
    let damaged = disk.state_dump(KEY)?;
    let volume = seed(
        lab.directory(),
        "damaged",
        &format!("schema = 1\n\n{}", keys.section()?),
    )?;
    let guest = lab.boot("one", disk, |spec| spec.disks.push(Disk::read_only(&volume, "seed")))?;
    guest.wait_for(0, "keelson: the ssh host key /state/machine/ssh/ed25519 is damaged")?;
    guest.power_off()?;
    ensure!(disk.state_dump(KEY)? == damaged, "the damaged key was replaced");
    Ok(())
}
