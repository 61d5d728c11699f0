//! A bounds-checked reader of uncompressed images: for tests, inspection and as the judge of the
//! writer. Trusts nothing it reads; its memory is bounded by the limits the caller gives.

use std::collections::BTreeSet;
use std::io::{self, Write};

use crate::format::{
    BLOCK, BLOCK_BITS, COMPAT_CHECKSUM, INCOMPAT_CHUNKED, INODE_SIZE, LAYOUT_CHUNKED, LAYOUT_INLINE, LAYOUT_PLAIN,
    MAGIC, NULL_BLOCK, SLOT, SUPER_OFFSET, SUPER_SIZE, checksum, decode_device, mode,
};
use crate::path::TreePath;
use crate::source::Source;
use crate::tree::{Time, Xattrs};
use crate::{dir, xattr};

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed or ended early.
    #[error("cannot read {bytes} bytes at {offset} of the image")]
    Io {
        /// Where.
        offset: u64,
        /// How many.
        bytes: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No EROFS superblock.
    #[error("no erofs superblock")]
    NotErofs,
    /// The superblock's checksum is wrong.
    #[error("the superblock's checksum is wrong")]
    Checksum,
    /// A feature this reader lacks: compression, shared xattrs, multiple devices.
    #[error("the image uses {what}, which this reader does not know")]
    Unsupported {
        /// The feature.
        what: &'static str,
    },
    /// A structure contradicts itself.
    #[error("inode {nid} is corrupt: {what}")]
    Corrupt {
        /// Inode number.
        nid: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The result would exceed the caller's limit.
    #[error("inode {nid} exceeds the limit of {limit}")]
    TooLarge {
        /// Inode number.
        nid: u64,
        /// Bytes or entries.
        limit: u64,
    },
    /// Contents cannot be written out.
    #[error("cannot write the contents out")]
    Output(#[source] io::Error),
}

/// The superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Inode number of the root.
    pub root: u64,
    /// Inodes in the image.
    pub inodes: u64,
    /// Seconds since 1970 of the build.
    pub build_time: u64,
    /// Blocks in the image.
    pub blocks: u32,
    /// Block that inode numbers count from.
    pub meta_block: u32,
    /// File-system id.
    pub uuid: [u8; 16],
    /// Name, padded with NUL.
    pub volume_name: [u8; 16],
}

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
    union: u32,
    header: u64,
    xattr_bytes: u64,
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

/// One directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirent {
    /// Name, `.` and `..` included.
    pub name: Vec<u8>,
    /// Inode number.
    pub nid: u64,
    /// Type byte.
    pub kind: u8,
}

/// An open image.
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    superblock: Superblock,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..at + N)
        .and_then(|part| part.try_into().ok())
        .unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}

/// Reads the superblock out of the image's first block.
fn parse_superblock(block: &[u8]) -> Result<Superblock, ReadError> {
    let raw = block.get(SUPER_OFFSET as usize..).unwrap_or_default();
    if raw.len() < SUPER_SIZE || u32_at(raw, 0) != MAGIC {
        return Err(ReadError::NotErofs);
    }
    if u32_at(raw, 8) & COMPAT_CHECKSUM != 0 {
        let mut zeroed = raw.to_vec();
        if let Some(sum) = zeroed.get_mut(4..8) {
            sum.fill(0);
        }
        if checksum(&zeroed) != u32_at(raw, 4) {
            return Err(ReadError::Checksum);
        }
    }
    if field::<1>(raw, 12) != [BLOCK_BITS] {
        return Err(ReadError::Unsupported {
            what: "another block size",
        });
    }
    if u32_at(raw, 80) & !INCOMPAT_CHUNKED != 0 {
        return Err(ReadError::Unsupported {
            what: "an incompatible feature",
        });
    }
    Ok(Superblock {
        root: u64::from(u16_at(raw, 14)),
        inodes: u64_at(raw, 16),
        build_time: u64_at(raw, 24),
        blocks: u32_at(raw, 36),
        meta_block: u32_at(raw, 40),
        uuid: field(raw, 48),
        volume_name: field(raw, 64),
    })
}

impl<S: Source> Reader<S> {
    /// Opens an image: checks magic, checksum and features.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(source: S) -> Result<Self, ReadError> {
        let mut block = [0; BLOCK as usize];
        read(&source, 0, &mut block)?;
        Ok(Self {
            superblock: parse_superblock(&block)?,
            source,
        })
    }

    /// The superblock.
    pub const fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The root directory.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn root(&self) -> Result<Inode, ReadError> {
        self.inode(self.superblock.root)
    }

    /// The inode of a number.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn inode(&self, nid: u64) -> Result<Inode, ReadError> {
        let corrupt = |what| ReadError::Corrupt { nid, what };
        let place = nid
            .checked_mul(SLOT)
            .and_then(|place| place.checked_add(u64::from(self.superblock.meta_block) * BLOCK))
            .ok_or_else(|| corrupt("number out of range"))?;
        let mut raw = [0; INODE_SIZE as usize];
        let compact = &mut raw[..SLOT as usize];
        read(&self.source, place, compact)?;
        let format = u16_at(compact, 0);
        let extended = format & 1 == 1;
        if extended {
            read(&self.source, place, &mut raw)?;
        }
        let layout = match (format >> 1) & 7 {
            LAYOUT_PLAIN => Layout::Plain,
            LAYOUT_INLINE => Layout::Inline,
            LAYOUT_CHUNKED => Layout::Chunked,
            _ => return Err(ReadError::Unsupported { what: "compression" }),
        };
        let (header, xattr_bytes) = (
            place + if extended { INODE_SIZE } else { SLOT },
            xattr::body_size(u16_at(&raw, 2)),
        );
        let base = Inode {
            nid,
            mode: u16_at(&raw, 4),
            uid: 0,
            gid: 0,
            mtime: Time {
                seconds: self.superblock.build_time.cast_signed(),
                nanoseconds: 0,
            },
            size: u64::from(u32_at(&raw, 8)),
            links: u32::from(u16_at(&raw, 6)),
            layout,
            union: u32_at(&raw, 16),
            header,
            xattr_bytes,
        };
        Ok(if extended {
            extend(base, &raw)
        } else {
            compacted(base, &raw)
        })
    }

    /// The extended attributes of an inode.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn xattrs(&self, inode: &Inode) -> Result<Xattrs, ReadError> {
        let mut body = vec![0; usize::try_from(inode.xattr_bytes).unwrap_or(0)];
        read(&self.source, inode.header, &mut body)?;
        xattr::decode(&body).ok_or(ReadError::Corrupt {
            nid: inode.nid,
            what: "extended attributes",
        })
    }

    /// The contents of a file, directory or link, if at most `limit` bytes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn contents(&self, inode: &Inode, limit: u64) -> Result<Vec<u8>, ReadError> {
        if inode.size > limit {
            return Err(ReadError::TooLarge { nid: inode.nid, limit });
        }
        let mut bytes = Vec::new();
        self.copy(inode, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes the contents of a file out, holes as zeros.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn copy(&self, inode: &Inode, out: &mut impl Write) -> Result<(), ReadError> {
        let mut block = [0; BLOCK as usize];
        let mut done = 0;
        while done < inode.size {
            let length = (inode.size - done).min(BLOCK);
            let part = &mut block[..usize::try_from(length).unwrap_or(0)];
            match self.locate(inode, done, length)? {
                Some(place) => read(&self.source, place, part)?,
                None => part.fill(0),
            }
            out.write_all(part).map_err(ReadError::Output)?;
            done += length;
        }
        Ok(())
    }

    /// Where the block of contents at `offset` lies; `None` for a hole.
    fn locate(&self, inode: &Inode, offset: u64, length: u64) -> Result<Option<u64>, ReadError> {
        let behind = inode.header + inode.xattr_bytes;
        match inode.layout {
            Layout::Inline if offset + BLOCK > inode.size => {
                if behind % BLOCK + length > BLOCK {
                    return Err(ReadError::Corrupt {
                        nid: inode.nid,
                        what: "tail crosses a block",
                    });
                }
                Ok(Some(behind))
            }
            Layout::Plain | Layout::Inline => Ok(Some(u64::from(inode.union) * BLOCK + offset)),
            Layout::Chunked => self.locate_chunk(inode, offset, behind),
        }
    }

    fn locate_chunk(&self, inode: &Inode, offset: u64, behind: u64) -> Result<Option<u64>, ReadError> {
        if inode.union & !0x1f != 0 {
            return Err(ReadError::Unsupported { what: "chunk indexes" });
        }
        let bits = u32::from(BLOCK_BITS) + inode.union;
        let mut index = [0; 4];
        read(
            &self.source,
            behind.next_multiple_of(4) + 4 * (offset >> bits),
            &mut index,
        )?;
        let block = u32::from_le_bytes(index);
        let within = offset & ((1 << bits) - 1);
        Ok((block != NULL_BLOCK).then_some(u64::from(block) * BLOCK + within))
    }

    /// The entries of a directory of at most `limit` bytes, `.` and `..` included.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entries(&self, inode: &Inode, limit: u64) -> Result<Vec<Dirent>, ReadError> {
        let corrupt = |what| ReadError::Corrupt { nid: inode.nid, what };
        if !inode.is_dir() {
            return Err(corrupt("not a directory"));
        }
        let bytes = self.contents(inode, limit)?;
        let mut entries: Vec<Dirent> = Vec::new();
        for block in bytes.chunks(BLOCK as usize) {
            let decoded = dir::decode_block(block).ok_or_else(|| corrupt("directory block"))?;
            entries.extend(decoded.into_iter().map(|(name, nid, kind)| Dirent {
                name: name.to_vec(),
                nid,
                kind,
            }));
        }
        if entries.is_sorted_by(|a, b| a.name < b.name) {
            Ok(entries)
        } else {
            Err(corrupt("entries out of order"))
        }
    }

    /// Every path with its inode, parents first; at most `limit` entries.
    ///
    /// # Errors
    /// [`ReadError`], a directory reached twice included.
    pub fn walk(&self, limit: usize) -> Result<Vec<(TreePath, Inode)>, ReadError> {
        let root = self.root()?;
        let (mut seen, mut pending) = (BTreeSet::from([root.nid]), vec![(TreePath::root(), root)]);
        let mut found = Vec::new();
        while let Some((path, inode)) = pending.pop() {
            if found.len() + pending.len() >= limit {
                return Err(ReadError::TooLarge {
                    nid: inode.nid,
                    limit: limit as u64,
                });
            }
            if inode.is_dir() {
                for (path, child) in self.children(&path, &inode, limit)? {
                    if child.is_dir() && !seen.insert(child.nid) {
                        return Err(ReadError::Corrupt {
                            nid: child.nid,
                            what: "directory reached twice",
                        });
                    }
                    pending.push((path, child));
                }
            }
            found.push((path, inode));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    fn children(&self, path: &TreePath, inode: &Inode, limit: usize) -> Result<Vec<(TreePath, Inode)>, ReadError> {
        let bytes = (limit as u64).saturating_mul(300);
        self.entries(inode, bytes)?
            .into_iter()
            .filter(|entry| !matches!(entry.name.as_slice(), b"." | b".."))
            .map(|entry| {
                let corrupt = |_| ReadError::Corrupt {
                    nid: inode.nid,
                    what: "entry name",
                };
                Ok((path.join(&entry.name).map_err(corrupt)?, self.inode(entry.nid)?))
            })
            .collect()
    }
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

fn read(source: &impl Source, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
    let bytes = buffer.len();
    source
        .read_at(offset, buffer)
        .map_err(|source| ReadError::Io { offset, bytes, source })
}
