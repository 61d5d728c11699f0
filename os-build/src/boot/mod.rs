//! `os-build boot`: a machine from an image, a container on it, and a page from that container. Each step says what it
//! is, how far it is and how long it took; Ctrl-C powers the machine off in order at any of them.

mod document;
mod fetch;
mod interrupt;
mod lock;
mod nocloud;
mod options;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::demo::{self, PAGE_TITLE};
use crate::disk::region::copy_holes;
use crate::firmware::firmware;
use crate::oci::{Registry, push};
use crate::progress::{Progress, Step, mib};
use crate::qemu::accel::Wish;
use crate::qemu::console::Tee;
use crate::qemu::{Disk, Machine, MachineError, MachineSpec};

pub use document::{Container, RegistryAccess, document};
pub use fetch::client;
pub use interrupt::Interrupt;
pub use nocloud::{volume, volume_with};
pub use options::{Port, PortError};

use fetch::Page;
use lock::Lock;

/// What the system prints when it is up, and when it knows that it will not be.
const UP: &str = "keelson: boot-complete slot=";
const NOT_UP: &str = "keelson: boot-complete cannot be reached";
/// The host as QEMU's user network shows it to the guest.
const HOST: &str = "10.0.2.2";
/// How long the rest of a line takes.
const LINE_PATIENCE: Duration = Duration::from_secs(2);
const BOOT_PATIENCE: Duration = Duration::from_secs(300);
const PAGE_PATIENCE: Duration = Duration::from_secs(300);
const END_PATIENCE: Duration = Duration::from_secs(90);
/// The same for a machine that never came up and may not hear the button.
const SHORT_PATIENCE: Duration = Duration::from_secs(20);
const PRESS_AGAIN: Duration = Duration::from_secs(5);
/// How long the machine is left alone between looks at Ctrl-C.
const GLANCE: Duration = Duration::from_millis(200);
/// The disk of the machine, larger than the image so that the state partition grows as on a real one.
const DISK_BYTES: u64 = 8 << 30;

/// What to run.
#[derive(Debug, Clone)]
pub struct Request {
    /// Disk image; the machine works on a copy.
    pub disk: PathBuf,
    /// Image to run instead of the demonstration.
    pub image: Option<String>,
    /// Ports from the host into the container.
    pub ports: Vec<Port>,
    /// Fetch the page, power off and end.
    pub once: bool,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual processors.
    pub cpus: u8,
    /// How instructions are run.
    pub accel: Wish,
    /// With Secure Boot, keys of this user's and a TPM.
    pub secure: bool,
}

/// Runs the machine until it ends, Ctrl-C, or with `once` until the page was seen.
///
/// # Errors
/// Says which step failed and why; the machine's files then stay for inspection.
pub async fn run(cache: &Cache, request: &Request, progress: Progress) -> Result<()> {
    let missing = || format!("{} is no image; `./just image` makes one", request.disk.display());
    anyhow::ensure!(request.disk.is_file(), missing());
    for port in &request.ports {
        port.check_free()?;
    }
    let interrupt = Interrupt::watch()?;
    let folder = tempfile::Builder::new()
        .prefix("boot-")
        .tempdir_in(cache.folder("machines")?)?;
    match steps(cache, request, progress, folder.path(), &interrupt).await {
        Ok(()) => Ok(()),
        Err(error) if interrupt.seen() => {
            progress.say(&format!("interrupted: {error:#}"));
            Ok(())
        }
        Err(error) => {
            if folder.path().join("console.log").is_file() {
                let kept = keep(folder).context("the machine's files could not be kept")?;
                progress.say(&format!("the machine's files are in {}", kept.display()));
            }
            Err(error)
        }
    }
}

/// Keeps the files of a machine that failed, in the place of those of the failure before.
fn keep(folder: tempfile::TempDir) -> std::io::Result<PathBuf> {
    let kept = folder.path().with_file_name("last-failure");
    match std::fs::remove_dir_all(&kept) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => std::fs::rename(folder.keep(), &kept)?,
    }
    Ok(kept)
}

async fn steps(
    cache: &Cache,
    request: &Request,
    progress: Progress,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<()> {
    let (image, registry) = match &request.image {
        Some(image) => (image.clone(), None),
        None => serve_demo(cache, progress, folder).await?,
    };
    interrupt.check()?;
    let lock = request
        .secure
        .then(|| Lock::new(cache, &request.disk, folder, progress))
        .transpose()?;
    let mut machine = start(
        cache,
        request,
        progress,
        folder,
        &image,
        registry.as_ref(),
        lock.as_ref(),
    )?;
    let outcome = use_machine(&machine, request, progress, interrupt).await;
    let off = power_off(&mut machine, progress);
    outcome?;
    off
}

/// Builds the demonstration's image and puts it into a registry that lives as long as the value returned.
async fn serve_demo(cache: &Cache, progress: Progress, folder: &Path) -> Result<(String, Option<Registry>)> {
    let step = progress.step("container image");
    let image = demo::build(cache, &|what| step.at(what)).context("the demonstration's image")?;
    let bytes: usize = image.blobs.iter().map(|blob| blob.bytes.len()).sum();
    step.done(&format!("nginx, {} in {} blobs", mib(bytes as u64), image.blobs.len()));
    let step = progress.step("registry");
    let registry = Registry::start(folder)?;
    let (name, tag) = ("keelson/demo", "1");
    push(
        &fetch::client()?,
        &format!("http://127.0.0.1:{}", registry.port()),
        name,
        tag,
        &image,
    )
    .await?;
    step.done(&format!("127.0.0.1:{}, {}", registry.port(), image.manifest.digest));
    Ok((format!("{HOST}:{}/{name}:{tag}", registry.port()), Some(registry)))
}

fn start(
    cache: &Cache,
    request: &Request,
    progress: Progress,
    folder: &Path,
    image: &str,
    registry: Option<&Registry>,
    lock: Option<&Lock>,
) -> Result<Machine> {
    let step = progress.step("machine");
    let firmware = firmware(cache).context("firmware")?;
    let (disk, variables, seed) = (
        folder.join("disk.img"),
        folder.join("vars.fd"),
        folder.join("cidata.img"),
    );
    let source = lock.map_or(&request.disk, Lock::disk);
    copy_holes(source, &disk, DISK_BYTES).with_context(|| format!("cannot copy {}", source.display()))?;
    std::fs::copy(&firmware.variables, &variables).context("cannot copy the firmware's variables")?;
    let container = Container {
        image: image.to_owned(),
        ports: request.ports.clone(),
    };
    let access = registry.map(|registry| RegistryAccess {
        host: format!("{HOST}:{}", registry.port()),
        plain_http: true,
    });
    volume(&seed, &checked(document(&container, access.as_ref()))?).context("provisioning volume")?;
    let mut spec = MachineSpec::new(&firmware.code, &variables, Disk::system(&disk));
    spec.disks.push(Disk::read_only(&seed, "keelson-seed"));
    spec.memory_mib = request.memory_mib;
    spec.cpus = request.cpus;
    spec.forwards = Some(request.ports.iter().map(Port::forward).collect());
    spec.accel = request.accel.resolve();
    spec.stop_on_reboot = false;
    if let Some(lock) = lock {
        lock.fit(&mut spec);
    }
    let tee = (!request.once).then(|| Box::new(std::io::stdout()) as Tee);
    let machine = Machine::start(&spec, folder, tee)?;
    step.done(&format!(
        "{} MiB, {} cpu, {}",
        request.memory_mib,
        request.cpus,
        spec.accel.argument()
    ));
    Ok(machine)
}

/// The document, if the machine will accept it: the same check that it makes itself.
fn checked(document: String) -> Result<String> {
    let verdict = keelson_machine_config::validate("user-data", document.as_bytes());
    if verdict.accepted.is_none() {
        let lines = verdict.report.lines().collect::<Vec<_>>().join("\n");
        bail!("the machine would refuse its document:\n{lines}\n\n{document}");
    }
    Ok(document)
}

async fn use_machine(machine: &Machine, request: &Request, progress: Progress, interrupt: &Interrupt) -> Result<()> {
    // With the machine's console on the screen, a bar would only be in the way.
    let shown = if request.once { progress } else { Progress::silent() };
    let begun = Instant::now();
    let step = shown.step("boot");
    wait_up(machine, &step, interrupt)?;
    step.done("boot-complete");
    let Some(port) = request.ports.iter().find(|port| port.is_tcp()) else {
        return stay(machine, request, progress, interrupt);
    };
    let step = shown.step("page");
    let page = wait_page(machine, *port, &step, interrupt, request.image.is_none()).await;
    match page {
        Ok(page) => {
            step.done(&page.status);
            let seconds = begun.elapsed().as_secs_f64();
            progress.say(&format!(
                "\n{} answered {seconds:.1} s after the machine was started:\n",
                port.url()
            ));
            progress.say(&page.excerpt());
        }
        // Somebody's own image may well serve something else than pages.
        Err(error) if !request.once && !interrupt.seen() => progress.say(&format!("{error:#}")),
        Err(error) => return Err(error),
    }
    stay(machine, request, progress, interrupt)
}

fn wait_up(machine: &Machine, step: &Step, interrupt: &Interrupt) -> Result<()> {
    let deadline = Instant::now() + BOOT_PATIENCE;
    loop {
        interrupt.check()?;
        match machine.wait_for_any(0, &[UP, NOT_UP], GLANCE) {
            Ok((0, _)) => return Ok(()),
            Ok((_, end)) => {
                let _ = machine.wait_for(end, "\n", LINE_PATIENCE);
                bail!(
                    "the machine did not come up. Last lines of the console:\n{}",
                    machine.tail()
                );
            }
            Err(error) if machine.ended() || Instant::now() >= deadline => {
                return Err(error).context("the machine did not come up");
            }
            Err(_) => step.at(&machine.console().last_line()),
        }
    }
}

async fn wait_page(machine: &Machine, port: Port, step: &Step, interrupt: &Interrupt, is_demo: bool) -> Result<Page> {
    let client = fetch::client()?;
    let deadline = Instant::now() + PAGE_PATIENCE;
    loop {
        interrupt.check()?;
        let answer = fetch::page(&client, &port.url()).await;
        match answer {
            Ok(page) if !is_demo || page.body.contains(PAGE_TITLE) => return Ok(page),
            Ok(page) => bail!(
                "{} answered {} with something else than our page",
                port.url(),
                page.status
            ),
            Err(error) if machine.ended() || Instant::now() >= deadline => {
                bail!(
                    "{} does not answer: {error:#}. Last lines of the console:\n{}",
                    port.url(),
                    machine.tail()
                );
            }
            Err(_) => step.at(&machine.console().last_line()),
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Leaves the machine to its user until Ctrl-C or until it ends by itself.
fn stay(machine: &Machine, request: &Request, progress: Progress, interrupt: &Interrupt) -> Result<()> {
    if request.once {
        return Ok(());
    }
    let urls = request.ports.iter().map(Port::url).collect::<Vec<_>>().join("  ");
    progress.say(&format!(
        "\nThe machine is running. Reach it at {urls}\nCtrl-C powers it off.\n"
    ));
    while !interrupt.seen() && !machine.ended() {
        std::thread::sleep(GLANCE);
    }
    Ok(())
}

fn power_off(machine: &mut Machine, progress: Progress) -> Result<()> {
    if machine.ended() {
        progress.say("the machine has ended");
        return Ok(());
    }
    let step = progress.step("power off");
    let was_up = machine.console().count(UP) > 0;
    match press_until_off(machine, if was_up { END_PATIENCE } else { SHORT_PATIENCE }) {
        Ok(status) if status.success() => step.done("clean"),
        Ok(status) => bail!("QEMU ended with {status}"),
        Err(_) if !was_up => step.done("cut: the machine had not come up and did not answer the power button"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// A machine early in its boot does not hear the button yet, so it is pressed again and again.
fn press_until_off(machine: &mut Machine, patience: Duration) -> Result<ExitStatus, MachineError> {
    let deadline = Instant::now() + patience;
    loop {
        // A machine that is just ending has no button any more; waiting tells.
        let _ = machine.press_power_button();
        match machine.wait_for_end(PRESS_AGAIN) {
            Err(_) if Instant::now() < deadline => {}
            outcome => return outcome,
        }
    }
}
