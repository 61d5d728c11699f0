//! keelson-shim
fn main() {}
