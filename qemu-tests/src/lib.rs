//! keelson-qemu-tests
