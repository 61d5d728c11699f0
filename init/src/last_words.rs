//! What happens if PID 1 panics in spite of everything: say so, write what is unwritten, reboot. Without this the
//! kernel would panic with less to read.

use std::fs::File;
use std::io::Write;

use rustix::system::{RebootCommand, reboot};

/// Installs the hook. Only for the process that is PID 1 of the machine.
pub fn install() {
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut kernel) = File::options().write(true).open("/dev/kmsg") {
            let _ = kernel.write_all(format!("<2>keelson: PID 1 panicked and reboots: {panic}\n").as_bytes());
        }
        rustix::fs::sync();
        let _ = reboot(RebootCommand::Restart);
    }));
}
