//! The table of targets. A parser that is not in it is not fuzzed: add it with the parser.

/// A parser under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name, also of its folder of seeds.
    pub name: &'static str,
    /// Runs it over any bytes.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "accounts",
        run: keelson_init::fuzz::fuzz_accounts,
    },
    Target {
        name: "apt-sources",
        run: keelson_os_build::fuzz::sources,
    },
    Target {
        name: "boot-entry",
        run: keelson_os_build::fuzz::boot_entry,
    },
    Target {
        name: "boot-history",
        run: keelson_image_layout::fuzz::boot_history,
    },
    Target {
        name: "bus-message",
        run: keelson_busd::fuzz::fuzz_bus_message,
    },
    Target {
        name: "bus-stream",
        run: keelson_busd::fuzz::fuzz_bus_stream,
    },
    Target {
        name: "cloud-config",
        run: keelson_machine_config::fuzz::cloud_config,
    },
    Target {
        name: "control-frame",
        run: keelson_manager_api::fuzz::fuzz_control_frame,
    },
    Target {
        name: "control-request",
        run: keelson_init::fuzz::fuzz_control_request,
    },
    Target {
        name: "dhcp-packet",
        run: keelson_netd::fuzz::fuzz_dhcp_packet,
    },
    Target {
        name: "disk-content",
        run: keelson_installer::fuzz::disk_content,
    },
    Target {
        name: "dns-query",
        run: keelson_netd::fuzz::fuzz_dns_query,
    },
    Target {
        name: "efi-variable",
        run: keelson_init::initrd::fuzz::efi_variable,
    },
    Target {
        name: "engine-create",
        run: keelson_runtimed::fuzz::fuzz_create_body,
    },
    Target {
        name: "engine-log",
        run: keelson_runtimed::fuzz::fuzz_log_line,
    },
    Target {
        name: "engine-record",
        run: keelson_runtimed::fuzz::fuzz_container_record,
    },
    Target {
        name: "engine-route",
        run: keelson_runtimed::fuzz::fuzz_route,
    },
    Target {
        name: "engine-users",
        run: keelson_runtimed::fuzz::fuzz_users,
    },
    Target {
        name: "entry-name",
        run: keelson_image_layout::fuzz::entry_name,
    },
    Target {
        name: "entry-release",
        run: keelson_slot_store::fuzz::entry_release,
    },
    Target {
        name: "erofs",
        run: keelson_erofs::fuzz::fuzz_erofs_reader,
    },
    Target {
        name: "image-layer",
        run: keelson_runtimed::image::fuzz::fuzz_image_layer,
    },
    Target {
        name: "image-manifest",
        run: keelson_runtimed::image::fuzz::fuzz_image_manifest,
    },
    Target {
        name: "image-reference",
        run: keelson_runtimed::image::fuzz::fuzz_image_reference,
    },
    Target {
        name: "image-split-stream",
        run: keelson_runtimed::image::fuzz::fuzz_image_split_stream,
    },
    Target {
        name: "journal-kernel",
        run: keelson_journald::fuzz::kernel_record,
    },
    Target {
        name: "journal-native",
        run: keelson_journald::fuzz::native_datagram,
    },
    Target {
        name: "journal-query",
        run: keelson_journald::fuzz::query_line,
    },
    Target {
        name: "journal-record",
        run: keelson_journald::fuzz::stored_record,
    },
    Target {
        name: "journal-stdout",
        run: keelson_journald::fuzz::stdout_stream,
    },
    Target {
        name: "journal-syslog",
        run: keelson_journald::fuzz::syslog_datagram,
    },
    Target {
        name: "kernel-module",
        run: keelson_os_build::fuzz::modinfo,
    },
    Target {
        name: "last-words",
        run: keelson_init::initrd::fuzz::last_words,
    },
    Target {
        name: "machine-config",
        run: keelson_machine_config::fuzz::document,
    },
    Target {
        name: "machine-json",
        run: keelson_machine_config::fuzz::machine_json,
    },
    Target {
        name: "metadata-answer",
        run: keelson_metadata::fuzz::answers,
    },
    Target {
        name: "metadata-message",
        run: keelson_config::fuzz::metadata_message,
    },
    Target {
        name: "module-index",
        run: keelson_init::initrd::fuzz::module_index,
    },
    Target {
        name: "netlink",
        run: keelson_netlink::fuzz::fuzz_netlink_message,
    },
    Target {
        name: "network-config",
        run: keelson_machine_config::fuzz::network_config,
    },
    Target {
        name: "nocloud-meta-data",
        run: keelson_config::fuzz::meta_data,
    },
    Target {
        name: "nocloud-volume",
        run: keelson_config::fuzz::volume,
    },
    Target {
        name: "notification",
        run: keelson_init::fuzz::fuzz_notification,
    },
    Target {
        name: "ntp-answer",
        run: keelson_netd::fuzz::fuzz_ntp_answer,
    },
    Target {
        name: "oci-config",
        run: keelson_oci::fuzz::fuzz_oci_config,
    },
    Target {
        name: "oci-container-text",
        run: keelson_oci::fuzz::fuzz_oci_container_text,
    },
    Target {
        name: "openstack-meta-data",
        run: keelson_config::fuzz::openstack,
    },
    Target {
        name: "partition-table",
        run: keelson_init::initrd::fuzz::partition_table,
    },
    Target {
        name: "registry-challenge",
        run: keelson_runtimed::image::fuzz::fuzz_registry_challenge,
    },
    Target {
        name: "release",
        run: keelson_image_layout::fuzz::release,
    },
    Target {
        name: "release-index",
        run: keelson_payload::fuzz::index,
    },
    Target {
        name: "release-manifest",
        run: keelson_payload::fuzz::manifest,
    },
    Target {
        name: "release-rollout",
        run: keelson_payload::fuzz::rollout,
    },
    Target {
        name: "release-segment",
        run: keelson_payload::fuzz::stored_segment,
    },
    Target {
        name: "resolver-frame",
        run: keelson_netd::fuzz::fuzz_resolver_frame,
    },
    Target {
        name: "router-option",
        run: keelson_netd::fuzz::fuzz_router_option,
    },
    Target {
        name: "shim-packet",
        run: keelson_shim_api::fuzz::fuzz_shim_packet,
    },
    Target {
        name: "shim-request",
        run: keelson_shim_api::fuzz::fuzz_shim_request,
    },
    Target {
        name: "signed-program",
        run: keelson_os_build::fuzz::signed_program,
    },
    Target {
        name: "slot-state",
        run: keelson_image_layout::fuzz::slot_state,
    },
    Target {
        name: "smbios-table",
        run: keelson_config::fuzz::smbios_table,
    },
    Target {
        name: "ssh-request",
        run: keelson_sshd::fuzz::fuzz_ssh_request,
    },
    Target {
        name: "state-template",
        run: keelson_installer::fuzz::state_template,
    },
    Target {
        name: "superblock",
        run: keelson_init::initrd::fuzz::superblock,
    },
    Target {
        name: "tpm-answer",
        run: keelson_init::fuzz::fuzz_tpm_answer,
    },
    Target {
        name: "tuf-canonical-json",
        run: keelson_tuf::fuzz::canonical_json,
    },
    Target {
        name: "tuf-root",
        run: keelson_tuf::fuzz::root,
    },
    Target {
        name: "tuf-snapshot",
        run: keelson_tuf::fuzz::snapshot,
    },
    Target {
        name: "tuf-targets",
        run: keelson_tuf::fuzz::targets,
    },
    Target {
        name: "tuf-timestamp",
        run: keelson_tuf::fuzz::timestamp,
    },
    Target {
        name: "uevent",
        run: keelson_init::fuzz::fuzz_uevent,
    },
    Target {
        name: "unit-file",
        run: keelson_init::fuzz::fuzz_unit_file,
    },
    Target {
        name: "update-line",
        run: keelson_update_api::fuzz::fuzz_update_line,
    },
    Target {
        name: "wrapped-document",
        run: keelson_config::fuzz::wrapped_document,
    },
    Target {
        name: "yaml",
        run: keelson_machine_config::fuzz::yaml,
    },
];

/// A target by name.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
