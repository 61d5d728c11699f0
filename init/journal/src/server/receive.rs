//! Datagrams with their sender, and entries that come as a sealed memory file instead.

use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, SealFlags, fcntl_get_seals, fstat};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use crate::entry::ENTRY_BYTES;
use crate::origin::Sender;

/// Largest datagram; what is larger comes as a memory file.
pub const DATAGRAM_BYTES: usize = 256 << 10;

/// One message.
#[derive(Debug)]
pub struct Received {
    /// Its bytes.
    pub data: Vec<u8>,
    /// Who sent it.
    pub sender: Option<Sender>,
}

/// Takes one datagram by way of a buffer of [`DATAGRAM_BYTES`]; `None` if none waits, `Some(None)` if one came that is
/// not to be used.
pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Option<Option<Received>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8), ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags).ok()?;
    let (mut files, mut sender) = (Vec::new(), None);
    for part in control.drain() {
        match part {
            RecvAncillaryMessage::ScmRights(passed) => files.extend(passed),
            RecvAncillaryMessage::ScmCredentials(found) => {
                let pid = u32::try_from(found.pid.as_raw_nonzero().get()).unwrap_or(0);
                sender = Some(Sender {
                    pid,
                    uid: found.uid.as_raw(),
                    gid: found.gid.as_raw(),
                });
            }
            _ => {}
        }
    }
    if message.flags.contains(ReturnFlags::TRUNC) {
        return Some(None);
    }
    // Exactly its bytes, not a buffer for the largest.
    let data = buffer.get(..message.bytes)?.to_vec();
    let data = match (files.pop(), files.is_empty()) {
        (None, _) => Some(data),
        // Bytes and a file, or several files, are no message of the protocol.
        (Some(file), true) if data.is_empty() => read_sealed(file),
        (Some(_), _) => None,
    };
    Some(data.map(|data| Received { data, sender }))
}

/// The content of a memory file nobody can change any more.
fn read_sealed(file: OwnedFd) -> Option<Vec<u8>> {
    let sealed = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let status = fstat(&file).ok()?;
    let regular = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
    let size = usize::try_from(status.st_size)
        .ok()
        .filter(|size| *size <= ENTRY_BYTES)?;
    if !regular || !fcntl_get_seals(&file).ok()?.contains(sealed) {
        return None;
    }
    let mut data = Vec::with_capacity(size);
    // Its offset stands where the sender stopped writing.
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).ok()?;
    File::from(file).take(ENTRY_BYTES as u64).read_to_end(&mut data).ok()?;
    Some(data)
}
