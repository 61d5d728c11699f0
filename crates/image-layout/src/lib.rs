//! keelson-image-layout
