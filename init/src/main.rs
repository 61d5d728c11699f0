//! keelson-init
fn main() {}
