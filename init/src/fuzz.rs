//! Entry points for fuzzing: any bytes may come in, errors are fine, panics are bugs.

use crate::accounts;
use crate::system::{control, notify, uevent};
use crate::tpm::command;
use crate::unit;

/// A unit file; what parses is also put into order.
pub fn fuzz_unit_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(parsed) = unit::parse("fuzzed", &text) {
        let _ = unit::plan_units(vec![parsed]);
    }
}

/// A datagram on the notify socket.
pub fn fuzz_notification(data: &[u8]) {
    let _ = notify::parse_notification(data);
}

/// A packet on the control socket.
pub fn fuzz_control_request(data: &[u8]) {
    let _ = control::parse_request(data);
}

/// A device event of the kernel.
pub fn fuzz_uevent(data: &[u8]) {
    let _ = uevent::parse_uevent(data);
}

/// `/etc/passwd` and `/etc/group`, which configuration writes.
pub fn fuzz_accounts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = accounts::identity(&text, &text, "core", &["engine".to_owned()]);
    let _ = accounts::owner(&text, &text, "root:engine");
}

/// What a TPM answers.
pub fn fuzz_tpm_answer(data: &[u8]) {
    let _ = command::parse_event_answer(data);
}
