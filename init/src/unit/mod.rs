//! Unit files as values: what to run, when, as whom, within which limits. Pure; nothing here starts anything.

pub mod file;
pub mod graph;
mod raw;
pub mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use keelson_manager_api::Kind;
use serde::{Deserialize, Serialize};

pub use file::{UnitError, parse};
pub use graph::{Refused, plan_units};

/// Most units a machine may have; keeps every answer of the control socket within a packet.
pub const MOST_UNITS: usize = 64;

/// One unit, as its file says, with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Stem of its file name.
    pub name: String,
    /// What people read.
    pub description: String,
    /// Service, oneshot or target.
    pub kind: Kind,
    /// Started with the machine (`boot = true`, the default), or only on request or when another unit needs it.
    pub boot: bool,
    /// Must be up before it, are started with it; it fails if they fail.
    pub requires: Vec<String>,
    /// Are started with it.
    pub wants: Vec<String>,
    /// If these are being started too, they come first.
    pub after: Vec<String>,
    /// What to run; `None` for a target.
    pub service: Option<Service>,
    /// Limits of its control group.
    pub resources: Resources,
    /// Sockets PID 1 makes and keeps for it.
    pub sockets: Vec<Socket>,
}

/// How a process is run and watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Absolute path and arguments.
    pub exec: Vec<String>,
    /// It is started only while this folder holds something; else its start comes to its end at once, and well.
    pub condition_directory_not_empty: Option<PathBuf>,
    /// What counts as up.
    pub ready: Ready,
    /// When it is started again.
    pub restart: Restart,
    /// First delay; doubles with each failure in a row.
    pub restart_delay: Duration,
    /// Largest delay.
    pub restart_delay_max: Duration,
    /// How many starts within how long before it is given up.
    pub start_limit: StartLimit,
    /// How long it may take to be up.
    pub start_timeout: Duration,
    /// How long it may take to end after the stop signal.
    pub stop_timeout: Duration,
    /// What asks it to end.
    pub stop_signal: Signal,
    /// Who is stopped.
    pub kill: Kill,
    /// `WATCHDOG=1` is expected at least this often.
    pub watchdog: Option<Duration>,
    /// User name or number; its primary group is used.
    pub user: String,
    /// Further groups.
    pub groups: Vec<String>,
    /// Capabilities it keeps. `None`: all for root, none for others.
    pub capabilities: Option<Vec<String>>,
    /// Whether it and its children can never gain privileges.
    pub no_new_privs: bool,
    /// Named system call filter.
    pub seccomp: Seccomp,
    /// Variables beside the ones PID 1 sets.
    pub environment: BTreeMap<String, String>,
    /// Where standard output and error go.
    pub stdout: Stdout,
    /// Whether it may make control groups below its own.
    pub delegate: bool,
    /// Whether its processes may ask PID 1 to start, stop, reboot and so on.
    pub control: bool,
}

/// What counts as up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// `READY=1` on the notify socket.
    Notify,
    /// The program was executed.
    Exec,
    /// The program ended with code 0.
    Exit,
}

/// When a process that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Whatever the reason.
    Always,
    /// After a code other than 0, a signal, a timeout or a missed watchdog.
    OnFailure,
    /// Not at all.
    Never,
}

/// Who is stopped when a unit is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kill {
    /// The main process by signal; then whatever is left in the control group.
    Group,
    /// The main process only; what else runs in the group goes on.
    Main,
}

/// Named system call filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seccomp {
    /// What a daemon needs: files, threads, sockets of the families unix and inet.
    Service,
    /// The same and netlink, packet and raw sockets.
    Network,
    /// As `service`, and kernel modules, and netlink for the kernel's device events.
    Modules,
    /// As `service`, and mounts that have no place in the file tree.
    Mounts,
    /// No filter.
    None,
}

/// Where standard output and error go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stdout {
    /// The journal's stream socket.
    Journal,
    /// The console.
    Console,
    /// Nowhere.
    Null,
}

/// At most `burst` starts within `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartLimit {
    /// Number of starts.
    pub burst: u32,
    /// Length of the window.
    #[serde(with = "value::duration")]
    pub interval: Duration,
}

/// A signal by number, written `SIGTERM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal(pub i32);

/// Limits of a control group; `None` leaves the kernel's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes that are not reclaimed.
    pub memory_min: Option<u64>,
    /// Bytes above which it is killed.
    pub memory_max: Option<u64>,
    /// Number of processes and threads.
    pub pids_max: Option<u32>,
    /// 1 … 10000.
    pub cpu_weight: Option<u32>,
    /// -1000 … 1000.
    pub oom_score_adj: Option<i16>,
}

/// A socket made and kept by PID 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Name in `LISTEN_FDNAMES`.
    pub name: String,
    /// Its type.
    pub kind: SocketKind,
    /// Where it is bound.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// `user:group`.
    pub owner: String,
    /// Whether packets carry their sender's credentials.
    pub pass_credentials: bool,
    /// Bytes of receive buffer.
    pub receive_buffer: Option<u64>,
    /// Whether the unit is started when somebody knocks while it is down.
    #[serde(default)]
    pub starts: bool,
}

/// Types of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SocketKind {
    /// Connections of bytes.
    Stream,
    /// Packets.
    Datagram,
    /// Connections of packets.
    Seqpacket,
}
