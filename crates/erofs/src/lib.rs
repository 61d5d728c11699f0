//! A small EROFS writer and reader: uncompressed, 4096-byte blocks, the same bytes for the same tree.
//!
//! Two consumers: the root image of the operating system (file contents inside) and the metadata image
//! of a container image (files point into an object store through overlay xattrs and hold no data).
//! Knows the on-disk format only: never mounts, never talks to a device, never looks at the clock.
//!
//! The layout, in this order: superblock, inodes in path order with small contents inline, directory
//! blocks, padding to 64 KiB, file contents in path order, each from a block boundary. So a file that
//! did not change keeps its 4 KiB blocks byte for byte from one release to the next.
//!
//! Format: `Documentation/filesystems/erofs.rst` and `fs/erofs/erofs_fs.h` of the kernel.

mod dir;
pub mod format;
pub mod fuzz;
mod layout;
mod path;
mod read;
mod source;
mod tree;
mod write;
mod xattr;

pub use path::TreePath;
pub use read::{Dirent, Inode, Layout, ReadError, Reader, Superblock};
pub use source::{Source, Window};
pub use tree::{Content, FileData, Node, Time, Tree, TreeError, Xattrs};
pub use write::{Options, WriteError, Written, write_image};
