//! keelson-oci
fn main() {}
