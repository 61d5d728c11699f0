//! Mounts by the real kernel, each test in a mount namespace of its own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use super::*;
use crate::image::fixture::{TarBuilder, add_image};

/// Moves this thread into a mount namespace whose mounts nobody else sees; says why it cannot.
fn own_namespace() -> Result<(), String> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).map_err(|e| format!("unshare: {e}"))?;
    nix::mount::mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .map_err(|e| format!("make / private: {e}"))?;
    let kinds = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    match ["erofs", "overlay"].iter().find(|kind| !kinds.contains(**kind)) {
        Some(kind) => Err(format!("the kernel has no {kind}")),
        None => Ok(()),
    }
}

fn layer(dir: &Path, container: &str) -> ContainerLayer {
    let own = dir.join(container);
    ContainerLayer {
        container: container.to_owned(),
        upper: own.join("upper"),
        work: own.join("work"),
        target: own.join("rootfs"),
    }
}

fn sample() -> Vec<Vec<u8>> {
    let lower = TarBuilder::default()
        .entry(b'5', "./", 0o751, "", b"")
        .dir("etc")
        .file("etc/large", &[7; 100_000])
        .file("etc/small", b"small")
        .file("gone", &[1; 1000])
        .hardlink("etc/link", "etc/large")
        .symlink("l", "etc/small")
        .finish();
    let upper = TarBuilder::default()
        .pax(&[("SCHILY.xattr.user.note", b"kept"), ("uid", b"1234")])
        .file("etc/new", &[9; 3000])
        .file(".wh.gone", b"")
        .finish();
    vec![lower, upper]
}

#[test]
fn privileged_containers_share_an_image_and_keep_their_changes_apart() {
    if let Err(reason) = own_namespace() {
        eprintln!("skipped: {reason}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let image = add_image(&store, "app", &sample());
    let run = dir.path().join("run");
    let mounts = Mounts::new(Arc::clone(&store), &run).unwrap();
    let (one, two) = (layer(dir.path(), "one"), layer(dir.path(), "two"));
    match mounts.mount_container(&image, &one) {
        Ok(()) => {}
        Err(error)
            if format!("{error:?}").contains("not a block device") || format!("{error:?}").contains("ENOTBLK") =>
        {
            eprintln!("skipped: erofs cannot be mounted from a file here: {error}");
            return;
        }
        Err(error) => panic!("{error}: {error:?}"),
    }
    mounts.mount_container(&image, &two).unwrap();
    mounts.mount_container(&image, &two).unwrap();

    let at = |path: &str| one.target.join(path);
    assert_eq!(fs::read(at("etc/large")).unwrap(), [7; 100_000]);
    assert_eq!(fs::read(at("l")).unwrap(), b"small");
    assert_eq!(fs::read(at("etc/new")).unwrap(), [9; 3000]);
    assert_eq!(fs::metadata(at("etc/new")).unwrap().uid(), 1234);
    assert!(!at("gone").exists());
    assert_eq!(fs::metadata(at("etc/large")).unwrap().nlink(), 2);
    assert_eq!(fs::metadata(&one.target).unwrap().mode() & 0o7777, 0o751);

    fs::set_permissions(at("etc/large"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(at("own"), b"one").unwrap();
    fs::remove_file(at("etc/small")).unwrap();
    // The upper is a plain one: what was touched is there whole, without overlay's references.
    assert_eq!(fs::read(one.upper.join("etc/large")).unwrap(), [7; 100_000]);
    assert_eq!(fs::read(one.upper.join("own")).unwrap(), b"one");
    assert_eq!(fs::read(two.target.join("etc/small")).unwrap(), b"small");
    assert!(!two.target.join("own").exists());
    assert_eq!(
        fs::metadata(two.target.join("etc/large")).unwrap().mode() & 0o777,
        0o644
    );

    // A restarted daemon finds everything by the paths alone.
    let mounts = Mounts::new(store, &run).unwrap();
    mounts.unmount_container(&image, &one).unwrap();
    mounts.unmount_container(&image, &one).unwrap();
    assert_eq!(fs::read(two.target.join("etc/large")).unwrap(), [7; 100_000]);
    mounts.mount_container(&image, &one).unwrap();
    assert_eq!(fs::read(at("own")).unwrap(), b"one");
    assert!(!at("etc/small").exists());
    for used in [&one, &two] {
        mounts.unmount_container(&image, used).unwrap();
    }
    assert_eq!(fs::read_dir(&run).unwrap().count(), 0);
}

#[test]
fn privileged_an_image_that_is_not_there_leaves_nothing_mounted() {
    if let Err(reason) = own_namespace() {
        eprintln!("skipped: {reason}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let run = dir.path().join("run");
    let mounts = Mounts::new(store, &run).unwrap();
    let missing = crate::image::Digest::of(b"missing");
    let error = mounts.mount_container(&missing, &layer(dir.path(), "one")).unwrap_err();
    assert!(error.to_string().contains("meta"), "{error}");
    assert_eq!(fs::read_dir(&run).unwrap().count(), 0);
}
