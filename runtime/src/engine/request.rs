//! What one container is asked to be: the engine's own words, to which the Docker API and the
//! machine configuration are both lowered, and from which `inspect` is answered.
//!
//! Everything here is wish, not state. It is kept in the container's record, so fields are only
//! ever added, each with a default.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use keelson_image_layout::BusAccess;
use serde::{Deserialize, Serialize};

use super::restart::RestartPolicy;

/// One container as it was asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ContainerRequest {
    /// The image as it was named by the caller.
    pub image: String,
    /// What runs inside, before the image's own configuration is merged in.
    pub process: ProcessRequest,
    /// Host name inside; empty means the first twelve digits of the id.
    pub hostname: String,
    /// Domain name shown by `inspect` and written to `/etc/hosts`.
    pub domainname: String,
    /// Labels of the caller, byte-exact.
    pub labels: BTreeMap<String, String>,
    /// File systems to mount.
    pub mounts: Vec<MountRequest>,
    /// The network and its published ports.
    pub network: NetworkRequest,
    /// Namespaces shared with the host.
    pub namespaces: HostNamespaces,
    /// Rights beyond or below the default.
    pub security: SecurityRequest,
    /// Limits.
    pub limits: Limits,
    /// What happens when it ends.
    pub restart: RestartPolicy,
    /// Remove it, and its anonymous volumes, once it has ended.
    pub auto_remove: bool,
    /// Run a small init as process 1.
    pub init: bool,
    /// Kernel settings inside the container's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// OCI annotations.
    pub annotations: BTreeMap<String, String>,
}

/// The process to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ProcessRequest {
    /// `None` takes the image's; an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// `None` takes the image's unless an entry point was given.
    pub command: Option<Vec<String>>,
    /// `KEY=value`, or `KEY` alone to take one away.
    pub env: Vec<String>,
    /// Variables whose values are secrets of the machine's configuration, by the secret's name:
    /// read when the container starts, kept nowhere.
    pub secret_env: BTreeMap<String, String>,
    /// `user[:group]`, by name or number; empty takes the image's.
    pub user: String,
    /// Empty takes the image's.
    pub workdir: String,
    /// A terminal as standard input and output.
    pub tty: bool,
    /// The terminal's first size: rows, columns.
    pub console_size: Option<[u16; 2]>,
    /// Keep standard input open.
    pub open_stdin: bool,
    /// Close standard input once the first client has gone.
    pub stdin_once: bool,
    /// Signal that asks it to end; `None` takes the image's, else `SIGTERM`.
    pub stop_signal: Option<String>,
    /// Patience before it is killed; `None` is ten seconds, a negative number has no end.
    pub stop_timeout: Option<i64>,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MountRequest {
    /// Where it comes from.
    pub source: MountSource,
    /// Absolute path inside the container.
    pub target: String,
    /// Mounted read-only, all mounts below it included.
    #[serde(default)]
    pub read_only: bool,
}

/// Where a mount comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum MountSource {
    /// A named volume; an anonymous one bears a name of 64 digits.
    Volume {
        /// Its name; empty asks for an anonymous one.
        name: String,
        /// Do not copy the image's content into it.
        #[serde(default)]
        no_copy: bool,
    },
    /// A path of the host.
    Bind {
        /// Absolute path.
        path: String,
        /// Make the directory when it is missing (`-v`), or refuse (`--mount`).
        #[serde(default)]
        create: bool,
        /// `rprivate`, `rslave`, `rshared`, ...; empty is `rprivate`.
        #[serde(default)]
        propagation: String,
    },
    /// Memory.
    Tmpfs {
        /// Options of mount(8), separated by commas.
        #[serde(default)]
        options: String,
    },
}

/// Which network a container is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// The default bridge.
    #[default]
    Bridge,
    /// A namespace of its own with nothing but `lo`.
    None,
    /// The host's network.
    Host,
}

/// The container's place on the network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct NetworkRequest {
    /// Which network.
    pub mode: NetworkMode,
    /// Ports to publish.
    pub publish: Vec<Publish>,
    /// Ports the caller declares as used, published or not.
    pub expose: Vec<ContainerPort>,
    /// Publish every exposed port on a free one.
    pub publish_all: bool,
    /// Name servers instead of the engine's.
    pub dns: Vec<String>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// Options for resolv.conf.
    pub dns_options: Vec<String>,
    /// `name:address` lines for `/etc/hosts`; the address may be `host-gateway`.
    pub extra_hosts: Vec<String>,
}

/// Transport of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

/// A port inside a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerPort {
    /// Port number, never 0.
    pub port: u16,
    /// Transport.
    pub protocol: Protocol,
}

impl std::fmt::Display for ContainerPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol.name())
    }
}

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Publish {
    /// Address of the host; `None` is every address of both families.
    pub host_ip: Option<IpAddr>,
    /// Port of the host; 0 asks for a free one.
    pub host_port: u16,
    /// Port of the container.
    pub container: ContainerPort,
}

/// Namespaces shared with the host instead of the container's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct HostNamespaces {
    /// Processes.
    pub pid: bool,
    /// System V and POSIX message objects.
    pub ipc: bool,
    /// The cgroup tree.
    pub cgroup: bool,
    /// Host name.
    pub uts: bool,
}

/// Rights.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct SecurityRequest {
    /// Every right: no masks, no filter, all devices, all capabilities.
    pub privileged: bool,
    /// Capabilities to add; `ALL` is every one.
    pub cap_add: Vec<String>,
    /// Capabilities to take away; `ALL` is every one.
    pub cap_drop: Vec<String>,
    /// The root file system cannot be written.
    pub read_only: bool,
    /// The process can never gain rights.
    pub no_new_privileges: bool,
    /// Run without the system call filter.
    pub seccomp_unconfined: bool,
    /// Leave `/proc` and `/sys` unmasked.
    pub unmask: bool,
    /// Device nodes of the host.
    pub devices: Vec<DeviceRequest>,
    /// Further groups, by name or number.
    pub groups: Vec<String>,
    /// What it may do on the machine's system bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<BusAccess>,
}

/// One device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceRequest {
    /// Path on the host.
    pub host: String,
    /// Path in the container.
    pub container: String,
    /// Any of `r`, `w`, `m`.
    pub access: String,
}

/// Limits; 0 or `None` means none asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Limits {
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of memory that are protected when others press.
    pub memory_reservation: u64,
    /// Bytes of memory and swap together; -1 is without end, 0 twice the memory.
    pub memory_swap: i64,
    /// Billionths of a processor.
    pub nano_cpus: u64,
    /// Docker's relative weight (2 to 262144, usually 1024).
    pub cpu_shares: u64,
    /// Microseconds of each period.
    pub cpu_quota: i64,
    /// Length of a period in microseconds.
    pub cpu_period: u64,
    /// Processors it may use, as a list of the kernel.
    pub cpuset_cpus: String,
    /// Processes; `None` is the default, 0 or less is without end.
    pub pids: Option<i64>,
    /// Bytes it may write to its own root.
    pub disk: u64,
    /// Bytes of `/dev/shm`; 0 is 64 MiB.
    pub shm: u64,
    /// Score for the out-of-memory killer.
    pub oom_score_adj: i32,
    /// Resource limits of the process.
    pub ulimits: Vec<Ulimit>,
}

impl Limits {
    /// These, but for what `change` names.
    pub fn changed(&self, change: &Limits) -> Limits {
        fn or<T: PartialEq + Default + Clone>(new: &T, old: &T) -> T {
            if *new == T::default() { old.clone() } else { new.clone() }
        }
        Limits {
            memory: or(&change.memory, &self.memory),
            memory_reservation: or(&change.memory_reservation, &self.memory_reservation),
            memory_swap: or(&change.memory_swap, &self.memory_swap),
            nano_cpus: or(&change.nano_cpus, &self.nano_cpus),
            cpu_shares: or(&change.cpu_shares, &self.cpu_shares),
            cpu_quota: or(&change.cpu_quota, &self.cpu_quota),
            cpu_period: or(&change.cpu_period, &self.cpu_period),
            cpuset_cpus: or(&change.cpuset_cpus, &self.cpuset_cpus),
            pids: or(&change.pids, &self.pids),
            ..self.clone()
        }
    }
}

/// One resource limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Lower case, without `RLIMIT_`.
    pub name: String,
    /// Soft limit; -1 is none.
    pub soft: i64,
    /// Hard limit; -1 is none.
    pub hard: i64,
}

/// Patience before a container that was asked to stop is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// This long.
    For(Duration),
    /// For ever.
    Endless,
}

impl Patience {
    /// From Docker's seconds: negative is for ever.
    pub fn from_seconds(seconds: i64) -> Patience {
        match u64::try_from(seconds) {
            Ok(s) => Patience::For(Duration::from_secs(s)),
            Err(_) => Patience::Endless,
        }
    }
}

/// What Docker gives when nothing was said.
pub const DEFAULT_STOP_SECONDS: i64 = 10;

/// Size of `/dev/shm` when nothing was said.
pub const DEFAULT_SHM_BYTES: u64 = 64 << 20;
