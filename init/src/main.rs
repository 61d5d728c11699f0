//! Chooses the role of this process: initramfs stage, system stage, exec helper, device loader or `modprobe`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("exec") => keelson_init::exec::run(),
        Some("system") => keelson_init::system::run(arguments.get(1..).unwrap_or_default()),
        _ => ExitCode::FAILURE,
    }
}
