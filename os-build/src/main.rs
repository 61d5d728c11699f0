//! The command `os-build`: reads its arguments and hands over to the library.

mod locked;
mod update;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use keelson_os_build::cache::Cache;
use keelson_os_build::flavour::Flavour;
use keelson_os_build::format::Format;
use keelson_os_build::progress::{Progress, mib};
use keelson_os_build::qemu::accel::Wish;
use keelson_os_build::{boot, firmware, image, inspect, install, sbom};

/// Builds, inspects and runs disk images of Keelson.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build a disk image
    Image(ImageArguments),
    /// Print what is on a disk, slot by slot
    Inspect {
        /// Disk image or block device
        disk: PathBuf,
    },
    /// Print the bill of materials of a disk (SPDX 2.3, JSON): who owns each byte
    Sbom {
        /// Raw disk image
        disk: PathBuf,
        /// The repository its programs were built from
        #[arg(long, default_value = ".")]
        source: PathBuf,
    },
    /// Erase a disk of this host and put an image onto it, with identities of its own
    Install(InstallArguments),
    /// Fetch the UEFI firmware for virtual machines and print where it is
    Firmware,
    /// Make the keys of Secure Boot and of updates, and change who signs releases
    Keys(locked::KeysArguments),
    /// Make the variable store of a virtual machine that starts only what the keys signed
    Enrol(locked::EnrolArguments),
    /// Sign boot loader and boot entries of a disk image, or one file
    Sign(locked::SignArguments),
    /// Predict what a TPM measures of a boot entry and the boot that follows (register 11)
    Measure(locked::MeasureArguments),
    /// Add a release to a repository that machines update themselves from
    Release(update::ReleaseArguments),
    /// Change what a channel offers, halt it, and sign again what expires within a day
    Rollout(update::RolloutArguments),
    /// Serve a folder on this host, with faults on demand
    Serve(update::ServeArguments),
    /// Boot an image in QEMU, run a container on it and fetch its page
    Boot(BootArguments),
}

#[derive(Args)]
struct ImageArguments {
    /// Where the image goes; its build record goes beside it
    #[arg(long)]
    out: PathBuf,
    /// Kind of machine: `cloud`, or `metal` for real disks and network cards
    #[arg(long, default_value = "cloud")]
    flavour: Flavour,
    /// Form of the image: raw, raw.zst, qcow2, vmdk or vhd
    #[arg(long, default_value = "raw")]
    format: Format,
    /// Make the medium that installs the release: for a USB stick or an optical drive, as it is
    #[arg(long)]
    installer: bool,
    /// Folder with the built programs
    #[arg(long, default_value = "target/x86_64-unknown-linux-gnu/release")]
    programs: PathBuf,
    /// The repository
    #[arg(long, default_value = ".")]
    source: PathBuf,
    /// Version of the release
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    version: String,
    /// Time of the release in seconds since 1970 [default: SOURCE_DATE_EPOCH, else when the kernel was packaged]
    #[arg(long)]
    time: Option<u64>,
    /// Root of the update metadata that the image shall trust (`os-build keys begin` makes it)
    #[arg(long, value_name = "FILE")]
    update_root: Option<PathBuf>,
    /// Leave out programs that are not built
    #[arg(long)]
    allow_missing: bool,
    /// Ask the archive for newer packages now
    #[arg(long)]
    refresh: bool,
}

#[derive(Args)]
struct InstallArguments {
    /// Block device, or a file that stands for one
    device: PathBuf,
    /// Raw disk image
    #[arg(long)]
    image: PathBuf,
    /// The disk's word, for which everything on it is erased: its serial number, or its name if it has none
    #[arg(long)]
    erase: Option<String>,
    /// Provisioning document for the machine
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct BootArguments {
    /// Disk image; the machine works on a copy
    #[arg(long)]
    disk: PathBuf,
    /// Image to run, of any registry [default: nginx, from a registry of its own]
    #[arg(long)]
    image: Option<String>,
    /// Port of this host that leads to a port of the container: HOST:CONTAINER[/udp]
    #[arg(long = "port", default_value = "8080:80")]
    ports: Vec<boot::Port>,
    /// Fetch the page, power the machine off and end
    #[arg(long)]
    once: bool,
    /// Memory in MiB
    #[arg(long, default_value_t = 1024)]
    memory: u32,
    /// Virtual processors
    #[arg(long, default_value_t = 1)]
    cpus: u8,
    /// `tcg`, or `auto` to use KVM if a guest starts with it
    #[arg(long, default_value = "tcg")]
    accel: Wish,
    /// Lock the machine: Secure Boot with keys of your own, and a TPM
    #[arg(long)]
    secure: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "os-build: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Image(arguments) => build_image(arguments),
        Command::Boot(arguments) => boot_machine(arguments),
        Command::Keys(arguments) => print(&locked::keys(arguments)?),
        Command::Release(arguments) => print(&update::release(arguments)?),
        Command::Rollout(arguments) => update::rollout(arguments),
        Command::Serve(arguments) => update::serve(arguments),
        Command::Enrol(arguments) => locked::enrol(&arguments),
        Command::Sign(arguments) => locked::sign(&arguments),
        Command::Measure(arguments) => print(&locked::measure(&arguments)?),
        Command::Inspect { disk } => print(&inspect::inspect(&disk)?.to_string()),
        Command::Sbom { disk, source } => {
            let text = sbom::text(&sbom::describe(&disk, &source)?)?;
            print(&String::from_utf8_lossy(&text))
        }
        Command::Install(arguments) => {
            let request = install::Request {
                device: arguments.device,
                image: arguments.image,
                erase: arguments.erase,
                config: arguments.config,
            };
            install::run(&request, Progress::to_stderr())
        }
        Command::Firmware => {
            let found = firmware::firmware(&Cache::of_user()?)?;
            print(&format!("{}\n{}\n", found.code.display(), found.variables.display()))
        }
    }
}

fn boot_machine(arguments: BootArguments) -> Result<()> {
    let request = boot::Request {
        disk: arguments.disk,
        image: arguments.image,
        ports: arguments.ports,
        once: arguments.once,
        memory_mib: arguments.memory,
        cpus: arguments.cpus,
        accel: arguments.accel,
        secure: arguments.secure,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(boot::run(&Cache::of_user()?, &request, Progress::to_stderr()))
}

fn build_image(arguments: ImageArguments) -> Result<()> {
    let progress = Progress::to_stderr();
    let request = image::Request {
        out: arguments.out,
        flavour: arguments.flavour,
        format: arguments.format,
        installer: arguments.installer,
        programs: arguments.programs,
        source: arguments.source,
        version: arguments.version,
        time: arguments.time.or_else(time_of_environment),
        update_root: arguments.update_root,
        allow_missing: arguments.allow_missing,
        refresh: arguments.refresh,
    };
    let record = image::build(&Cache::of_user()?, &request, progress)?;
    if !record.missing.is_empty() {
        progress.say(&format!("left out, not built: {}", record.missing.join(", ")));
    }
    progress.say(&format!(
        "Keelson {} {}: root {}, boot entry {}, {} executables",
        record.version,
        record.flavour,
        mib(record.root_bytes),
        mib(record.entry_bytes),
        record.executables.len()
    ));
    Ok(())
}

fn time_of_environment() -> Option<u64> {
    std::env::var("SOURCE_DATE_EPOCH").ok()?.parse().ok()
}

fn print(text: &str) -> Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")
}
