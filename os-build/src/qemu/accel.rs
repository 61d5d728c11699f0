//! How a machine's instructions are run. Hardware acceleration is used only when asked for, and after a guest has
//! really been started with it: that the device node exists proves nothing.

use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The accelerator of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accel {
    /// QEMU's own translation, which works everywhere.
    #[default]
    Tcg,
    /// The kernel's virtual machine support.
    Kvm,
}

/// What a person may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// Translation only.
    #[default]
    Tcg,
    /// KVM if a guest starts with it, else translation.
    Auto,
}

impl FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Wish, String> {
        match text {
            "tcg" => Ok(Wish::Tcg),
            "auto" => Ok(Wish::Auto),
            other => Err(format!("unknown accelerator {other:?}: tcg or auto")),
        }
    }
}

impl Wish {
    /// Decides, probing where the wish asks for it.
    #[must_use]
    pub fn resolve(self) -> Accel {
        match self {
            Wish::Auto if guest_starts_with_kvm() => Accel::Kvm,
            Wish::Auto | Wish::Tcg => Accel::Tcg,
        }
    }
}

impl Accel {
    /// The value of QEMU's `-accel`.
    #[must_use]
    pub const fn argument(self) -> &'static str {
        match self {
            Accel::Tcg => "tcg",
            Accel::Kvm => "kvm",
        }
    }
}

/// Starts a guest whose firmware says a word on its debug port, and waits for it a few seconds.
fn guest_starts_with_kvm() -> bool {
    const PATIENCE: Duration = Duration::from_secs(5);
    let arguments = [
        "-nodefaults",
        "-display",
        "none",
        "-machine",
        "q35",
        "-accel",
        "kvm",
        "-cpu",
        "max",
        "-m",
        "64",
    ];
    let child = Command::new("qemu-system-x86_64")
        .args(arguments)
        .args([
            "-chardev",
            "stdio,id=word,signal=off",
            "-device",
            "isa-debugcon,iobase=0x402,chardev=word",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    let spoke = child
        .stdout
        .take()
        .is_some_and(|output| speaks_within(output.into(), PATIENCE));
    let _ = child.kill();
    let _ = child.wait();
    spoke
}

fn speaks_within(output: std::os::fd::OwnedFd, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    let left = deadline.saturating_duration_since(Instant::now());
    let mut poll = [rustix::event::PollFd::new(&output, rustix::event::PollFlags::IN)];
    let timeout = rustix::event::Timespec::try_from(left).ok();
    rustix::event::poll(&mut poll, timeout.as_ref()).is_ok_and(|ready| ready > 0)
        && poll
            .iter()
            .any(|entry| entry.revents().contains(rustix::event::PollFlags::IN))
}
