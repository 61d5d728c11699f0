//! keelson-durable
