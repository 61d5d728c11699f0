//! keelson-netd
fn main() {}
