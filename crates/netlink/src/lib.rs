//! keelson-netlink
