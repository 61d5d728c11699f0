//! keelson-shim-api
