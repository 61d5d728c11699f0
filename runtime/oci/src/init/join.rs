//! Joining namespaces by descriptor, in an order that permissions allow.

use crate::error::{Result, Step};
use crate::spec::namespaces::flag;
use oci_spec::runtime::LinuxNamespaceType as Kind;
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// A namespace to join, opened by the parent.
#[derive(Debug)]
pub struct Joinable {
    /// Which kind.
    pub kind: Kind,
    /// Where it was.
    pub path: PathBuf,
    /// Itself.
    pub fd: OwnedFd,
}

/// Joins all. First with the permissions of the host, as namespaces of the host's must be; then the user namespace, then
/// those that only its root may join. The mount namespace comes last, as it changes root and directory.
pub fn join(namespaces: &[Joinable]) -> Result<()> {
    let mut waiting = Vec::new();
    let (user, others): (Vec<_>, Vec<_>) = namespaces.iter().partition(|namespace| namespace.kind == Kind::User);
    let (mount, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|namespace| namespace.kind == Kind::Mount);
    for namespace in others {
        match enter(namespace) {
            Err(Errno::PERM) if !user.is_empty() => waiting.push(namespace),
            other => other.step("join namespace", &namespace.path)?,
        }
    }
    for namespace in user.into_iter().chain(waiting).chain(mount) {
        enter(namespace).step("join namespace", &namespace.path)?;
    }
    Ok(())
}

fn enter(namespace: &Joinable) -> Result<(), Errno> {
    let kind = match namespace.kind {
        Kind::Mount => LinkNameSpaceType::Mount,
        Kind::Cgroup => LinkNameSpaceType::ControlGroup,
        Kind::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        Kind::Ipc => LinkNameSpaceType::InterProcessCommunication,
        Kind::User => LinkNameSpaceType::User,
        Kind::Pid => LinkNameSpaceType::ProcessID,
        Kind::Network => LinkNameSpaceType::Network,
        Kind::Time => LinkNameSpaceType::Time,
    };
    move_into_link_name_space(namespace.fd.as_fd(), Some(kind))
}

/// Makes namespaces that cannot be made by clone: `kind` is cgroup or time.
pub fn unshare(kind: Kind) -> Result<()> {
    let flags = i32::try_from(flag(kind)).unwrap_or_default();
    nix::sched::unshare(nix::sched::CloneFlags::from_bits_retain(flags)).step("make new namespace", kind.to_string())
}
