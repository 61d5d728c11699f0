//! A machine that updates itself from a web server, and goes back again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use keelson_image_layout::State;
use keelson_os_build::progress::Progress;
use keelson_os_build::publish::keys::KeyFolder;
use keelson_os_build::publish::repository::Repository;
use keelson_os_build::publish::{Content, ceremony, release};
use keelson_os_build::qemu::{Disk, Forward, Protocol};
use keelson_qemu_tests::fetch::{free_port, get, get_within};
use keelson_qemu_tests::provisioned::FIRST_ANSWER;
use keelson_qemu_tests::registry::{Images, seed};
use keelson_qemu_tests::ssh::{Client, Keys, reachable};
use keelson_qemu_tests::{DiskFile, Environment, Lab, flavour, staged};

use crate::health::NEWER;
use crate::web_server::WebServer;

/// Version of the release that is on the machine at first.
const OLDER: &str = "1.0.0";
/// OpenSSH's own failures end with this code: the server is one of the services that end.
const SSH_FAILED: i32 = 255;

/// A folder of releases, and the disk of the first.
struct Published {
    disk: DiskFile,
    repository: std::path::PathBuf,
}

fn publish(lab: &Lab) -> Result<Published> {
    let (keys, repository) = (lab.directory().join("keys"), lab.directory().join("repository"));
    std::fs::create_dir_all(&keys)?;
    KeyFolder::at(&keys).create()?;
    let now = Timestamp::now();
    ceremony::begin(&Repository::at(&repository), &KeyFolder::at(&keys), now)?;
    let root = repository.join("metadata/1.root.json");
    let [disk, newer] = [OLDER, NEWER].map(|version| flavour::build_trusting(lab, version, &root));
    let (disk, newer) = (disk?, newer?);
    for disk in [&disk, &newer] {
        let request = release::Request {
            repository: repository.clone(),
            channel: "stable".to_owned(),
            keys: keys.clone(),
            keep: 1,
            floor: None,
            now,
        };
        release::add(&request, &Content::read(disk.path())?, Progress::silent())?;
    }
    std::fs::remove_file(newer.path())?;
    Ok(Published { disk, repository })
}

/// A→B by patch over HTTPS from nginx, kept after its health has held, then back to A by an operator. A container answers
/// while the release is fetched, and what it wrote before is there on either side.
pub fn there_and_back(environment: &Environment) -> Result<()> {
    Lab::run(environment, "update-https", |lab| {
        let Published { disk, repository } = publish(lab)?;
        let server = WebServer::start(lab.directory(), &repository)?;
        let images = Images::with_probe(lab.directory())?;
        let keys = Keys::make(lab.directory())?;
        let document = format!(
            "{}{}{}{}reboot = \"on-request\"\nhealth-for = \"5s\"\n",
            images.section(),
            keys.section()?,
            images.probe_section("web", &["serve", "80"], "ports = [\"80:80\"]\nmounts = [{ type = \"volume\", source = \"data\", target = \"/data\" }]\n[volume.data]"),
            server.section(),
        );
        let volume = seed(lab.directory(), "seed", &document)?;
        let port = free_port()?;
        let (guest, client) = reachable(lab, "guest", &disk, &keys, |spec| {
            spec.disks.push(Disk::read_only(&volume, "seed"));
            spec.forwards.get_or_insert_default().push(Forward {
                protocol: Protocol::Tcp,
                host: port,
                guest: 80,
            });
        })?;
        get_within(port, "/ok", FIRST_ANSWER)?;
        get(port, "/write?/data/note")?;
        let answering = Answering::start(port);
        let applied = client.ssh("core", "core", &["update", "apply"])?;
        ensure!(matches!(applied.code, 0 | SSH_FAILED), "{applied:?}");
        let asked = answering.stop()?;
        ensure!(asked > 0, "the container was never asked");
        by_patch(&server)?;
        let from = guest.wait_for(0, "keelson: committed")?;
        let up = guest.wait_up(from)?;
        ensure!(up.version == NEWER, "{up:?} came up");
        let kept = guest.wait_for(up.end, &format!("keelson: committed slot={} version={NEWER}", up.slot))?;
        let client = client.again(&keys, &guest, from)?;
        told(&client, port)?;
        // And back.
        let back = client.ssh("core", "core", &["update", "rollback"])?;
        ensure!(matches!(back.code, 0 | SSH_FAILED), "{back:?}");
        let again = guest.wait_up(kept)?;
        ensure!(
            (again.slot, again.version.as_str()) == (up.slot.other(), OLDER),
            "{again:?} came up"
        );
        let client = client.again(&keys, &guest, kept)?;
        let note = get_within(port, "/read?/data/note", FIRST_ANSWER)?;
        ensure!(note.contains("probe"), "{note}");
        let why = client.ssh("core", "core", &["why"])?;
        ensure!(why.output.starts_with("update: "), "{why:?}");
        let refused = client.ssh("core", "core", &["update", "check"])?;
        ensure!(
            refused.output.contains("given up on this machine before"),
            "{refused:?}"
        );
        guest.power_off()?;
        let record = staged::record(&disk, up.slot)?;
        ensure!(record.state == State::Bad, "{record:?}");
        Ok(())
    })
}

/// What the new release says of itself, and how the boot history tells it.
fn told(client: &Client, port: u16) -> Result<()> {
    let status = client.ssh("core", "core", &["update"])?;
    ensure!(
        status.output.starts_with(&format!("running  {NEWER} from slot")),
        "{status:?}"
    );
    ensure!(
        status.output.contains(&format!("other    {OLDER} in slot")),
        "{status:?}"
    );
    let why = client.ssh("core", "core", &["why"])?;
    ensure!(why.output.starts_with("update: "), "{why:?}");
    let note = get_within(port, "/read?/data/note", FIRST_ANSWER)?;
    ensure!(note.contains("probe"), "{note}");
    let memory = client.ssh("core", "core", &["services", "update"])?;
    eprintln!("{}\n{}", status.output, memory.output);
    Ok(())
}

/// Nothing of the full images was fetched, and the patch but once.
fn by_patch(server: &WebServer) -> Result<()> {
    let served = server.served()?;
    let whole: u64 = served.iter().map(|(_, bytes)| bytes).sum();
    eprintln!("{} requests, {whole} bytes: {served:?}", served.len());
    if let Some((path, _)) = served.iter().find(|(path, _)| path.ends_with(".frames")) {
        bail!("{path} was fetched");
    }
    ensure!(
        served.iter().any(|(path, _)| path.ends_with(".patch")),
        "no patch was fetched"
    );
    Ok(())
}

/// Asks the container again and again, until it is stopped.
struct Answering {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<u32>>,
}

impl Answering {
    fn start(port: u16) -> Answering {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut answers, mut silent) = (0, 0);
            while !stopped.load(Ordering::Relaxed) {
                // Containers end with the machine, right after the download.
                match get(port, "/ok") {
                    Ok(_) => (answers, silent) = (answers + 1, 0),
                    Err(_) => silent += 1,
                }
                std::thread::sleep(Duration::from_millis(250));
            }
            ensure!(silent < 400, "the container was silent {silent} times in a row");
            Ok(answers)
        });
        Answering { stop, thread }
    }

    fn stop(self) -> Result<u32> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the thread that asks")?
    }
}
