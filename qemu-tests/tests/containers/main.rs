//! The containers suite: real images from a real registry on the booted system, and what they must not get away with.

use std::process::ExitCode;

use keelson_qemu_tests::{Case, case};

mod bounds;
mod bus;
mod demo;
mod inside;
mod posture;

static CASES: &[Case] = &[
    Case::short("a_declared_web_server_answers_on_its_published_port", demo::answers),
    Case::short("the_demo_runs_in_192_mib", demo::small),
    Case::short(
        "killed_services_come_back_and_containers_stay",
        inside::services_come_back,
    ),
    Case::short("orphans_are_reaped_under_load", inside::orphans),
    Case::short("the_root_cannot_be_written", inside::root),
    Case::short("sockets_refuse_a_containers_root", posture::sockets),
    Case::short("every_service_is_confined_as_the_table_says", posture::table),
    Case::short("busctl_in_a_container_may_do_what_was_granted", bus::granted),
    Case::short("hostile_containers_leave_the_host_responsive", bounds::hostile),
    Case::short("nothing_answers_from_outside_unless_it_was_published", posture::scan).as_root(),
    Case::short("containers_reach_neither_host_nor_metadata", posture::reach),
];

fn main() -> ExitCode {
    case::run(CASES)
}
