//! Writes a planned image: metadata from memory, then file contents streamed from their sources.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use crate::format::{
    BLOCK, COMPAT_CHECKSUM, COMPAT_MTIME, INCOMPAT_CHUNKED, INODE_SIZE, LAYOUT_CHUNKED, LAYOUT_INLINE, NULL_BLOCK,
    RawInode, RawSuper, SLOT, SUPER_OFFSET, checksum, dirent_type, encode_device, hole_chunk_format,
};
use crate::layout::{self, LayoutError, Placed, Plan, full_mode};
use crate::path::TreePath;
use crate::tree::{Content, FileData, Tree, TreeError};
use crate::{dir, xattr};

/// What an image carries besides the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// File-system id.
    pub uuid: [u8; 16],
    /// Seconds since 1970 of the build.
    pub build_time: u64,
    /// Name, padded with NUL.
    pub volume_name: [u8; 16],
    /// Regular files up to this many bytes lie behind their inode; larger ones start a block.
    pub inline_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            uuid: [0; 16],
            build_time: 0,
            volume_name: [0; 16],
            inline_max: 512,
        }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the image, whole blocks.
    pub bytes: u64,
    /// Inodes of the image.
    pub inodes: u64,
    /// Bytes before the file contents.
    pub metadata_bytes: u64,
}

/// Why an image was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The tree is not one.
    #[error("the tree cannot be written")]
    Tree(#[source] TreeError),
    /// An attribute that the format cannot hold.
    #[error("{path} has the attribute {name}, which an image cannot hold")]
    Xattr {
        /// The node.
        path: String,
        /// The attribute.
        name: String,
    },
    /// More than 16 TiB.
    #[error("the image would have more blocks than the format counts")]
    TooLarge,
    /// A file of the host cannot be read.
    #[error("cannot read {path} of the host", path = path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the host changed its length while the image was written.
    #[error("{path} of the host changed while it was copied", path = path.display())]
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// The image cannot be written.
    #[error("cannot write the image")]
    Output(#[source] io::Error),
}

impl From<LayoutError> for WriteError {
    fn from(error: LayoutError) -> Self {
        match error {
            LayoutError::Tree(source) => Self::Tree(source),
            LayoutError::TooLarge => Self::TooLarge,
            LayoutError::Xattr { path, name } => Self::Xattr {
                path: path.to_string(),
                name: String::from_utf8_lossy(&name).into_owned(),
            },
        }
    }
}

/// Writes `tree` to `out`, from its current place on. The same tree and options give the same bytes.
///
/// # Errors
/// See [`WriteError`]; what was written before an error is no image.
pub fn write_image(tree: &Tree, out: &mut impl Write, options: &Options) -> Result<Written, WriteError> {
    let sizes = host_sizes(tree)?;
    let size_of = |path: &TreePath| sizes.get(path).copied().unwrap_or(0);
    let plan = layout::plan(tree, options.inline_max, &size_of)?;
    let metadata = encode_metadata(&plan, options)?;
    out.write_all(&metadata).map_err(WriteError::Output)?;
    for inode in &plan.inodes {
        write_contents(inode, out)?;
    }
    out.flush().map_err(WriteError::Output)?;
    Ok(Written {
        bytes: u64::from(plan.blocks) * BLOCK,
        inodes: plan.inodes.len() as u64,
        metadata_bytes: metadata.len() as u64,
    })
}

fn host_sizes(tree: &Tree) -> Result<BTreeMap<&TreePath, u64>, WriteError> {
    let mut sizes = BTreeMap::new();
    for (path, node) in tree.iter() {
        if let Content::File(FileData::Path(source)) = &node.content {
            let metadata = std::fs::metadata(source).map_err(|error| WriteError::Source {
                path: source.clone(),
                source: error,
            })?;
            sizes.insert(path, metadata.len());
        }
    }
    Ok(sizes)
}

fn encode_metadata(plan: &Plan<'_>, options: &Options) -> Result<Vec<u8>, WriteError> {
    let length = usize::try_from(plan.data_block * BLOCK).map_err(|_| WriteError::TooLarge)?;
    let mut out = vec![0; length];
    for (number, inode) in plan.inodes.iter().enumerate() {
        encode_inode(plan, number, inode, &mut out)?;
    }
    put(&mut out, SUPER_OFFSET, &super_block(plan, options).encode());
    let rest = out.get(SUPER_OFFSET as usize..BLOCK as usize).unwrap_or_default();
    let sum = checksum(rest);
    put(&mut out, SUPER_OFFSET + 4, &sum.to_le_bytes());
    Ok(out)
}

fn super_block(plan: &Plan<'_>, options: &Options) -> RawSuper {
    let root = plan.inodes.first().map_or(0, |inode| inode.nid);
    RawSuper {
        compat: COMPAT_CHECKSUM | COMPAT_MTIME,
        incompat: if plan.chunked { INCOMPAT_CHUNKED } else { 0 },
        root: u16::try_from(root).unwrap_or(0),
        inodes: plan.inodes.len() as u64,
        build_time: (options.build_time, 0),
        blocks: plan.blocks,
        meta_block: 0,
        uuid: options.uuid,
        volume_name: options.volume_name,
    }
}

fn encode_inode(plan: &Plan<'_>, number: usize, inode: &Placed<'_>, out: &mut [u8]) -> Result<(), WriteError> {
    let node = inode.node;
    let raw = RawInode {
        layout: inode.layout,
        xattr_count: xattr::count(inode.xattrs.len()).unwrap_or(0),
        mode: full_mode(node),
        size: inode.size,
        union: union_word(inode),
        number: u32::try_from(number + 1).map_err(|_| WriteError::TooLarge)?,
        uid: node.uid,
        gid: node.gid,
        mtime: node.mtime.seconds,
        mtime_nanoseconds: node.mtime.nanoseconds,
        links: inode.links,
    };
    let place = inode.nid * SLOT;
    put(out, place, &raw.encode());
    put(out, place + INODE_SIZE, &inode.xattrs);
    let behind = place + INODE_SIZE + inode.xattrs.len() as u64;
    match &node.content {
        Content::Dir => put_split(inode, behind, &dir::encode(&dir_entries(plan, number, inode)), out),
        Content::Symlink(target) if inode.layout == LAYOUT_INLINE => put(out, behind, target),
        Content::File(_) if inode.layout == LAYOUT_CHUNKED => put(out, behind, &NULL_BLOCK.to_le_bytes()),
        Content::File(data) if inode.layout == LAYOUT_INLINE => put(out, behind, &load(data, inode.size)?),
        _ => {}
    }
    Ok(())
}

const fn union_word(inode: &Placed<'_>) -> u32 {
    match &inode.node.content {
        Content::CharDevice { major, minor } | Content::BlockDevice { major, minor } => encode_device(*major, *minor),
        _ if inode.layout == LAYOUT_CHUNKED => hole_chunk_format(inode.size),
        _ => inode.first_block,
    }
}

fn dir_entries<'a>(plan: &Plan<'a>, number: usize, inode: &Placed<'a>) -> Vec<dir::Entry<'a>> {
    let own = [(b".".as_slice(), number), (b"..".as_slice(), inode.parent)];
    let mut entries: Vec<dir::Entry<'a>> = own
        .into_iter()
        .chain(inode.children.iter().copied())
        .filter_map(|(name, at)| {
            let target = plan.inodes.get(at)?;
            Some(dir::Entry {
                name,
                nid: target.nid,
                kind: dirent_type(full_mode(target.node)),
            })
        })
        .collect();
    entries.sort_by_key(|entry| entry.name);
    entries
}

/// Contents in whole blocks at the first block, the tail behind the inode if the layout says so.
fn put_split(inode: &Placed<'_>, behind: u64, bytes: &[u8], out: &mut [u8]) {
    let whole = if inode.layout == LAYOUT_INLINE {
        bytes.len() - bytes.len() % BLOCK as usize
    } else {
        bytes.len()
    };
    let (blocks, tail) = bytes.split_at(whole);
    put(out, u64::from(inode.first_block) * BLOCK, blocks);
    put(out, behind, tail);
}

/// Copies `bytes` into the planned place; the plan made `out` large enough.
fn put(out: &mut [u8], place: u64, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let start = usize::try_from(place).unwrap_or(usize::MAX);
    out[start..start + bytes.len()].copy_from_slice(bytes);
}

fn load(data: &FileData, size: u64) -> Result<Vec<u8>, WriteError> {
    let mut bytes = Vec::new();
    copy(data, size, &mut bytes)?;
    Ok(bytes)
}

fn write_contents(inode: &Placed<'_>, out: &mut impl Write) -> Result<(), WriteError> {
    if inode.first_block == 0 || inode.node.is_dir() {
        return Ok(());
    }
    match &inode.node.content {
        Content::File(data) => copy(data, inode.size, out)?,
        Content::Symlink(target) => out.write_all(target).map_err(WriteError::Output)?,
        _ => return Ok(()),
    }
    let padding = inode.size.next_multiple_of(BLOCK) - inode.size;
    io::copy(&mut io::repeat(0).take(padding), out).map_err(WriteError::Output)?;
    Ok(())
}

fn copy(data: &FileData, size: u64, out: &mut impl Write) -> Result<(), WriteError> {
    match data {
        FileData::Bytes(bytes) => out.write_all(bytes).map_err(WriteError::Output),
        FileData::External { .. } => Ok(()),
        FileData::Path(path) => {
            let failed = |source| WriteError::Source {
                path: path.clone(),
                source,
            };
            let mut file = File::open(path).map_err(failed)?;
            let copied = copy_exactly(&mut file, size, out, failed)?;
            if copied == size && file.read(&mut [0]).map_err(failed)? == 0 {
                Ok(())
            } else {
                Err(WriteError::SourceChanged { path: path.clone() })
            }
        }
    }
}

/// Copies up to `size` bytes, telling a failure to read from one to write; returns how many came.
fn copy_exactly(
    file: &mut File,
    size: u64,
    out: &mut impl Write,
    failed: impl Fn(io::Error) -> WriteError,
) -> Result<u64, WriteError> {
    let mut buffer = vec![0; 64 * 1024];
    let mut copied = 0;
    while copied < size {
        let want = usize::try_from((size - copied).min(buffer.len() as u64)).unwrap_or(buffer.len());
        let (part, _) = buffer.split_at_mut(want);
        let got = file.read(part).map_err(&failed)?;
        if got == 0 {
            break;
        }
        out.write_all(part.get(..got).unwrap_or_default())
            .map_err(WriteError::Output)?;
        copied += got as u64;
    }
    Ok(copied)
}
