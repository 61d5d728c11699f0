//! The config suite: what a machine makes of the document it is given, or not given.

use std::process::ExitCode;

use keelson_qemu_tests::{Case, case};

mod clock;
mod documents;
mod power_cut;

static CASES: &[Case] = &[
    Case::short("without_a_document_the_console_says_how_to_give_one", documents::none),
    Case::short("a_bad_document_is_refused_whole_with_its_diagnosis", documents::bad),
    Case::short(
        "a_document_is_applied_once_and_a_changed_one_is_reported",
        documents::applied,
    ),
    Case::short("a_clock_in_1970_starts_at_the_release", clock::starts_at_release),
    Case::short(
        "a_power_cut_at_any_write_leaves_the_old_or_the_new_configuration",
        power_cut::commit,
    ),
];

fn main() -> ExitCode {
    case::run(CASES)
}
