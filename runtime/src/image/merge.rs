//! Layers to one tree: whiteouts, replaced and hard-linked nodes, parents. Reads split streams and
//! decides; writes nothing. The tree refers to objects by overlay's own xattrs.
//!
//! The rules are those of the OCI image specification, `layer.md`: a whiteout hides what lower layers
//! hold and never what its own layer adds, in whatever order the archive has them.

use std::collections::BTreeMap;
use std::io::{self, Read};

use keelson_erofs::{Content, FileData, Node, Tree, TreePath, Xattrs};

use super::digest::Digest;
use super::ingest::{
    Entry, EntryName, INLINE_MAX, Kind, PathError, SplitContent, SplitReader, TarError, next_entry, padding,
    parse_entry_name, parse_entry_path,
};

/// Most symbolic links followed on the way to a parent, that of the kernel.
const SYMLINKS_MAX: usize = 40;
const OVERLAY: &[u8] = b"trusted.overlay.";

/// Why layers do not make a tree.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The split stream is broken.
    #[error("cannot read the layer's record")]
    Record(#[source] io::Error),
    /// Its tar headers are broken.
    #[error("the layer's record holds no valid tar headers")]
    Tar(#[from] TarError),
    /// A name is refused.
    #[error("the layer has an entry that is refused")]
    Path(#[from] PathError),
    /// A hard link to nothing, or to a directory.
    #[error("{path} is a hard link to {target}, which is no file of the image")]
    Hardlink {
        /// The link.
        path: String,
        /// What it names.
        target: String,
    },
    /// More than 40 symbolic links on the way to a parent.
    #[error("too many symbolic links on the way to {path}")]
    Loop {
        /// The entry.
        path: String,
    },
}

/// The tree so far: names point at nodes, so that a hard link survives the removal of the first name.
#[derive(Debug)]
pub struct Merged {
    names: BTreeMap<TreePath, usize>,
    nodes: Vec<Node>,
}

impl Default for Merged {
    fn default() -> Self {
        Self {
            names: BTreeMap::from([(TreePath::root(), 0)]),
            nodes: vec![Node::dir(0o755)],
        }
    }
}

/// One entry of a layer with its contents.
struct Addition {
    path: TreePath,
    entry: Entry,
    content: SplitContent,
}

/// What a layer does, whiteouts apart from additions.
#[derive(Default)]
struct Changes {
    hidden: Vec<TreePath>,
    emptied: Vec<TreePath>,
    added: Vec<Addition>,
}

impl Merged {
    /// Puts a layer, read from its split stream, on top.
    ///
    /// # Errors
    /// [`MergeError`].
    pub fn add_layer(&mut self, stream: impl Read) -> Result<(), MergeError> {
        let changes = read_changes(stream)?;
        for path in &changes.hidden {
            let path = self.resolve(path)?;
            self.remove(&path);
        }
        for path in &changes.emptied {
            let path = self.resolve(path)?;
            self.remove_below(&path);
        }
        for addition in changes.added {
            self.add(addition)?;
        }
        Ok(())
    }

    /// The tree, hard links as such.
    #[must_use]
    pub fn into_tree(self) -> Tree {
        let mut first: BTreeMap<usize, TreePath> = BTreeMap::new();
        let mut nodes: Vec<Option<Node>> = self.nodes.into_iter().map(Some).collect();
        let mut tree = Tree::default();
        for (path, at) in self.names {
            let node = match nodes.get_mut(at).and_then(Option::take) {
                Some(node) => {
                    first.insert(at, path.clone());
                    node
                }
                None => match first.get(&at) {
                    Some(target) => Node::new(0, Content::Hardlink(target.clone())),
                    None => continue,
                },
            };
            tree.set(path, node);
        }
        tree
    }

    fn add(&mut self, addition: Addition) -> Result<(), MergeError> {
        let path = self.resolve(&addition.path)?;
        self.make_parents(&path);
        if addition.entry.kind == Kind::Hardlink {
            return self.link(path, &addition.entry);
        }
        let Some(node) = node_of(addition.entry, addition.content) else {
            self.remove(&path);
            return Ok(());
        };
        if path.is_root() {
            if let (Some(root), true) = (self.nodes.first_mut(), node.is_dir()) {
                *root = node;
            }
            return Ok(());
        }
        if !(node.is_dir() && self.is_dir(&path)) {
            self.remove_below(&path);
        }
        self.names.insert(path, self.nodes.len());
        self.nodes.push(node);
        Ok(())
    }

    fn link(&mut self, path: TreePath, entry: &Entry) -> Result<(), MergeError> {
        let target = self.resolve(&parse_entry_path(&entry.link)?)?;
        match self.names.get(&target).copied() {
            Some(at) if !self.is_dir(&target) && !path.is_root() => {
                if path != target {
                    self.remove_below(&path);
                    self.names.insert(path, at);
                }
                Ok(())
            }
            _ => Err(MergeError::Hardlink {
                path: path.to_string(),
                target: target.to_string(),
            }),
        }
    }

    /// Where a path leads when symbolic links on the way to its last component are followed within the
    /// tree. Links that leave the root end at it.
    fn resolve(&self, path: &TreePath) -> Result<TreePath, MergeError> {
        let too_many = || MergeError::Loop { path: path.to_string() };
        let mut pending: Vec<Vec<u8>> = components(path.as_bytes());
        let mut resolved = TreePath::root();
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == b".." {
                resolved = resolved.parent().unwrap_or_else(TreePath::root);
                continue;
            }
            let next = resolved.join(&name).map_err(|_| too_many())?;
            match self.symlink(&next) {
                Some(target) if !pending.is_empty() => {
                    links += 1;
                    if links > SYMLINKS_MAX {
                        return Err(too_many());
                    }
                    if target.starts_with(b"/") {
                        resolved = TreePath::root();
                    }
                    pending.extend(components(target));
                }
                _ => resolved = next,
            }
        }
        Ok(resolved)
    }

    fn symlink(&self, path: &TreePath) -> Option<&[u8]> {
        match &self.node(path)?.content {
            Content::Symlink(target) => Some(target),
            _ => None,
        }
    }

    fn node(&self, path: &TreePath) -> Option<&Node> {
        self.nodes.get(*self.names.get(path)?)
    }

    fn is_dir(&self, path: &TreePath) -> bool {
        self.node(path).is_some_and(Node::is_dir)
    }

    /// Directories on the way that the layer does not state are 0755, root's; a file in the way goes.
    fn make_parents(&mut self, path: &TreePath) {
        let mut missing = Vec::new();
        let mut parent = path.parent();
        while let Some(dir) = parent.filter(|dir| !self.is_dir(dir)) {
            parent = dir.parent();
            missing.push(dir);
        }
        for dir in missing.into_iter().rev() {
            self.names.insert(dir, self.nodes.len());
            self.nodes.push(Node::dir(0o755));
        }
    }

    fn remove(&mut self, path: &TreePath) {
        self.remove_below(path);
        if !path.is_root() {
            self.names.remove(path);
        }
    }

    fn remove_below(&mut self, path: &TreePath) {
        let below: Vec<TreePath> = self
            .names
            .range(path.clone()..)
            .skip_while(|(name, _)| *name == path)
            .take_while(|(name, _)| name.starts_with(path))
            .map(|(name, _)| name.clone())
            .collect();
        for name in below {
            self.names.remove(&name);
        }
    }
}

/// Components in reverse, `.` and empty ones left out.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

fn read_changes(stream: impl Read) -> Result<Changes, MergeError> {
    let mut reader = SplitReader::new(stream).map_err(MergeError::Record)?;
    let mut changes = Changes::default();
    while let Some(entry) = next_entry(&mut reader)? {
        let content = reader.content(entry.size, INLINE_MAX).map_err(MergeError::Record)?;
        let padding = padding(entry.size);
        let skipped = io::copy(&mut (&mut reader).take(padding), &mut io::sink()).map_err(MergeError::Record)?;
        if skipped != padding {
            return Err(TarError::Truncated.into());
        }
        match parse_entry_name(&entry.name)? {
            EntryName::Node(path) => changes.added.push(Addition { path, entry, content }),
            EntryName::Whiteout(path) => changes.hidden.push(path),
            EntryName::Opaque(path) => changes.emptied.push(path),
            EntryName::Reserved => {}
        }
    }
    Ok(changes)
}

/// The node of an entry; `None` for the device 0/0, which is overlay's own whiteout.
fn node_of(entry: Entry, content: SplitContent) -> Option<Node> {
    let mut xattrs: Xattrs = entry.xattrs.into_iter().filter(|(name, _)| is_kept(name)).collect();
    let content = match entry.kind {
        Kind::File => Content::File(match content {
            SplitContent::Bytes(bytes) => FileData::Bytes(bytes),
            SplitContent::Object(object) => {
                xattrs.extend(object_xattrs(&object));
                FileData::External { size: entry.size }
            }
        }),
        Kind::Symlink => Content::Symlink(entry.link),
        Kind::CharDevice if entry.device == (0, 0) => return None,
        Kind::CharDevice => Content::CharDevice {
            major: entry.device.0,
            minor: entry.device.1,
        },
        Kind::BlockDevice => Content::BlockDevice {
            major: entry.device.0,
            minor: entry.device.1,
        },
        Kind::Fifo => Content::Fifo,
        Kind::Dir | Kind::Hardlink => Content::Dir,
    };
    Some(Node {
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
        xattrs,
        content,
    })
}

/// A layer must never speak to overlay, or it could name any object; and only names with a place in
/// the image are kept.
fn is_kept(name: &[u8]) -> bool {
    let known = [b"user.".as_slice(), b"security.", b"trusted."];
    let list = matches!(name, b"system.posix_acl_access" | b"system.posix_acl_default");
    let long = name.len() > 255 || name.ends_with(b".");
    list || (!long && !name.starts_with(OVERLAY) && known.iter().any(|prefix| name.starts_with(prefix)))
}

/// Tells overlay where the contents lie and which fs-verity digest they have
/// (`Documentation/filesystems/overlayfs.rst`, "Metadata only copy up", "fs-verity support").
fn object_xattrs(object: &Digest) -> Xattrs {
    let redirect = format!("/{}", object_name(object));
    // Version 0, 36 bytes, no flags, SHA-256.
    let metacopy = [&[0, 36, 0, 1], object.as_bytes().as_slice()].concat();
    Xattrs::from([
        (b"trusted.overlay.metacopy".to_vec(), metacopy),
        (b"trusted.overlay.redirect".to_vec(), redirect.into_bytes()),
    ])
}

/// An object's place below the object store: two hex digits, a slash, the other 62.
#[must_use]
pub fn object_name(object: &Digest) -> String {
    let hex = object.hex();
    let (fan, rest) = hex.split_at(2);
    format!("{fan}/{rest}")
}

#[cfg(test)]
#[path = "merge_test.rs"]
mod tests;
