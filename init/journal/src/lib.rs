//! keelson-journald
