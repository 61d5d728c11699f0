//! keelson-runtimed
fn main() {}
