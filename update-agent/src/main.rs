//! keelson-update
fn main() {}
