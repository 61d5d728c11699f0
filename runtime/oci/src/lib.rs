//! keelson-oci
