//! keelson-machine-config
