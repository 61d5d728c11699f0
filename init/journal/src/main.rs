//! `keelson-journald`: opens the store, takes the sockets PID 1 keeps for it, runs the loop.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use keelson_image_layout::paths;
use keelson_journald::Store;
use keelson_journald::server::{Server, Sockets};
use keelson_journald::store::Limits;
use keelson_sys::passed_fds;

/// Where the journal goes when the state partition cannot be written.
const FALLBACK: &str = "/run/keelson/journal-store";
/// Size of a journal in memory.
const IN_MEMORY: Limits = Limits {
    total: 8 << 20,
    segment: 512 << 10,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error leads to the journal itself; the kernel's log is read by whoever looks for the reason.
            let _ = fs::write("/dev/kmsg", format!("<3>keelson-journald: {error:#}\n"));
            eprintln!("keelson-journald: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let directory = std::env::args()
        .nth(1)
        .map_or_else(|| PathBuf::from(paths::JOURNAL), PathBuf::from);
    let mut sockets = Sockets::default();
    for (name, socket) in passed_fds::take() {
        match name.as_str() {
            "native" => sockets.native = Some(socket),
            "syslog" => sockets.syslog = Some(socket),
            "stdout" => sockets.stdout = Some(socket),
            "query" => sockets.query = Some(socket),
            _ => {}
        }
    }
    sockets.kernel = open_kernel_log();
    let store = open_store(&directory)?;
    Server::new(sockets, store, host_fields())
        .context("prepare the loop")?
        .run()
        .context("run the loop")
}

/// The store on the state partition, or one in memory if that cannot be written.
fn open_store(directory: &Path) -> Result<Store> {
    let boot = boot_id().context("read the boot id")?;
    let limits = fs::create_dir_all(directory)
        .and_then(|()| Ok(rustix::fs::statvfs(directory)?))
        .map(|stat| Limits::for_file_system(stat.f_blocks.saturating_mul(stat.f_frsize)));
    match limits.and_then(|limits| Store::open(directory, limits, boot)) {
        Ok(store) => Ok(store),
        Err(error) => {
            keelson_notify::status(&format!(
                "in memory only: {} cannot be used: {error}",
                directory.display()
            ));
            Store::open(Path::new(FALLBACK), IN_MEMORY, boot).with_context(|| format!("open {FALLBACK}"))
        }
    }
}

fn open_kernel_log() -> Option<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open("/dev/kmsg", flags, Mode::empty()).ok()
}

/// The kernel's id of this boot.
fn boot_id() -> Result<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    Ok(u128::from_str_radix(&digits, 16)
        .context("the boot id is not hexadecimal")?
        .to_be_bytes())
}

/// What every entry says of this machine.
fn host_fields() -> Vec<(&'static str, String)> {
    let machine = fs::read_to_string(paths::MACHINE_ID).or_else(|_| fs::read_to_string("/etc/machine-id"));
    let host = fs::read_to_string("/proc/sys/kernel/hostname");
    [("_MACHINE_ID", machine), ("_HOSTNAME", host)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.ok()?.trim().to_owned())))
        .collect()
}
