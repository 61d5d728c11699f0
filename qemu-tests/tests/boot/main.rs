//! The boot suite: from firmware to `boot-complete`, with damage, power loss and company.

use std::process::ExitCode;

use keelson_qemu_tests::{Case, case};

mod company;
mod damage;
mod healthy;
mod power_cut;

static CASES: &[Case] = &[
    Case::short("comes_up_commits_its_slot_and_powers_off_clean", healthy::comes_up),
    Case::short("keeps_its_slot_over_boots_and_power_cycles", healthy::keeps_its_slot),
    Case::short("grows_the_state_partition_on_a_larger_disk", healthy::grows),
    Case::short(
        "damage_in_the_roots_superblock_boots_the_other_slot",
        damage::superblock,
    ),
    Case::short("damage_in_init_boots_the_other_slot", damage::init),
    Case::short(
        "damage_found_at_run_time_is_remembered_and_leads_to_the_other_slot",
        damage::run_time,
    ),
    Case::short(
        "a_damaged_state_file_system_boots_degraded_and_burns_no_slot",
        damage::state,
    ),
    Case::short("two_machines_of_one_image_share_no_identity", company::identities),
    Case::short("a_second_system_disk_is_never_touched", company::second_disk),
    Case::short(
        "comes_up_after_a_power_cut_at_any_write_of_the_first_boot",
        power_cut::first_boot,
    ),
    Case::full("boots_from_scsi_ahci_and_nvme", company::controllers),
];

fn main() -> ExitCode {
    case::run(CASES)
}
