//! Plain functions over bytes for the fuzzer: errors are fine, panics are bugs.

use keelson_access::command::Role;

use crate::request::{Plan, plan_exec};
use crate::terminal::Line;

/// Takes `data` as the command line of a client, and as what it types.
pub fn fuzz_ssh_request(data: &[u8]) {
    let reader = plan_exec(data, Role::Reader);
    let operator = plan_exec(data, Role::Operator);
    assert!(reader != Plan::Engine, "a reader reaches the engine");
    assert!(
        !matches!(reader, Plan::Run(_)) || reader == operator,
        "a reader runs what an operator does not"
    );
    let _ = Line::default().type_bytes(data);
}
