//! Who brought a byte into the image: decided by where it lies. What no rule names has no owner, and the build fails.
//! Pure.

/// Whose a file is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A program of ours, by name; its crate and what is linked into it.
    Program(String),
    /// A Debian package whose name begins so.
    Debian(String),
    /// The release itself: written by us or by the build.
    Release,
}

/// The kernel's package.
pub const KERNEL: &str = "linux-image-";
/// The boot loader's package.
pub const LOADER: &str = "systemd-boot-efi";

/// The owner of a file of the root, by its path without the leading slash.
#[must_use]
pub fn of_root(path: &str) -> Option<Owner> {
    let debian = |name: &str| Some(Owner::Debian(name.to_owned()));
    if let Some(name) = path.strip_prefix("usr/bin/") {
        return name.starts_with("keelson").then(|| Owner::Program(name.to_owned()));
    }
    if let Some(rest) = path.strip_prefix("usr/share/doc/") {
        return debian(rest.strip_suffix("/copyright")?);
    }
    if path.starts_with("usr/lib/modules/") {
        return debian(KERNEL);
    }
    match path {
        "usr/sbin/e2fsck.static" => debian("e2fsck-static"),
        "usr/share/ca-certificates/ca-certificates.crt" => debian("ca-certificates"),
        "usr/lib/os-release" | "usr/sbin/modprobe" | "bin" | "lib" | "opt" | "sbin" | "srv" => Some(Owner::Release),
        _ if path.starts_with("usr/lib/keelson/") || path.starts_with("usr/share/keelson/") => Some(Owner::Release),
        _ => None,
    }
}

/// The owner of a file of the initramfs, by its path without the leading slash.
#[must_use]
pub fn of_initramfs(path: &str) -> Option<Owner> {
    match path {
        "init" => Some(Owner::Program("keelson-init".to_owned())),
        "keelson/release.json" | "keelson/modules" => Some(Owner::Release),
        _ if path.starts_with("usr/lib/modules/") => Some(Owner::Debian(KERNEL.to_owned())),
        _ => None,
    }
}

/// The owner of a section of the boot entry.
#[must_use]
pub fn of_section(name: &str) -> Option<Owner> {
    match name {
        ".linux" => Some(Owner::Debian(KERNEL.to_owned())),
        ".initrd" | ".osrel" | ".cmdline" | ".uname" | ".pcrsig" | ".pcrpkey" => Some(Owner::Release),
        // Code and data of the stub, for instance `.text`, `.sdmagic`, `.sbat`.
        ".text" | ".rodata" | ".data" | ".dynamic" | ".dynsym" | ".reloc" | ".rela" | ".sdmagic" | ".sbat" => {
            Some(Owner::Debian(LOADER.to_owned()))
        }
        _ => None,
    }
}

/// The owner of a file of the EFI system partition, by its path.
#[must_use]
pub fn of_esp(path: &str) -> Option<Owner> {
    match path {
        "EFI/BOOT/BOOTX64.EFI" => Some(Owner::Debian(LOADER.to_owned())),
        "loader/loader.conf" => Some(Owner::Release),
        _ if path.starts_with("EFI/Linux/k") => Some(Owner::Release),
        _ => None,
    }
}

/// Whether a file of the EFI system partition is a machine's and no part of the release: what the boot loader keeps from
/// boot to boot, and what an operator lays there (keys to enrol, a document).
#[must_use]
pub fn is_of_one_machine(path: &str) -> bool {
    ["loader/random-seed", "loader/boot-secret-mixin"].contains(&path)
        || ["loader/keys/", "keelson/"]
            .iter()
            .any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_owned_by_where_they_lie() {
        let debian = |name: &str| Some(Owner::Debian(name.to_owned()));
        let table = [
            ("usr/bin/keelson-init", Some(Owner::Program("keelson-init".into()))),
            ("usr/bin/bash", None),
            ("usr/lib/modules/6.12/kernel/fs/erofs/erofs.ko", debian("linux-image-")),
            ("usr/share/doc/e2fsck-static/copyright", debian("e2fsck-static")),
            ("usr/share/doc/e2fsck-static/NEWS", None),
            ("usr/sbin/e2fsck.static", debian("e2fsck-static")),
            ("usr/lib/keelson/units/journal.toml", Some(Owner::Release)),
            ("usr/lib/libc.so.6", None),
            ("etc/passwd", None),
        ];
        for (path, owner) in table {
            assert_eq!(of_root(path), owner, "{path}");
        }
        assert_eq!(of_section(".linux"), debian("linux-image-"));
        assert_eq!(of_section(".unknown"), None);
        assert_eq!(of_initramfs("init"), Some(Owner::Program("keelson-init".into())));
        assert_eq!(of_initramfs("usr/lib/modules/6/modules.dep"), debian("linux-image-"));
        assert_eq!(of_initramfs("bin/sh"), None);
        assert_eq!(of_esp("EFI/BOOT/BOOTX64.EFI"), debian(LOADER));
        assert_eq!(of_esp("autorun.inf"), None);
        for (path, of_machine) in [
            ("loader/random-seed", true),
            ("loader/keys/auto/db.auth", true),
            ("keelson/config.toml", true),
            ("loader/loader.conf", false),
            ("loader/random-seed.efi", false),
            ("autorun.inf", false),
        ] {
            assert_eq!(is_of_one_machine(path), of_machine, "{path}");
        }
    }
}
