//! The operated suite: the ways in for people and their tools, the provisioning they have, the locked boot chain,
//! other machines and media.

use std::process::ExitCode;

use keelson_qemu_tests::{Case, case};

static CASES: &[Case] = &[];

fn main() -> ExitCode {
    case::run(CASES)
}
