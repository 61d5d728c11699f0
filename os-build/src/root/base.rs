//! Folders to mount on, links, and the files `/etc` is filled with.

use keelson_erofs::{Node, Tree};
use keelson_image_layout::{paths, users};

use super::{Ingredients, RootError, files_of, read};

/// Mount points and plain folders of the root.
const FOLDERS: [(&str, u16); 12] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("run", 0o755),
    ("state", 0o700),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr/bin", 0o755),
    ("usr/lib", 0o755),
    ("usr/sbin", 0o755),
    ("usr/share", 0o755),
    ("var", 0o755),
];

const LINKS: [(&str, &str); 6] = [
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    // Filled by the config agent at each boot.
    ("opt", "run/keelson/files/opt"),
    ("srv", "run/keelson/files/srv"),
    ("sbin", "usr/sbin"),
    ("usr/sbin/modprobe", "../bin/keelson-init"),
];

/// One file with every certificate authority.
const CERTIFICATES: &str = "usr/share/ca-certificates/ca-certificates.crt";

pub(super) fn folders(tree: &mut Tree) -> Result<(), RootError> {
    for (path, mode) in FOLDERS {
        tree.insert_with_parents(path, Node::dir(mode))?;
    }
    for (path, target) in LINKS {
        tree.insert_with_parents(path, Node::symlink(target))?;
    }
    Ok(())
}

pub(super) fn etc(tree: &mut Tree) -> Result<(), RootError> {
    let files = [
        ("passwd", users::passwd()),
        ("group", users::group()),
        ("hosts", "127.0.0.1 localhost\n::1 localhost\n".to_owned()),
        ("resolv.conf", "nameserver 127.0.0.1\n".to_owned()),
    ];
    for (name, text) in files {
        tree.insert_with_parents(
            format!("{}/{name}", paths::ETC_BASE),
            Node::file(0o644, text.into_bytes()),
        )?;
    }
    let links = [
        ("os-release", "/usr/lib/os-release".to_owned()),
        ("ssl/certs/ca-certificates.crt", format!("/{CERTIFICATES}")),
    ];
    for (name, target) in links {
        tree.insert_with_parents(format!("{}/{name}", paths::ETC_BASE), Node::symlink(target))?;
    }
    Ok(())
}

pub(super) fn os_files(tree: &mut Tree, ingredients: &Ingredients<'_>) -> Result<(), RootError> {
    let folder = ingredients.certificates.join("usr/share/ca-certificates/mozilla");
    let mut bundle = Vec::new();
    for path in files_of(&folder)? {
        bundle.extend(read(&path)?);
        if !bundle.ends_with(b"\n") {
            bundle.push(b'\n');
        }
    }
    tree.insert_with_parents(CERTIFICATES, Node::file(0o644, bundle))?;
    tree.insert_with_parents("usr/lib/os-release", Node::file(0o644, ingredients.os_release.into()))?;
    tree.insert_with_parents(
        "usr/share/keelson/packages.json",
        Node::file(0o644, ingredients.packages.to_vec()),
    )?;
    tree.insert_with_parents(
        paths::STATE_TEMPLATE,
        Node::file(0o644, ingredients.state_template.to_vec()),
    )?;
    for (version, root) in ingredients.update_roots {
        let path = format!("{}/{version}.root.json", paths::UPDATE_ROOTS);
        tree.insert_with_parents(path, Node::file(0o644, root.clone()))?;
    }
    if let Some((_, newest)) = ingredients.update_roots.last() {
        tree.insert_with_parents(paths::UPDATE_ROOT, Node::file(0o644, newest.clone()))?;
    }
    for (package, file) in ingredients.copyrights {
        tree.insert_with_parents(
            format!("usr/share/doc/{package}/copyright"),
            Node::file(0o644, read(file)?),
        )?;
    }
    Ok(())
}
