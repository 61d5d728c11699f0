//! The modules an image carries, by purpose. What they depend on comes along by itself; a name that does not exist is
//! an error, so that a new kernel cannot lose one silently.

/// Modules for one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// What they are for.
    pub purpose: &'static str,
    /// Their names.
    pub modules: &'static [&'static str],
}

const fn group(purpose: &'static str, modules: &'static [&'static str]) -> Group {
    Group { purpose, modules }
}

/// Loaded by every boot in the initramfs, in this order. SHA-256 comes first: dm-verity takes the implementation that
/// is there when its table is set up.
pub const INITRD_ALWAYS: Group = group(
    "root, ESP, state and last words",
    &[
        "sha256-ssse3",
        "dm-mod",
        "dm-verity",
        "erofs",
        "efivarfs",
        "efi-pstore",
        "quota_v2",
        "vfat",
        "nls_cp437",
        "nls_ascii",
        "nls_utf8",
    ],
);

/// In the initramfs, loaded when a device asks for them.
pub const INITRD_BY_DEVICE: Group = group(
    "disks and watchdog",
    &[
        "virtio_blk",
        "virtio_scsi",
        "sd_mod",
        "ahci",
        "nvme",
        "ext4",
        "i6300esb",
        "vmw_pvscsi",
        "xen-blkfront",
        "hv_storvsc",
        "hv_vmbus",
    ],
);

/// In the root.
pub const ROOT: [Group; 13] = [
    group("root, ESP and state", INITRD_ALWAYS.modules),
    group("disks and watchdog", INITRD_BY_DEVICE.modules),
    group(
        "virtual devices",
        &[
            "virtio_net",
            "virtio-rng",
            "virtio_balloon",
            "virtio_console",
            "qemu_fw_cfg",
        ],
    ),
    group("machine", &["button", "evdev", "efi-pstore"]),
    group(
        "containers",
        &[
            "overlay", "veth", "bridge", "tun", "dummy", "macvlan", "ipvlan", "loop", "fuse",
        ],
    ),
    group(
        "packet filter",
        &[
            "nf_tables",
            "nfnetlink",
            "nf_conntrack",
            "nf_conntrack_netlink",
            "nf_nat",
            "nft_nat",
            "nft_masq",
            "nft_redir",
            "nft_chain_nat",
            "nft_ct",
            "nft_fib",
            "nft_fib_inet",
            "nft_fib_ipv4",
            "nft_fib_ipv6",
            "nft_reject",
            "nft_reject_inet",
            "nft_reject_ipv4",
            "nft_reject_ipv6",
            "nft_reject_bridge",
            "nft_meta_bridge",
            "nf_conntrack_bridge",
            "nft_limit",
            "nft_log",
            "nf_log_syslog",
            "nft_hash",
            "nft_numgen",
            "nft_quota",
            "nft_connlimit",
            "nft_socket",
            "nft_tproxy",
            "nft_queue",
            "nft_flow_offload",
            "nf_flow_table_inet",
            "nft_tunnel",
            "nft_compat",
        ],
    ),
    group(
        "overlay networks",
        &["vxlan", "geneve", "wireguard", "ip_gre", "ip6_gre"],
    ),
    group("the machine's own networks", &["8021q", "bonding"]),
    group("provisioning media", &["isofs", "sr_mod", "cdrom"]),
    group(
        "host sockets",
        &[
            "vsock",
            "vmw_vsock_virtio_transport",
            "vsock_loopback",
            "vhost_vsock",
            "hv_sock",
        ],
    ),
    group(
        "clouds",
        &[
            "ena",
            "gve",
            "hv_netvsc",
            "hv_utils",
            "hv_balloon",
            "vmxnet3",
            "xen-netfront",
            "ptp_kvm",
        ],
    ),
    group(
        "traffic shaping",
        &[
            "sch_fq",
            "sch_htb",
            "sch_tbf",
            "sch_ingress",
            "sch_netem",
            "cls_bpf",
            "act_bpf",
            "cls_u32",
            "act_mirred",
        ],
    ),
    group("encryption and memory", &["dm-crypt", "zram"]),
];

/// Metal, initramfs and root: controllers that a system disk may hang on, USB included. SATA and NVMe are above.
pub const METAL_DISKS: Group = group(
    "disks of real machines",
    &[
        "xhci_pci",
        "ehci_pci",
        "usb_storage",
        "uas",
        "sr_mod",
        "ata_piix",
        "sdhci_pci",
        "sdhci_acpi",
        "mmc_block",
        "mpt3sas",
        "megaraid_sas",
        "vmd",
    ],
);

/// Metal, root.
pub const METAL_NETWORK: Group = group(
    "network cards of real machines",
    &[
        "e1000",
        "e1000e",
        "igb",
        "igc",
        "ixgbe",
        "ixgbevf",
        "i40e",
        "iavf",
        "ice",
        "r8169",
        "realtek",
        "tg3",
        "bnxt_en",
        "mlx4_en",
        "mlx5_core",
        "atlantic",
        "8139cp",
        "8139too",
        "8021q",
        "bonding",
    ],
);

/// Metal, root: a person sits before it. The screen itself is the firmware's framebuffer, which is built in.
pub const METAL_CONSOLE: Group = group(
    "screen and keyboard",
    &["usbhid", "hid_generic", "atkbd", "i8042", "uhci_hcd", "ohci_pci"],
);

/// Metal, root.
pub const METAL_MACHINE: Group = group(
    "sensors, clocks and watchdogs of real machines",
    &[
        "iTCO_wdt",
        "wdat_wdt",
        "sp5100_tco",
        "coretemp",
        "k10temp",
        "intel_rapl_msr",
        "acpi_cpufreq",
        "thermal",
        "fan",
        "processor",
        "rtc_cmos",
        "vfio_pci",
    ],
);

/// Never in an image: costly to load, or a way around the packet filter.
pub const NEVER: [&str; 3] = ["btrfs", "xfs", "br_netfilter"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shipped_that_must_not_be() {
        let metal = [METAL_DISKS, METAL_NETWORK, METAL_CONSOLE, METAL_MACHINE];
        for group in ROOT.into_iter().chain(metal) {
            for name in NEVER {
                assert!(!group.modules.contains(&name), "{name} in {}", group.purpose);
            }
        }
    }
}
