//! The operated suite: the ways in for people and their tools, the provisioning they have, the locked boot chain,
//! other machines and media.

mod bill;
mod cloud_config;
mod commands;
mod handed_out;
mod install;
mod locked;
mod metal;
mod network;
mod sources;
mod ssh;

use std::process::ExitCode;

use keelson_qemu_tests::{Case, case};

static CASES: &[Case] = &[
    Case::short("a_network_config_makes_bond_vlan_and_routes", network::bond_and_vlan),
    Case::full("a_network_config_is_the_same_in_each_format", network::other_formats),
    Case::full("a_wrong_network_config_is_refused_and_dhcp_serves", network::refused),
    Case::short("metal_comes_up_on_ahci_with_e1000e", metal::ahci_and_e1000e),
    Case::short("every_byte_of_the_image_has_an_owner", bill::every_byte_has_an_owner),
    Case::short(
        "a_cloud_config_is_applied_whole_or_not_at_all",
        cloud_config::applied_whole_or_not_at_all,
    ),
    Case::full(
        "the_native_format_says_what_a_cloud_config_can",
        cloud_config::the_native_format_says_the_same,
    ),
    Case::short(
        "a_signed_image_comes_up_locked_and_measured_as_predicted",
        locked::signed_and_measured,
    ),
    Case::full("a_changed_command_line_boots_the_other_slot", locked::changed_entry),
    Case::full("a_locked_machine_says_inside_that_it_is", locked::seen_from_inside),
    Case::full(
        "changed_kernel_and_initramfs_are_refused",
        locked::nothing_left_to_start,
    ),
    Case::full("an_unsigned_image_is_refused", locked::unsigned),
    Case::full("a_disk_brings_its_keys_to_new_firmware", locked::brings_its_keys),
    Case::full(
        "added_words_credentials_and_addons_change_nothing",
        locked::added_things,
    ),
    Case::full("a_hung_pid_1_is_reset_by_the_watchdog_and_told", locked::hang),
    Case::full("a_panic_reboots_and_is_told", locked::panic),
    Case::short("operators_ask_and_reboot_over_ssh", commands::answers),
    Case::full("what_is_wrong_is_said_and_why_it_started_anew", commands::ailments),
    Case::full("images_are_the_same_disk_in_each_format", handed_out::formats),
    Case::full("a_build_machine_installs_onto_a_device", handed_out::onto_a_device),
    Case::full("a_stick_installs_onto_an_empty_disk", install::from_a_stick),
    Case::full("a_disc_installs_unasked_as_its_document_says", install::from_a_disc),
    Case::full("an_operator_installs_onto_a_second_disk_over_ssh", install::over_ssh),
    Case::short("ssh_opens_to_the_right_key_only", ssh::the_right_key_only),
    Case::short("docker_clients_work_over_ssh", ssh::docker_clients),
    Case::full("ssh_host_keys_are_each_machines_own", ssh::host_keys),
    Case::full("metal_comes_up_on_nvme_and_usb", metal::other_devices),
    Case::short("the_firmware_gives_a_document", sources::firmware),
    Case::short("the_metadata_service_gives_a_document", sources::ec2),
    Case::full(
        "a_metadata_service_that_is_not_there_is_said_in_time",
        sources::ec2_unreachable,
    ),
    Case::full(
        "a_metadata_service_at_fault_leaves_the_machine_up",
        sources::ec2_at_fault,
    ),
    Case::full("smbios_esp_config_drive_and_iso_give_documents", sources::others),
];

fn main() -> ExitCode {
    case::run(CASES)
}
