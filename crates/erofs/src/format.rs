//! The bytes of EROFS: constants, superblock, inode. Little-endian throughout; encodes and decodes
//! fixed structures, decides nothing. Source: `fs/erofs/erofs_fs.h`.

/// Bytes in a block, and its binary logarithm.
pub const BLOCK: u64 = 4096;
/// log2 of [`BLOCK`].
pub const BLOCK_BITS: u8 = 12;
/// Where the superblock starts.
pub const SUPER_OFFSET: u64 = 1024;
/// Bytes in a superblock without extension slots.
pub const SUPER_SIZE: usize = 128;
/// First word of a superblock.
pub const MAGIC: u32 = 0xe0f5_e1e2;
/// Superblock carries a CRC32C.
pub const COMPAT_CHECKSUM: u32 = 1;
/// Times are modification times.
pub const COMPAT_MTIME: u32 = 2;
/// Chunk-based files occur.
pub const INCOMPAT_CHUNKED: u32 = 4;
/// Bytes in an inode slot: an inode's number times this is its place.
pub const SLOT: u64 = 32;
/// Bytes in an extended inode.
pub const INODE_SIZE: u64 = 64;
/// Contents in whole blocks, the last one padded.
pub const LAYOUT_PLAIN: u16 = 0;
/// Contents in whole blocks, the rest behind the inode.
pub const LAYOUT_INLINE: u16 = 2;
/// Contents in chunks, named by an index behind the inode.
pub const LAYOUT_CHUNKED: u16 = 4;
/// A block or chunk that does not exist: a hole.
pub const NULL_BLOCK: u32 = u32::MAX;
/// Longest name of a directory entry.
pub const NAME_MAX: usize = 255;
/// Bytes of a directory entry before the names.
pub const DIRENT_SIZE: usize = 12;

/// File types of `st_mode`.
pub mod mode {
    /// Mask of the type.
    pub const TYPE: u16 = 0o170_000;
    /// Directory.
    pub const DIR: u16 = 0o040_000;
    /// Regular file.
    pub const FILE: u16 = 0o100_000;
    /// Symbolic link.
    pub const SYMLINK: u16 = 0o120_000;
    /// Character device.
    pub const CHAR: u16 = 0o020_000;
    /// Block device.
    pub const BLOCK: u16 = 0o060_000;
    /// Named pipe.
    pub const FIFO: u16 = 0o010_000;
    /// Socket.
    pub const SOCKET: u16 = 0o140_000;
}

/// The type byte of a directory entry for an `st_mode`.
#[must_use]
pub const fn dirent_type(mode: u16) -> u8 {
    match mode & mode::TYPE {
        mode::FILE => 1,
        mode::DIR => 2,
        mode::CHAR => 3,
        mode::BLOCK => 4,
        mode::FIFO => 5,
        mode::SOCKET => 6,
        mode::SYMLINK => 7,
        _ => 0,
    }
}

/// A device number as the kernel's `new_encode_dev` packs it: 12 bits major, 20 bits minor.
#[must_use]
pub const fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)
}

/// The reverse of [`encode_device`]: (major, minor).
#[must_use]
pub const fn decode_device(device: u32) -> (u32, u32) {
    ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00))
}

/// The superblock's checksum: CRC32C without the final inversion, over the rest of its block with the
/// checksum field zero.
#[must_use]
pub fn checksum(rest_of_block: &[u8]) -> u32 {
    !crc32c::crc32c(rest_of_block)
}

/// Fields of a superblock that a writer chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSuper {
    /// [`COMPAT_CHECKSUM`] and others.
    pub compat: u32,
    /// [`INCOMPAT_CHUNKED`] and others; a reader must know all of them.
    pub incompat: u32,
    /// Inode number of the root.
    pub root: u16,
    /// Inodes in the image.
    pub inodes: u64,
    /// Seconds and nanoseconds of the build.
    pub build_time: (u64, u32),
    /// Blocks in the image.
    pub blocks: u32,
    /// Block that inode numbers count from.
    pub meta_block: u32,
    /// File-system id.
    pub uuid: [u8; 16],
    /// Name, padded with NUL.
    pub volume_name: [u8; 16],
}

impl RawSuper {
    /// The bytes, checksum zero.
    #[must_use]
    pub fn encode(&self) -> [u8; SUPER_SIZE] {
        let mut out = [0; SUPER_SIZE];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC.to_le_bytes());
        put(8, &self.compat.to_le_bytes());
        put(12, &[BLOCK_BITS]);
        put(14, &self.root.to_le_bytes());
        put(16, &self.inodes.to_le_bytes());
        put(24, &self.build_time.0.to_le_bytes());
        put(32, &self.build_time.1.to_le_bytes());
        put(36, &self.blocks.to_le_bytes());
        put(40, &self.meta_block.to_le_bytes());
        put(48, &self.uuid);
        put(64, &self.volume_name);
        put(80, &self.incompat.to_le_bytes());
        out
    }
}

/// An inode as it lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawInode {
    /// One of the `LAYOUT_` constants.
    pub layout: u16,
    /// Count word of the xattr body, 0 for none.
    pub xattr_count: u16,
    /// `st_mode`.
    pub mode: u16,
    /// Bytes of contents.
    pub size: u64,
    /// First block, device number or chunk format.
    pub union: u32,
    /// Inode number shown by 32-bit `stat`.
    pub number: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds of the modification time.
    pub mtime: i64,
    /// Its nanoseconds.
    pub mtime_nanoseconds: u32,
    /// Names that point here.
    pub links: u32,
}

impl RawInode {
    /// The bytes of an extended inode.
    #[must_use]
    pub fn encode(&self) -> [u8; INODE_SIZE as usize] {
        let mut out = [0; INODE_SIZE as usize];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &((self.layout << 1) | 1).to_le_bytes());
        put(2, &self.xattr_count.to_le_bytes());
        put(4, &self.mode.to_le_bytes());
        put(8, &self.size.to_le_bytes());
        put(16, &self.union.to_le_bytes());
        put(20, &self.number.to_le_bytes());
        put(24, &self.uid.to_le_bytes());
        put(28, &self.gid.to_le_bytes());
        put(32, &self.mtime.to_le_bytes());
        put(40, &self.mtime_nanoseconds.to_le_bytes());
        put(44, &self.links.to_le_bytes());
        out
    }
}

/// The chunk format word of a file of `size` bytes that is one hole: log2 of the chunk's blocks.
#[must_use]
pub const fn hole_chunk_format(size: u64) -> u32 {
    let bits = u64::BITS - size.saturating_sub(1).leading_zeros();
    bits.saturating_sub(BLOCK_BITS as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_survive_packing() {
        for (major, minor) in [(1, 3), (259, 70_000), (4095, 0xf_ffff), (0, 0)] {
            assert_eq!(decode_device(encode_device(major, minor)), (major, minor));
        }
    }

    #[test]
    fn one_chunk_covers_the_hole() {
        for (size, format) in [
            (0, 0),
            (1, 0),
            (4096, 0),
            (4097, 1),
            (8192, 1),
            (8193, 2),
            (1 << 30, 18),
        ] {
            assert_eq!(hole_chunk_format(size), format, "{size}");
        }
    }
}
