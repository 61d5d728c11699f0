//! keelson-access
fn main() {}
