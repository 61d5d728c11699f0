//! keelson-os-build
fn main() {}
