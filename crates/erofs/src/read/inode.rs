//! An inode, from its compact or extended form.

use super::ReadError;
use super::bytes::{u16_at, u32_at, u64_at};
use crate::format::{INODE_SIZE, LAYOUT_CHUNKED, LAYOUT_INLINE, LAYOUT_PLAIN, SLOT, decode_device, mode};
use crate::tree::Time;
use crate::xattr;

/// How an inode's contents lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Whole blocks.
    Plain,
    /// Whole blocks, the tail behind the inode.
    Inline,
    /// Chunks.
    Chunked,
}

/// An inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inode {
    /// Inode number.
    pub nid: u64,
    /// `st_mode`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Time,
    /// Bytes of contents.
    pub size: u64,
    /// Names that point here.
    pub links: u32,
    /// How the contents lie.
    pub layout: Layout,
    pub(super) union: u32,
    pub(super) header: u64,
    pub(super) xattr_bytes: u64,
}

impl Inode {
    /// Whether this is a directory.
    #[must_use]
    pub const fn is_dir(&self) -> bool {
        self.mode & mode::TYPE == mode::DIR
    }

    /// (major, minor) of a device.
    #[must_use]
    pub const fn device(&self) -> (u32, u32) {
        decode_device(self.union)
    }
}

/// Whether more than the compact form has to be read.
pub fn is_extended(raw: &[u8]) -> bool {
    u16_at(raw, 0) & 1 == 1
}

/// Reads the inode `nid` that lies at `place` of the image. Compact inodes have the time of the build.
pub fn parse(nid: u64, place: u64, build_time: u64, raw: &[u8]) -> Result<Inode, ReadError> {
    let layout = match (u16_at(raw, 0) >> 1) & 7 {
        LAYOUT_PLAIN => Layout::Plain,
        LAYOUT_INLINE => Layout::Inline,
        LAYOUT_CHUNKED => Layout::Chunked,
        _ => return Err(ReadError::Unsupported { what: "compression" }),
    };
    let extended = is_extended(raw);
    let base = Inode {
        nid,
        mode: u16_at(raw, 4),
        uid: 0,
        gid: 0,
        mtime: Time {
            seconds: build_time.cast_signed(),
            nanoseconds: 0,
        },
        size: u64::from(u32_at(raw, 8)),
        links: u32::from(u16_at(raw, 6)),
        layout,
        union: u32_at(raw, 16),
        header: place + if extended { INODE_SIZE } else { SLOT },
        xattr_bytes: xattr::body_size(u16_at(raw, 2)),
    };
    Ok(if extended {
        extend(base, raw)
    } else {
        compacted(base, raw)
    })
}

fn extend(inode: Inode, raw: &[u8]) -> Inode {
    Inode {
        size: u64_at(raw, 8),
        uid: u32_at(raw, 24),
        gid: u32_at(raw, 28),
        mtime: Time {
            seconds: u64_at(raw, 32).cast_signed(),
            nanoseconds: u32_at(raw, 40),
        },
        links: u32_at(raw, 44),
        ..inode
    }
}

fn compacted(inode: Inode, raw: &[u8]) -> Inode {
    Inode {
        uid: u32::from(u16_at(raw, 24)),
        gid: u32::from(u16_at(raw, 26)),
        ..inode
    }
}
