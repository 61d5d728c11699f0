//! keelson-runtimed
