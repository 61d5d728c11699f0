//! Where everything goes: a tree and the sizes of its files to inode numbers and block addresses. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::{
    BLOCK, INODE_SIZE, LAYOUT_CHUNKED, LAYOUT_INLINE, LAYOUT_PLAIN, SLOT, SUPER_OFFSET, SUPER_SIZE, mode,
};
use crate::path::TreePath;
use crate::tree::{Content, FileData, Node, Tree, TreeError};
use crate::{dir, xattr};

/// File data starts at a multiple of this many blocks, so that small changes of the metadata do not
/// move it.
const DATA_ALIGN: u64 = 16;

/// Why a tree has no layout.
#[derive(Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The tree is not one.
    Tree(TreeError),
    /// An attribute that the format cannot hold.
    Xattr {
        /// The node.
        path: TreePath,
        /// The attribute's name.
        name: Vec<u8>,
    },
    /// More blocks than 32 bits count.
    TooLarge,
}

/// One inode and its place.
#[derive(Debug)]
pub struct Placed<'a> {
    /// Its first name.
    pub path: &'a TreePath,
    /// What it is.
    pub node: &'a Node,
    /// Inode number: place divided by [`SLOT`].
    pub nid: u64,
    /// One of the `LAYOUT_` constants.
    pub layout: u16,
    /// Bytes of contents.
    pub size: u64,
    /// First block of contents outside the inode.
    pub first_block: u32,
    /// Names that point here.
    pub links: u32,
    /// Encoded xattr body.
    pub xattrs: Vec<u8>,
    /// Index of the parent.
    pub parent: usize,
    /// Names and indices of a directory's entries, in byte order, without `.` and `..`.
    pub children: Vec<(&'a [u8], usize)>,
}

/// A whole image, planned.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Inodes in path order; the root is the first.
    pub inodes: Vec<Placed<'a>>,
    /// Block where file contents start: the end of the directory blocks, aligned if there are any.
    pub data_block: u64,
    /// Blocks of the image.
    pub blocks: u32,
    /// Whether chunk-based files occur.
    pub chunked: bool,
}

/// Plans an image. `size_of` gives the bytes of a file that is copied from the host.
pub fn plan<'a>(tree: &'a Tree, inline_max: u64, size_of: &dyn Fn(&TreePath) -> u64) -> Result<Plan<'a>, LayoutError> {
    tree.validate().map_err(LayoutError::Tree)?;
    let mut inodes = collect(tree)?;
    let mut place = SUPER_OFFSET + SUPER_SIZE as u64;
    for inode in &mut inodes {
        inode.size = content_size(inode, size_of);
        inode.layout = decide_layout(inode, inline_max);
        place = place_inode(inode, place);
    }
    let mut next = place.div_ceil(BLOCK);
    assign_blocks(&mut inodes, &mut next, true)?;
    if inodes
        .iter()
        .any(|inode| !inode.node.is_dir() && outside_blocks(inode) > 0)
    {
        next = next.next_multiple_of(DATA_ALIGN);
    }
    let data_block = next;
    assign_blocks(&mut inodes, &mut next, false)?;
    let blocks = u32::try_from(next).map_err(|_| LayoutError::TooLarge)?;
    let chunked = inodes.iter().any(|inode| inode.layout == LAYOUT_CHUNKED);
    Ok(Plan {
        inodes,
        data_block,
        blocks,
        chunked,
    })
}

/// Inodes with their links and children, without places.
fn collect(tree: &Tree) -> Result<Vec<Placed<'_>>, LayoutError> {
    let mut index: BTreeMap<&TreePath, usize> = BTreeMap::new();
    let mut inodes = Vec::with_capacity(tree.len());
    for (path, node) in tree
        .iter()
        .filter(|(_, node)| !matches!(node.content, Content::Hardlink(_)))
    {
        let xattrs = xattr::encode(&node.xattrs).map_err(|name| LayoutError::Xattr {
            path: path.clone(),
            name,
        })?;
        let parent = path
            .parent()
            .and_then(|parent| index.get(&parent).copied())
            .unwrap_or(0);
        index.insert(path, inodes.len());
        inodes.push(Placed {
            path,
            node,
            nid: 0,
            layout: LAYOUT_PLAIN,
            size: 0,
            first_block: 0,
            links: if node.is_dir() { 2 } else { 0 },
            xattrs,
            parent,
            children: Vec::new(),
        });
    }
    for (path, node) in tree.iter().filter(|(path, _)| !path.is_root()) {
        let target = if let Content::Hardlink(target) = &node.content {
            target
        } else {
            path
        };
        let parent = path.parent().unwrap_or_else(TreePath::root);
        // Validated: both are in the tree.
        let (Some(&target), Some(&parent)) = (index.get(target), index.get(&parent)) else {
            continue;
        };
        inodes[parent].children.push((path.name(), target));
        if inodes[target].node.is_dir() {
            inodes[parent].links += 1;
        } else {
            inodes[target].links += 1;
        }
    }
    Ok(inodes)
}

fn content_size(inode: &Placed<'_>, size_of: &dyn Fn(&TreePath) -> u64) -> u64 {
    match &inode.node.content {
        Content::Dir => {
            let names: BTreeSet<&[u8]> = inode
                .children
                .iter()
                .map(|(name, _)| *name)
                .chain([b".".as_slice(), b"..".as_slice()])
                .collect();
            dir::encoded_size(names.iter().map(|name| name.len()))
        }
        Content::File(FileData::Bytes(bytes)) => bytes.len() as u64,
        Content::File(FileData::Path(_)) => size_of(inode.path),
        Content::File(FileData::External { size }) => *size,
        Content::Symlink(target) => target.len() as u64,
        _ => 0,
    }
}

fn decide_layout(inode: &Placed<'_>, inline_max: u64) -> u16 {
    let tail = inode.size % BLOCK;
    let fits = INODE_SIZE + inode.xattrs.len() as u64 + tail <= BLOCK;
    match &inode.node.content {
        Content::File(FileData::External { size }) if *size > 0 => LAYOUT_CHUNKED,
        Content::File(_) if inode.size > inline_max => LAYOUT_PLAIN,
        Content::Dir | Content::File(_) | Content::Symlink(_) if tail > 0 && fits => LAYOUT_INLINE,
        _ => LAYOUT_PLAIN,
    }
}

/// Bytes behind the xattrs of an inode: the inline tail or the one chunk index.
pub fn behind_inode(inode: &Placed<'_>) -> u64 {
    match inode.layout {
        LAYOUT_INLINE => inode.size % BLOCK,
        LAYOUT_CHUNKED => 4,
        _ => 0,
    }
}

/// Blocks of contents outside the inode.
fn outside_blocks(inode: &Placed<'_>) -> u64 {
    match inode.layout {
        LAYOUT_INLINE => inode.size / BLOCK,
        LAYOUT_CHUNKED => 0,
        _ => inode.size.div_ceil(BLOCK),
    }
}

/// Gives the inode the first place at or after `place`; returns the end. An inode with its tail stays
/// within a block (the kernel refuses tails that cross one); one whose xattrs are longer starts a block.
fn place_inode(inode: &mut Placed<'_>, place: u64) -> u64 {
    let mut place = place.next_multiple_of(SLOT);
    let bytes = INODE_SIZE + inode.xattrs.len() as u64 + behind_inode(inode);
    if place % BLOCK + bytes > BLOCK {
        place = place.next_multiple_of(BLOCK);
    }
    inode.nid = place / SLOT;
    place + bytes
}

fn assign_blocks(inodes: &mut [Placed<'_>], next: &mut u64, dirs: bool) -> Result<(), LayoutError> {
    for inode in inodes.iter_mut().filter(|inode| inode.node.is_dir() == dirs) {
        let blocks = outside_blocks(inode);
        if blocks > 0 {
            inode.first_block = u32::try_from(*next).map_err(|_| LayoutError::TooLarge)?;
            *next += blocks;
        }
    }
    Ok(())
}

/// The `st_mode` of a node.
pub const fn full_mode(node: &Node) -> u16 {
    let kind = match &node.content {
        Content::Dir => mode::DIR,
        Content::File(_) | Content::Hardlink(_) => mode::FILE,
        Content::Symlink(_) => mode::SYMLINK,
        Content::CharDevice { .. } => mode::CHAR,
        Content::BlockDevice { .. } => mode::BLOCK,
        Content::Fifo => mode::FIFO,
        Content::Socket => mode::SOCKET,
    };
    kind | (node.mode & 0o7777)
}
