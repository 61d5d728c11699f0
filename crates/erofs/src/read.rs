//! A bounds-checked reader of uncompressed images: for tests, inspection and as the judge of the
//! writer. Trusts nothing it reads; its memory is bounded by the limits the caller gives.

mod bytes;
mod inode;
mod superblock;

use std::collections::BTreeSet;
use std::io::{self, Write};

use crate::format::{BLOCK, BLOCK_BITS, INODE_SIZE, NULL_BLOCK, SLOT};
use crate::path::TreePath;
use crate::source::Source;
use crate::tree::Xattrs;
use crate::{dir, xattr};

pub use inode::{Inode, Layout};
pub use superblock::Superblock;

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

impl<S: Source> Reader<S> {
    /// Opens an image: checks magic, checksum and features.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(source: S) -> Result<Self, ReadError> {
        let mut block = [0; BLOCK as usize];
        read(&source, 0, &mut block)?;
        Ok(Self {
            superblock: superblock::parse(&block)?,
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
        if inode::is_extended(compact) {
            read(&self.source, place, &mut raw)?;
        }
        inode::parse(nid, place, self.superblock.build_time, &raw)
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

fn read(source: &impl Source, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
    let bytes = buffer.len();
    source
        .read_at(offset, buffer)
        .map_err(|source| ReadError::Io { offset, bytes, source })
}
