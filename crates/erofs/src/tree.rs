//! The tree an image is made from: a path-ordered map of nodes. Pure values; never reads a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::path::TreePath;

/// Extended attributes by full name (`security.capability`), in byte order.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is wrong with a path or a tree.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TreeError {
    /// A component is empty, `.`, `..`, longer than 255 bytes or holds a NUL.
    #[error("path {path} has a component that no directory can hold")]
    BadPath {
        /// The path as given.
        path: String,
    },
    /// A node's parent is missing or is not a directory.
    #[error("the parent of {path} is not a directory of the tree")]
    NoParent {
        /// The orphan.
        path: String,
    },
    /// The root is not a directory.
    #[error("the root of the tree is not a directory")]
    RootNotDirectory,
    /// A hard link's target is missing, a directory or itself a link.
    #[error("{path} is a hard link to {target}, which is no file of the tree")]
    BadHardlink {
        /// The link.
        path: String,
        /// What it names.
        target: String,
    },
}

/// A modification time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

/// Where the bytes of a regular file come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileData {
    /// The bytes themselves.
    Bytes(Vec<u8>),
    /// A file of the host, read while the image is written.
    Path(PathBuf),
    /// No bytes in the image: a hole of this size. With overlay's metacopy and redirect xattrs the
    /// contents come from an object store; without them the file reads as zeros.
    External {
        /// Bytes the file is said to have.
        size: u64,
    },
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A directory; its entries are the nodes below it.
    Dir,
    /// A regular file.
    File(FileData),
    /// A symbolic link to these bytes.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
    /// One more name of another node; the mode, owner, time and xattrs given here are ignored.
    Hardlink(TreePath),
}

/// One entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Permission bits, 0o7777.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Time,
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// What it is.
    pub content: Content,
}

impl Node {
    /// A node owned by root, of time zero and without xattrs.
    #[must_use]
    pub const fn new(mode: u16, content: Content) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            mtime: Time {
                seconds: 0,
                nanoseconds: 0,
            },
            xattrs: Xattrs::new(),
            content,
        }
    }

    /// A directory of this mode.
    #[must_use]
    pub const fn dir(mode: u16) -> Self {
        Self::new(mode, Content::Dir)
    }

    /// A regular file of this mode with these bytes.
    #[must_use]
    pub const fn file(mode: u16, bytes: Vec<u8>) -> Self {
        Self::new(mode, Content::File(FileData::Bytes(bytes)))
    }

    /// A regular file of this mode, copied from a file of the host.
    #[must_use]
    pub const fn file_from(mode: u16, path: PathBuf) -> Self {
        Self::new(mode, Content::File(FileData::Path(path)))
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(target: impl Into<Vec<u8>>) -> Self {
        Self::new(0o777, Content::Symlink(target.into()))
    }

    /// Whether this is a directory.
    #[must_use]
    pub const fn is_dir(&self) -> bool {
        matches!(self.content, Content::Dir)
    }
}

/// A file tree: nodes by path, parents before children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<TreePath, Node>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new(Node::dir(0o755))
    }
}

impl Tree {
    /// A tree that holds only its root.
    #[must_use]
    pub fn new(root: Node) -> Self {
        Self {
            nodes: BTreeMap::from([(TreePath::root(), root)]),
        }
    }

    /// Puts a node at `path`, replacing what was there; entries below it stay. Parents may come later.
    ///
    /// # Errors
    /// [`TreeError::BadPath`].
    pub fn insert(&mut self, path: impl AsRef<[u8]>, node: Node) -> Result<(), TreeError> {
        self.set(TreePath::parse(path)?, node);
        Ok(())
    }

    /// [`Tree::insert`], making missing parents as directories of mode 0755 owned by root.
    ///
    /// # Errors
    /// [`TreeError::BadPath`].
    pub fn insert_with_parents(&mut self, path: impl AsRef<[u8]>, node: Node) -> Result<(), TreeError> {
        let path = TreePath::parse(path)?;
        let mut parent = path.parent();
        while let Some(dir) = parent {
            parent = dir.parent();
            self.nodes.entry(dir).or_insert_with(|| Node::dir(0o755));
        }
        self.set(path, node);
        Ok(())
    }

    /// [`Tree::insert`] with a parsed path.
    pub fn set(&mut self, path: TreePath, node: Node) {
        self.nodes.insert(path, node);
    }

    /// Removes a node and everything below it; says how many went. The root stays.
    pub fn remove(&mut self, path: &TreePath) -> usize {
        let removed = self.remove_children(path);
        if path.is_root() {
            return removed;
        }
        removed + usize::from(self.nodes.remove(path).is_some())
    }

    /// Removes everything below a node, which stays; says how many went.
    pub fn remove_children(&mut self, path: &TreePath) -> usize {
        let below: Vec<TreePath> = self.below(path).map(|(child, _)| child.clone()).collect();
        for child in &below {
            self.nodes.remove(child);
        }
        below.len()
    }

    /// Everything strictly below a node, in path order.
    pub fn below<'a>(&'a self, path: &'a TreePath) -> impl Iterator<Item = (&'a TreePath, &'a Node)> {
        self.nodes
            .range(path.clone()..)
            .take_while(move |(child, _)| child.starts_with(path))
            .filter(move |(child, _)| *child != path)
    }

    /// The node at a path.
    #[must_use]
    pub fn get(&self, path: &TreePath) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The node at a path, to be changed.
    pub fn get_mut(&mut self, path: &TreePath) -> Option<&mut Node> {
        self.nodes.get_mut(path)
    }

    /// Every node in path order, the root first.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Node)> {
        self.nodes.iter()
    }

    /// How many nodes there are, the root and hard links included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never true: a tree has a root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Checks what [`crate::write_image`] relies on.
    ///
    /// # Errors
    /// The first orphan, bad hard link, or a root that is no directory.
    pub fn validate(&self) -> Result<(), TreeError> {
        for (path, node) in &self.nodes {
            match path.parent() {
                None if !node.is_dir() => return Err(TreeError::RootNotDirectory),
                Some(parent) if !self.nodes.get(&parent).is_some_and(Node::is_dir) => {
                    return Err(TreeError::NoParent { path: path.to_string() });
                }
                _ => {}
            }
            if let Content::Hardlink(target) = &node.content {
                self.validate_hardlink(path, target)?;
            }
        }
        Ok(())
    }

    fn validate_hardlink(&self, path: &TreePath, target: &TreePath) -> Result<(), TreeError> {
        match self.nodes.get(target).map(|node| &node.content) {
            Some(Content::Dir | Content::Hardlink(_)) | None => Err(TreeError::BadHardlink {
                path: path.to_string(),
                target: target.to_string(),
            }),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_followed_by_what_lies_below_it() {
        let mut tree = Tree::default();
        for path in ["a-b", "a", "a/x", "a.b", "a0"] {
            tree.insert(path, Node::dir(0o755)).unwrap();
        }
        let order: Vec<String> = tree.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(order, ["/", "/a", "/a/x", "/a-b", "/a.b", "/a0"]);
    }

    #[test]
    fn removing_a_directory_takes_what_lies_below_and_nothing_else() {
        let mut tree = Tree::default();
        for path in ["a", "a/x", "a/x/y", "a-b", "ab"] {
            tree.insert(path, Node::dir(0o755)).unwrap();
        }
        assert_eq!(tree.remove(&TreePath::parse("a").unwrap()), 3);
        assert_eq!(tree.len(), 3);
    }

    #[test]
    fn finds_orphans_and_dangling_links() {
        let mut tree = Tree::default();
        tree.insert("a/b", Node::dir(0o755)).unwrap();
        assert!(matches!(tree.validate(), Err(TreeError::NoParent { .. })));
        tree.insert("a", Node::file(0o644, vec![])).unwrap();
        assert!(matches!(tree.validate(), Err(TreeError::NoParent { .. })));
        let mut tree = Tree::default();
        let target = TreePath::parse("gone").unwrap();
        tree.insert("l", Node::new(0, Content::Hardlink(target))).unwrap();
        assert!(matches!(tree.validate(), Err(TreeError::BadHardlink { .. })));
    }
}
