//! keelson-journald
fn main() {}
