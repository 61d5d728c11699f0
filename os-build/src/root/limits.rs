//! What an image must not hold: many executables, setuid files, a shell, an interpreter or a script. Pure; every build
//! is checked.

use keelson_erofs::{Content, FileData, Node, Tree, TreePath};
use thiserror::Error;

/// Most executable files.
pub const EXECUTABLES: usize = 15;
/// Most bytes of one slot to download: boot entry and compressed root.
pub const DOWNLOAD: u64 = 64 << 20;

const INTERPRETERS: [&str; 18] = [
    "sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox", "toybox", "python", "python3", "perl", "ruby", "lua",
    "node", "awk", "tclsh", "env",
];

/// A limit that is broken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LimitError {
    /// Too many executables.
    #[error("{} executables, at most {EXECUTABLES}: {}", paths.len(), paths.join(" "))]
    Executables {
        /// All of them.
        paths: Vec<String>,
    },
    /// A setuid or setgid file.
    #[error("{path} is setuid or setgid")]
    Setuid {
        /// The file.
        path: String,
    },
    /// A shell or another interpreter.
    #[error("{path} is an interpreter")]
    Interpreter {
        /// The file.
        path: String,
    },
    /// A script, which would need an interpreter.
    #[error("{path} is a script")]
    Script {
        /// The file.
        path: String,
    },
    /// More to download than promised.
    #[error("one slot is {bytes} bytes to download, at most {DOWNLOAD}")]
    Download {
        /// Boot entry and compressed root.
        bytes: u64,
    },
}

/// Checks a root against all limits on files.
///
/// # Errors
/// The first limit that is broken.
pub fn check(tree: &Tree) -> Result<(), LimitError> {
    for (path, node) in tree.iter().filter(|(_, node)| !matches!(node.content, Content::Dir)) {
        check_file(path, node)?;
    }
    let paths = executables(tree);
    if paths.len() > EXECUTABLES {
        Err(LimitError::Executables { paths })
    } else {
        Ok(())
    }
}

/// Every executable file, by path.
#[must_use]
pub fn executables(tree: &Tree) -> Vec<String> {
    let executable = |node: &Node| matches!(node.content, Content::File(_)) && node.mode & 0o111 != 0;
    tree.iter()
        .filter(|(_, node)| executable(node))
        .map(|(path, _)| path.to_string())
        .collect()
}

fn check_file(path: &TreePath, node: &Node) -> Result<(), LimitError> {
    let name = String::from_utf8_lossy(path.name()).into_owned();
    let path = path.to_string();
    if node.mode & 0o6000 != 0 {
        return Err(LimitError::Setuid { path });
    }
    if INTERPRETERS.contains(&name.as_str()) {
        return Err(LimitError::Interpreter { path });
    }
    match &node.content {
        Content::File(FileData::Bytes(bytes)) if bytes.starts_with(b"#!") => Err(LimitError::Script { path }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(nodes: &[(&str, Node)]) -> Tree {
        let mut tree = Tree::default();
        for (path, node) in nodes {
            tree.insert_with_parents(path, node.clone()).unwrap();
        }
        tree
    }

    #[test]
    fn what_an_image_must_not_hold_is_found() {
        let file = |mode, text: &str| Node::file(mode, text.into());
        let table = [
            ("usr/bin/keelson", file(0o755, "\x7fELF"), true),
            ("usr/bin/su", file(0o4755, "\x7fELF"), false),
            ("usr/bin/write", file(0o2755, "\x7fELF"), false),
            ("usr/bin/sh", file(0o755, "\x7fELF"), false),
            ("bin/bash", Node::symlink("keelson"), false),
            ("usr/lib/hook", file(0o644, "#!/bin/true"), false),
        ];
        for (path, node, allowed) in table {
            assert_eq!(check(&tree(&[(path, node)])).is_ok(), allowed, "{path}");
        }
    }

    #[test]
    fn sixteen_executables_are_one_too_many() {
        let some = |count: usize| {
            let nodes: Vec<(String, Node)> = (0..count)
                .map(|index| (format!("usr/bin/p{index}"), Node::file(0o755, vec![])))
                .collect();
            let nodes: Vec<(&str, Node)> = nodes.iter().map(|(path, node)| (path.as_str(), node.clone())).collect();
            check(&tree(&nodes))
        };
        assert_eq!(some(15), Ok(()));
        assert!(matches!(some(16), Err(LimitError::Executables { paths }) if paths.len() == 16));
    }
}
