//! Every key that a `#cloud-config` may have at its top, with the one verdict that it gets here.
//!
//! The table is the whole truth: what is not in it does not exist. The page `docs/formats/cloud-config.md` is written
//! from it.

use super::walk::Walk;
use super::{access, files, machine, packages, power, users};
use crate::yaml::Entry;

/// A key at the top.
#[derive(Clone, Copy)]
pub(crate) struct Topic {
    pub(crate) key: &'static str,
    pub(crate) treatment: Treatment,
}

/// What becomes of a key.
#[derive(Clone, Copy)]
pub(crate) enum Treatment {
    /// It is read, and does what the words say.
    Honoured(fn(&mut Walk, &Entry<'_>), &'static str),
    /// It has no effect here, for this reason; the document is accepted.
    Noted(&'static str),
    /// What it asks for cannot be done here, which refuses the document; and what does the same.
    Refused(&'static str, &'static str),
    /// As [`Treatment::Refused`]; its value is read for what does the same as what stands there.
    RefusedFor(fn(&mut Walk, &Entry<'_>), &'static str, &'static str),
}

use Treatment::{Honoured, Noted, Refused, RefusedFor};

const fn topic(key: &'static str, treatment: Treatment) -> Topic {
    Topic { key, treatment }
}

const NO_PACKAGES: &str = "nothing can be installed: the system is an immutable image";
const RUN_CONTAINER: &str = "run it as a container: `[container.NAME]` in a native document";
const NO_COMMANDS: &str = "no command can be run: the system has neither shell nor interpreter";
const DISKS: &str = "disks are not laid out by a document";
const VOLUMES: &str = "declare a volume and mount it into a container: `[volume.NAME]` in a native document";
const OWN_HOST_KEYS: &str = "the machine makes its host keys once and keeps them";
const ANSWERED: &str = "the data source is found by the machine itself";
const NO_SOURCES: &str = "there is no package manager";
const LOGS: &str = "everything is in the journal";
const FOREIGN: &str = "this belongs to another system's dialect";
const NATIVE: &str = "write a native document; it begins with `schema = 1`";

/// The table, in alphabetical order.
pub(crate) const TOPICS: &[Topic] = &[
    topic(
        "allow_public_ssh_keys",
        Honoured(
            access::public_keys,
            "only `true`: the metadata's keys are core's unless the document gives it some",
        ),
    ),
    topic("ansible", Refused("Ansible is not run here", RUN_CONTAINER)),
    topic("apk_repos", Noted(NO_SOURCES)),
    topic("apt", Noted(NO_SOURCES)),
    topic("apt_pipelining", Noted(NO_SOURCES)),
    topic("apt_reboot_if_required", Noted(NO_SOURCES)),
    topic("apt_update", Noted(NO_SOURCES)),
    topic("apt_upgrade", Noted(NO_SOURCES)),
    topic("authkey_hash", Noted("keys are not printed")),
    topic("autoinstall", Refused(FOREIGN, NATIVE)),
    topic("bootcmd", Refused(NO_COMMANDS, RUN_CONTAINER)),
    topic("byobu_by_default", Noted("there are no shells")),
    topic("ca-certs", Honoured(machine::authorities, "as `ca_certs`")),
    topic(
        "ca_certs",
        Honoured(machine::authorities, "`trusted` becomes `[trust] ca`"),
    ),
    topic("chef", Refused("Chef is not run here", RUN_CONTAINER)),
    topic(
        "chpasswd",
        Honoured(
            access::passwords,
            "only `expire`, which has no effect; passwords are refused",
        ),
    ),
    topic("cloud_config_modules", Noted("there are no modules")),
    topic("cloud_dir", Noted("there is no such directory")),
    topic("cloud_final_modules", Noted("there are no modules")),
    topic("cloud_init_modules", Noted("there are no modules")),
    topic("coreos", Refused(FOREIGN, NATIVE)),
    topic("create_hostname_file", Noted("`/etc/hostname` is always written")),
    topic("datasource", Noted(ANSWERED)),
    topic("datasource_list", Noted(ANSWERED)),
    topic("debug", Noted(LOGS)),
    topic("def_log_file", Noted(LOGS)),
    topic("device_aliases", Refused(DISKS, VOLUMES)),
    topic(
        "disable_ec2_metadata",
        Noted("no container is told of it; a firewall is not set by a document"),
    ),
    topic(
        "disable_root",
        Honoured(access::disable_root, "only `true`: root never logs in"),
    ),
    topic("disable_root_opts", Noted("root never logs in")),
    topic("disk_setup", Refused(DISKS, VOLUMES)),
    topic(
        "drivers",
        Refused("drivers are the image's", "use an image that has the driver"),
    ),
    topic(
        "fan",
        Refused("there is no fan network", "publish the ports of containers"),
    ),
    topic("final_message", Noted("the console says when the boot is complete")),
    topic("fqdn", Honoured(machine::fqdn, "`[system] fqdn`")),
    topic("fs_setup", Refused(DISKS, VOLUMES)),
    topic(
        "groups",
        Honoured(
            users::groups,
            "members of wheel, sudo and docker are operators; other groups have no effect",
        ),
    ),
    topic("growpart", Noted("the partitions are the image's")),
    topic("grub-dpkg", Noted("the boot loader is the image's")),
    topic("grub_dpkg", Noted("the boot loader is the image's")),
    topic("hostname", Honoured(machine::hostname, "`[system] hostname`")),
    topic("install", Refused(FOREIGN, NATIVE)),
    topic("k3os", Refused(FOREIGN, NATIVE)),
    topic("k3s", Refused(FOREIGN, NATIVE)),
    topic("keyboard", Noted("nobody types at the console")),
    topic(
        "landscape",
        Refused(
            "Landscape does not manage this system",
            "ask the machine itself: `ssh core@HOST status`",
        ),
    ),
    topic("launch-index", Noted("one document is for one machine")),
    topic("locale", Noted("nothing here has a language to choose")),
    topic("locale_configfile", Noted("nothing here has a language to choose")),
    topic("log_cfgs", Noted(LOGS)),
    topic("lxd", Refused("LXD is not run here", RUN_CONTAINER)),
    topic(
        "manage_etc_hosts",
        Noted("`/etc/hosts` always holds the machine's names"),
    ),
    topic(
        "manage_resolv_conf",
        Refused(
            "name servers are part of the network",
            "give a network-config with `nameservers`",
        ),
    ),
    topic("mcollective", Refused("MCollective is not run here", RUN_CONTAINER)),
    topic("merge_how", Noted("there is one document")),
    topic("merge_type", Noted("there is one document")),
    topic("migrate", Noted("there is nothing to migrate")),
    topic("mount_default_fields", Noted("there are no mounts")),
    topic("mounts", Refused(DISKS, VOLUMES)),
    topic(
        "network",
        Refused(
            "the network is not part of user-data",
            "give it as network-config beside the document",
        ),
    ),
    topic(
        "no_ssh_fingerprints",
        Noted("the console shows the host keys' fingerprints"),
    ),
    topic(
        "ntp",
        Honoured(machine::time, "`servers`, then `pools`, become `[time] servers`"),
    ),
    topic("output", Noted(LOGS)),
    topic("package_reboot_if_required", Noted(NO_SOURCES)),
    topic("package_update", Noted(NO_SOURCES)),
    topic("package_upgrade", Noted(NO_SOURCES)),
    topic(
        "packages",
        Honoured(
            packages::packages,
            "packages of what the image has already (Docker, Podman, SSH, time) have no effect; others are refused",
        ),
    ),
    topic(
        "password",
        Refused("nobody logs in with a password", "give a key: `ssh_authorized_keys`"),
    ),
    topic(
        "phone_home",
        Noted("nothing is reported; ask the machine: `ssh core@HOST status --json`"),
    ),
    topic(
        "power_state",
        Honoured(power::power_state, "`[power]`; a command as `condition` is refused"),
    ),
    topic(
        "prefer_fqdn_over_hostname",
        Honoured(machine::prefer_fqdn, "the full name is the host name"),
    ),
    topic(
        "preserve_hostname",
        Honoured(
            machine::preserve_hostname,
            "only `false`; `true` has no effect: the document names the machine at each boot",
        ),
    ),
    topic("puppet", Refused("Puppet is not run here", RUN_CONTAINER)),
    topic("rancher", Refused(FOREIGN, NATIVE)),
    topic("random_seed", Noted("the machine keeps a seed of its own")),
    topic("raspi", Noted("the firmware is not set by a document")),
    topic("reporting", Noted(LOGS)),
    topic("resize_rootfs", Noted("the root file system is immutable")),
    topic(
        "resolv_conf",
        Refused(
            "name servers are part of the network",
            "give a network-config with `nameservers`",
        ),
    ),
    topic("rh_subscription", Noted(NO_SOURCES)),
    topic("rpi", Noted("the firmware is not set by a document")),
    topic(
        "rsyslog",
        Refused(
            "logs are not sent anywhere",
            "read them with `ssh core@HOST logs --json`, or run a collector as a container",
        ),
    ),
    topic(
        "runcmd",
        RefusedFor(
            packages::commands,
            NO_COMMANDS,
            "what does the same as these commands; where nothing does, a container: `[container.NAME]` in a native document",
        ),
    ),
    topic("salt_minion", Refused("Salt is not run here", RUN_CONTAINER)),
    topic("snap", Refused(NO_PACKAGES, RUN_CONTAINER)),
    topic("spacewalk", Noted(NO_SOURCES)),
    topic(
        "ssh",
        Noted("the console shows the host keys' fingerprints, never the keys"),
    ),
    topic(
        "ssh_authorized_keys",
        Honoured(access::core_keys, "`[ssh] keys`: keys of the operator core"),
    ),
    topic("ssh_deletekeys", Noted(OWN_HOST_KEYS)),
    topic(
        "ssh_fp_console_blacklist",
        Noted("the console shows the host keys' fingerprints"),
    ),
    topic("ssh_genkeytypes", Noted(OWN_HOST_KEYS)),
    topic(
        "ssh_import_id",
        Refused(
            "keys are not fetched from the network",
            "put them into `ssh_authorized_keys`",
        ),
    ),
    topic(
        "ssh_key_console_blacklist",
        Noted("the console shows the host keys' fingerprints"),
    ),
    topic(
        "ssh_keys",
        Refused(OWN_HOST_KEYS, "leave the keys out, and treat them as disclosed"),
    ),
    topic(
        "ssh_publish_hostkeys",
        Noted("the console shows the host keys' fingerprints"),
    ),
    topic(
        "ssh_pwauth",
        Honoured(access::password_login, "only `false`: nobody logs in with a password"),
    ),
    topic("ssh_quiet_keygen", Noted(OWN_HOST_KEYS)),
    topic("ssh_svcname", Noted("there is one SSH server, the system's own")),
    topic("stages", Refused(FOREIGN, NATIVE)),
    topic("storage", Refused(FOREIGN, NATIVE)),
    topic(
        "swap",
        Refused(
            "there is no swap",
            "bound what containers use: `limits` in a native document",
        ),
    ),
    topic("syslog_fix_perms", Noted(LOGS)),
    topic("system_info", Noted("the built-in operator is core")),
    topic("timezone", Honoured(machine::timezone, "`[system] timezone`")),
    topic("ubuntu_advantage", Noted(NO_SOURCES)),
    topic("ubuntu_pro", Noted(NO_SOURCES)),
    topic("unverified_modules", Noted("there are no modules")),
    topic("updates", Noted("the network is applied at each boot")),
    topic(
        "user",
        Refused(
            "the built-in operator is core and stays it",
            "declare further users under `users`",
        ),
    ),
    topic(
        "users",
        Honoured(users::users, "`[[user]]`; `default` is the operator core"),
    ),
    topic("vendor_data", Honoured(machine::vendor_data, "only `enabled: true`")),
    topic("vendor_data2", Honoured(machine::vendor_data, "only `enabled: true`")),
    topic("version", Noted("there is one version of the format")),
    topic("warnings", Noted(LOGS)),
    topic(
        "wireguard",
        Refused("there is no WireGuard", "reach the machine by SSH"),
    ),
    topic(
        "write_files",
        Honoured(files::write_files, "`[[file]]`, below `/etc`, `/opt` and `/srv`"),
    ),
    topic("yum_repo_dir", Noted(NO_SOURCES)),
    topic("yum_repos", Noted(NO_SOURCES)),
    topic("zypper", Noted(NO_SOURCES)),
];

/// What a name within one of the maps below the top may be.
#[derive(Clone, Copy)]
pub(crate) enum Field {
    /// It is read.
    Read,
    /// It has no effect here.
    Noted(&'static str),
    /// It refuses the document.
    Refused(&'static str, &'static str),
}

/// The names within one kind of map.
pub(crate) type Fields = &'static [(&'static str, Field)];

/// The maps below the top, for the reference page: where they stand, and their names.
pub(crate) const MAPS: [(&str, Fields); 7] = [
    ("users[]", users::FIELDS),
    ("write_files[]", files::FIELDS),
    ("ntp", machine::TIME),
    ("ca_certs", machine::AUTHORITIES),
    ("power_state", power::FIELDS),
    ("chpasswd", access::PASSWORDS),
    ("vendor_data", machine::VENDOR_DATA),
];
