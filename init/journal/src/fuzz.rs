//! Entry points for fuzzing: each takes any bytes and must not panic.

use crate::store::record;
use crate::stream::Stream;
use crate::{kernel, native, query, syslog};

/// A datagram of the native protocol.
pub fn native_datagram(data: &[u8]) {
    let _ = native::parse(data);
}

/// A syslog datagram.
pub fn syslog_datagram(data: &[u8]) {
    let _ = syslog::parse(data);
}

/// A record of the kernel's log.
pub fn kernel_record(data: &[u8]) {
    let _ = kernel::parse(data);
}

/// Standard output of a service.
pub fn stdout_stream(data: &[u8]) {
    let mut stream = Stream::new();
    let _ = stream.push(data);
    let _ = stream.finish();
}

/// A record of the store.
pub fn stored_record(data: &[u8]) {
    if let Ok((entry, _)) = record::decode(data) {
        assert_eq!(
            record::decode(&record::encode(&entry)).map(|(again, _)| again),
            Ok(entry)
        );
    }
}

/// A query.
pub fn query_line(data: &[u8]) {
    let _ = query::parse(data);
}
