//! keelson-os-build
