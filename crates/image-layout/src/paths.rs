//! Absolute paths the system's programs agree on.

/// The release description in the initramfs and in the root.
pub const RELEASE: &str = "/keelson/release.json";
/// Order of modules the initramfs always loads, one name a line.
pub const INITRD_MODULES: &str = "/keelson/modules";
/// Where the programs are.
pub const PROGRAMS: &str = "/usr/bin";
/// PID 1 of the real root.
pub const INIT: &str = "/usr/bin/keelson-init";
/// Unit files.
pub const UNITS: &str = "/usr/lib/keelson/units";
/// Unit files that an installation medium has beside them.
pub const MEDIUM_UNITS: &str = "/usr/lib/keelson/medium-units";
/// What `/etc` is filled with before configuration is applied.
pub const ETC_BASE: &str = "/usr/share/keelson/etc";
/// The pristine state file system, packed; what an installation starts a machine's state from.
pub const STATE_TEMPLATE: &str = "/usr/share/keelson/state-template";
/// Who may sign releases: the root of the update metadata that a fresh machine begins with. Missing in an image that does
/// not update itself.
pub const UPDATE_ROOT: &str = "/usr/share/keelson/update/root.json";
/// The roots that lead to it, and it itself: `N.root.json`.
pub const UPDATE_ROOTS: &str = "/usr/share/keelson/update/roots";
/// Where the update agent answers.
pub const UPDATE_SOCKET: &str = "/run/keelson/update.sock";
/// Where the installing program answers.
pub const INSTALL_SOCKET: &str = "/run/keelson/install.sock";
/// Kernel modules, one directory per release.
pub const MODULES: &str = "/usr/lib/modules";
/// Repairs the state partition, bounded in time.
pub const E2FSCK: &str = "/usr/sbin/e2fsck.static";

/// Run-time directory of the system.
pub const RUN: &str = "/run/keelson";
/// What the initramfs found and did, JSON ([`crate::BootFacts`]).
pub const BOOT_FACTS: &str = "/run/keelson/boot.json";
/// PID 1's control socket.
pub const CONTROL: &str = "/run/keelson/control";
/// Readiness datagrams (`NOTIFY_SOCKET`).
pub const NOTIFY: &str = "/run/keelson/notify";
/// Exists once the drivers of storage controllers have looked at what hangs on them.
pub const STORAGE_DETECTED: &str = "/run/keelson/storage-detected";
/// Made by who looks for disks: their drivers may be held back until then.
pub const STORAGE_WANTED: &str = "/run/keelson/storage-wanted";
/// Made when the boot is complete.
pub const BOOT_COMPLETE: &str = "/run/keelson/boot-complete";
/// Exists from before the first unit is stopped for the end of the machine; `reboot` or `power-off`.
pub const SHUTTING_DOWN: &str = "/run/keelson/shutting-down";
/// The configuration in force, JSON.
pub const MACHINE_CONFIG: &str = "/run/keelson/config/machine.json";
/// How applying the configuration went, JSON.
pub const CONFIG_STATUS: &str = "/run/keelson/config/status.json";
/// Where what a metadata service says is handed over.
pub const METADATA_SOCKET: &str = "/run/keelson/config/metadata.sock";
/// Secret values, one file each, for the one program that needs it.
pub const RUN_SECRETS: &str = "/run/keelson/secrets";
/// The engine's API.
pub const ENGINE_SOCKET: &str = "/run/docker.sock";
/// The system bus.
pub const BUS_SOCKET: &str = "/run/dbus/system_bus_socket";
/// What each running container was granted on the system bus ([`crate::BusAccess`]), one file each, named by its id.
pub const BUS_GRANTS: &str = "/run/keelson/bus";
/// Journal: questions.
pub const JOURNAL_QUERY: &str = "/run/keelson/journal.sock";
/// Journal: native protocol.
pub const JOURNAL_NATIVE: &str = "/run/systemd/journal/socket";
/// Journal: standard output of services.
pub const JOURNAL_STDOUT: &str = "/run/systemd/journal/stdout";
/// Journal: syslog datagrams (`/dev/log` points here).
pub const JOURNAL_SYSLOG: &str = "/run/systemd/journal/dev-log";
/// What the network service tells others, and its sockets.
pub const RUN_NETD: &str = "/run/keelson/netd";
/// What the network service knows, JSON.
pub const NETD_STATUS: &str = "/run/keelson/netd/status.json";
/// The resolver's record socket.
pub const RESOLVER_SOCKET: &str = "/run/keelson/netd/resolver.sock";

/// The state partition.
pub const STATE: &str = "/state";
/// Format of the state tree.
pub const STATE_LAYOUT: &str = "/state/layout";
/// Machine id, 32 hexadecimal digits.
pub const MACHINE_ID: &str = "/state/machine/id";
/// Seed of the kernel's generator.
pub const MACHINE_SEED: &str = "/state/machine/seed";
/// The key by which SSH clients know this machine.
pub const SSH_HOST_KEY: &str = "/state/machine/ssh/ed25519";
/// Last saved time, seconds since 1970.
pub const CLOCK: &str = "/state/time/clock";
/// Configuration generations.
pub const CONFIG: &str = "/state/config";
/// Secret values that survive a reboot.
pub const SECRETS: &str = "/state/secrets";
/// Boot history.
pub const BOOT: &str = "/state/boot";
/// What booted, and why each boot ended, JSON ([`crate::boot_history::History`]).
pub const BOOT_HISTORY: &str = "/state/boot/history";
/// What PID 1 leaves at an orderly end, JSON ([`crate::boot_history::Ending`]).
pub const BOOT_ENDING: &str = "/state/boot/ending";
/// What the update agent keeps: trusted metadata, the operator's hold.
pub const UPDATE: &str = "/state/update";
/// Journal store.
pub const JOURNAL: &str = "/state/journal";
/// Engine store.
pub const CONTAINERS: &str = "/state/containers";
