//! keelson-fuzz
