//! keelson-erofs
