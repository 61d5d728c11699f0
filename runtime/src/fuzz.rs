//! Parsers of outside bytes as plain functions, for the fuzzer: errors are fine, panics are bugs.

use std::path::Path;

/// The body of a create request.
pub fn fuzz_create_body(data: &[u8]) {
    let _ = crate::api::parse_create(data);
}

/// A container's record.
pub fn fuzz_container_record(data: &[u8]) {
    let _ = crate::engine::store::parse_record(data, Path::new("record.json"));
}

/// A request's path.
pub fn fuzz_route(data: &[u8]) {
    let path = String::from_utf8_lossy(data);
    for method in [http::Method::GET, http::Method::POST, http::Method::DELETE] {
        let _ = crate::api::route(&method, &path);
    }
}

/// The files of users and groups of an image: the user, a zero byte, passwd, a zero byte, group.
pub fn fuzz_users(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(3, '\0');
    let mut next = || parts.next().unwrap_or_default();
    let (user, passwd, group) = (next(), next(), next());
    let _ = crate::spec::user::resolve_user(user, &[], passwd, group);
}

/// A line of a log.
pub fn fuzz_log_line(data: &[u8]) {
    let _ = crate::logs::parse_line(data);
}
