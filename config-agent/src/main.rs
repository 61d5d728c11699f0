//! keelson-config
fn main() {}
