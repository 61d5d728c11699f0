//! Errors of the runtime as failures of the protocol, and descriptors set up for the loop.

use keelson_oci::{Error, Kind};
use keelson_shim_api::{Failure, FailureKind};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::os::fd::AsFd;

/// A failure of the runtime.
pub fn failure(error: &Error) -> Failure {
    let kind = match error.kind() {
        Kind::NotFound => FailureKind::NotFound,
        Kind::NotExecutable => FailureKind::NotExecutable,
        Kind::Invalid => FailureKind::Invalid,
        Kind::Conflict => FailureKind::Conflict,
        Kind::Failed => FailureKind::Internal,
    };
    Failure {
        kind,
        message: error.chain(),
    }
}

/// A failure of our own.
pub fn internal(error: &anyhow::Error) -> Failure {
    Failure {
        kind: FailureKind::Internal,
        message: format!("{error:#}"),
    }
}

/// A failure that names a state.
pub fn conflict(message: impl Into<String>) -> Failure {
    Failure {
        kind: FailureKind::Conflict,
        message: message.into(),
    }
}

/// Reads and writes on it return at once from now on.
pub fn set_nonblocking(fd: impl AsFd) -> rustix::io::Result<()> {
    let flags = fcntl_getfl(&fd)?;
    fcntl_setfl(fd, flags | OFlags::NONBLOCK)
}
