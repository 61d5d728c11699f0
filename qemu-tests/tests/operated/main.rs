//! The operated suite: the ways in for people and their tools, the provisioning they have, the locked boot chain,
//! other machines and media.

mod bill;
mod cloud_config;
mod metal;

use std::process::ExitCode;

use keelson_qemu_tests::{Case, case};

static CASES: &[Case] = &[
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
    Case::full("metal_comes_up_on_nvme_and_usb", metal::other_devices),
];

fn main() -> ExitCode {
    case::run(CASES)
}
