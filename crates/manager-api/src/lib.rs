//! keelson-manager-api
