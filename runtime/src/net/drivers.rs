//! The kernel modules of bridge and table, asked for in one process and in order. Otherwise the kernel asks for them
//! piece by piece while it takes in the table, begins the table anew after each piece, and asks for every earlier piece
//! again: forty processes, and most of the time that the first container on the bridge takes.

use std::path::Path;
use std::process::{Command, Stdio};

const MODPROBE: &str = "/usr/sbin/modprobe";
const MODULES: [&str; 8] = [
    "bridge",
    "nfnetlink",
    "nf_tables",
    "nft_chain_nat",
    "nft_fib_inet",
    "nft_nat",
    "nft_ct",
    "nft_masq",
];

/// Loads them. A failure is left to what needs them: they may be part of the kernel.
pub fn load() {
    if !Path::new(MODPROBE).exists() {
        return;
    }
    let done = Command::new(MODPROBE)
        .args(["-q", "-a"])
        .args(MODULES)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match done {
        Ok(status) if !status.success() => log::info!(status:% = status; "not all network modules were loaded"),
        Err(error) => log::info!(error:% = error; "network modules cannot be asked for"),
        Ok(_) => {}
    }
}
