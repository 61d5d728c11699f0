//! Chooses the role of this process: initramfs stage, system stage, exec helper, device loader, measurement or
//! `modprobe`.

use std::process::ExitCode;

use keelson_init::{exec, initrd, last_words, modules, system, tpm};

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let called_as = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    if called_as.rsplit('/').next() == Some(modules::modprobe::NAME) {
        return modules::modprobe::run(&arguments);
    }
    if initrd::is_initramfs() {
        last_words::install();
        return initrd::run();
    }
    match arguments.split_first() {
        None if std::process::id() == 1 => {
            last_words::install();
            system::run(&[])
        }
        Some((role, rest)) if role == "system" => system::run(rest),
        Some((role, _)) if role == "exec" => exec::run(),
        Some((role, _)) if role == "devices" => system::devices::run(),
        Some((role, rest)) if role == "measure" => tpm::phase::run(rest),
        _ => ExitCode::FAILURE,
    }
}
