//! The updates suite: a release that was written into the other slot is kept or left.

mod by_hand;
mod health;
mod over_https;
mod web_server;

use std::process::ExitCode;

use keelson_qemu_tests::{Case, case};

static CASES: &[Case] = &[
    Case::short("an_update_is_kept_once_it_was_well_for_a_while", health::kept),
    Case::full(
        "an_update_that_is_not_well_goes_back_with_its_configuration",
        health::goes_back,
    ),
    Case::full(
        "a_release_comes_by_patch_over_https_is_kept_and_is_left_again",
        over_https::there_and_back,
    ),
    Case::full("an_operator_goes_back_to_the_release_before", by_hand::rollback),
];

fn main() -> ExitCode {
    case::run(CASES)
}
