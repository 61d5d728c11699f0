//! runc's arguments.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Keelson's OCI runtime.
#[derive(Debug, Parser)]
#[command(name = "keelson-oci", version)]
pub struct Arguments {
    /// Where states are kept.
    #[arg(long, default_value = "/run/keelson/oci")]
    pub root: PathBuf,
    /// Write failures to this file too.
    #[arg(long)]
    pub log: Option<PathBuf>,
    /// Form of the log: text or json.
    #[arg(long, default_value = "text")]
    pub log_format: String,
    /// Accepted; there is nothing more to say.
    #[arg(long)]
    pub debug: bool,
    /// Not supported.
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// Accepted and without meaning.
    #[arg(long)]
    pub rootless: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a container.
    Create(CreateArguments),
    /// Make a container, start it and, unless detached, wait for its end.
    Run(CreateArguments),
    /// Run the program of a container that was made.
    Start {
        /// Container id.
        id: String,
    },
    /// Send a signal to a container's first process.
    Kill {
        /// To every process.
        #[arg(short, long)]
        all: bool,
        /// Container id.
        id: String,
        /// Name or number.
        #[arg(default_value = "SIGTERM")]
        signal: String,
    },
    /// Remove a container.
    Delete {
        /// Kill it first if it runs; say nothing if there is none.
        #[arg(short, long)]
        force: bool,
        /// Container id.
        id: String,
    },
    /// Freeze a container.
    Pause {
        /// Container id.
        id: String,
    },
    /// Thaw a container.
    Resume {
        /// Container id.
        id: String,
    },
    /// Change a container's limits.
    Update(UpdateArguments),
    /// Run one more process in a container.
    Exec(ExecArguments),
    /// Print a container's state.
    State {
        /// Container id.
        id: String,
    },
    /// List containers.
    List {
        /// table or json.
        #[arg(short, long, default_value = "table")]
        format: String,
        /// Ids only.
        #[arg(short, long)]
        quiet: bool,
    },
    /// List a container's processes.
    Ps {
        /// table or json.
        #[arg(short, long, default_value = "table")]
        format: String,
        /// Container id.
        id: String,
    },
    /// Print what the runtime can do.
    Features,
}

/// Arguments of create and run.
#[derive(Debug, Args)]
pub struct CreateArguments {
    /// Directory of config.json.
    #[arg(short, long, default_value = ".")]
    pub bundle: PathBuf,
    /// Socket that is sent the terminal.
    #[arg(long)]
    pub console_socket: Option<PathBuf>,
    /// Write the first process's number to this file.
    #[arg(long)]
    pub pid_file: Option<PathBuf>,
    /// Do not wait (run only).
    #[arg(short, long)]
    pub detach: bool,
    /// Keep the caller's session keyring.
    #[arg(long)]
    pub no_new_keyring: bool,
    /// Accepted: the root is always pivoted.
    #[arg(long)]
    pub no_pivot: bool,
    /// Accepted and without meaning.
    #[arg(long)]
    pub no_subreaper: bool,
    /// Leave the container after its end (run only).
    #[arg(long)]
    pub keep: bool,
    /// Descriptors beyond 2 that the container keeps.
    #[arg(long, default_value_t = 0)]
    pub preserve_fds: u32,
    /// Container id.
    pub id: String,
}

/// Arguments of exec.
#[derive(Debug, Args)]
pub struct ExecArguments {
    /// Socket that is sent the terminal.
    #[arg(long)]
    pub console_socket: Option<PathBuf>,
    /// Working directory.
    #[arg(long)]
    pub cwd: Option<PathBuf>,
    /// NAME=VALUE, added to the container's.
    #[arg(short, long)]
    pub env: Vec<String>,
    /// Give it a terminal.
    #[arg(short, long)]
    pub tty: bool,
    /// UID or UID:GID.
    #[arg(short, long)]
    pub user: Option<String>,
    /// Further groups.
    #[arg(short = 'g', long)]
    pub additional_gids: Vec<u32>,
    /// A file with the whole OCI process.
    #[arg(short, long)]
    pub process: Option<PathBuf>,
    /// Do not wait.
    #[arg(short, long)]
    pub detach: bool,
    /// Write the process's number to this file.
    #[arg(long)]
    pub pid_file: Option<PathBuf>,
    /// Set no_new_privs.
    #[arg(long)]
    pub no_new_privs: bool,
    /// Capability added to the container's.
    #[arg(short, long)]
    pub cap: Vec<String>,
    /// Descriptors beyond 2 that the process keeps.
    #[arg(long, default_value_t = 0)]
    pub preserve_fds: u32,
    /// Container id.
    pub id: String,
    /// Program and arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// Arguments of update.
#[derive(Debug, Args)]
pub struct UpdateArguments {
    /// A file with an OCI `linux.resources`, `-` for standard input.
    #[arg(short, long)]
    pub resources: Option<PathBuf>,
    /// Bytes; -1: no limit.
    #[arg(long, allow_hyphen_values = true)]
    pub memory: Option<i64>,
    /// Bytes of memory and swap; -1: no limit.
    #[arg(long, allow_hyphen_values = true)]
    pub memory_swap: Option<i64>,
    /// Bytes kept.
    #[arg(long)]
    pub memory_reservation: Option<i64>,
    /// Shares, default 1024.
    #[arg(long)]
    pub cpu_share: Option<u64>,
    /// Microseconds per period; -1: no limit.
    #[arg(long, allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    #[arg(long)]
    pub cpu_period: Option<u64>,
    /// CPUs, as 0-2,4.
    #[arg(long)]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes.
    #[arg(long)]
    pub cpuset_mems: Option<String>,
    /// Processes; -1: no limit.
    #[arg(long, allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// Weight, 10–1000.
    #[arg(long)]
    pub blkio_weight: Option<u16>,
    /// Container id.
    pub id: String,
}
