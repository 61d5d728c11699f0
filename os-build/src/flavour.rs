//! Kinds of machine an image is for. They differ in the kernel package and its modules, and in where a person sees the
//! console; everything else is the same. Pure.

use std::fmt;
use std::str::FromStr;

use crate::kernel::groups::{
    Group, INITRD_ALWAYS, INITRD_BY_DEVICE, METAL_CONSOLE, METAL_DISKS, METAL_MACHINE, METAL_NETWORK, ROOT,
};

/// What an image is made of beside the kernel. `A->B` is the dependency of metapackage A whose name begins with B.
const COMMON: [&str; 3] = ["systemd-boot-efi", "e2fsck-static", "ca-certificates"];

/// A kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum Flavour {
    /// A virtual machine: Debian's cloud kernel, console on the serial port.
    #[default]
    Cloud,
    /// Any machine: Debian's general kernel with drivers for real disks and network cards, console on screen and
    /// serial port.
    Metal,
}

impl Flavour {
    /// All of them.
    pub const ALL: [Flavour; 2] = [Flavour::Cloud, Flavour::Metal];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Flavour::Cloud => "cloud",
            Flavour::Metal => "metal",
        }
    }

    /// The Debian packages of an image, the kernel's first.
    #[must_use]
    pub fn packages(self) -> Vec<&'static str> {
        let kernel = match self {
            Flavour::Cloud => "linux-image-cloud-amd64->linux-image-6.12",
            Flavour::Metal => "linux-image-amd64->linux-image-6.12",
        };
        std::iter::once(kernel).chain(COMMON).collect()
    }

    /// Name of the resolved set of packages in the cache.
    #[must_use]
    pub const fn package_set(self) -> &'static str {
        match self {
            Flavour::Cloud => "image",
            Flavour::Metal => "image-metal",
        }
    }

    /// Modules of the initramfs: what finding the disk and opening the root needs.
    #[must_use]
    pub fn initrd_modules(self) -> Vec<Group> {
        let mut groups = vec![INITRD_ALWAYS, INITRD_BY_DEVICE];
        if self == Flavour::Metal {
            groups.push(METAL_DISKS);
        }
        groups
    }

    /// Modules of the root.
    #[must_use]
    pub fn root_modules(self) -> Vec<Group> {
        let mut groups = ROOT.to_vec();
        if self == Flavour::Metal {
            groups.extend([METAL_DISKS, METAL_NETWORK, METAL_CONSOLE, METAL_MACHINE]);
        }
        groups
    }

    /// The kernel's command line. Nothing on it is ours: what a machine trusts is in the initramfs. PID 1 writes to
    /// every console, units to the last one that exists. It ends in `--`, so that the kernel takes no parameter from
    /// what stub and firmware append. Without `no_timer_check` an emulator that is short of time fails a test of its
    /// timer (`docs/decisions/0009-closed-command-line.md`); real machines keep that test.
    #[must_use]
    pub const fn command_line(self) -> &'static str {
        match self {
            Flavour::Cloud => "console=ttyS0 quiet loglevel=4 panic=5 no_timer_check --",
            Flavour::Metal => "console=tty0 console=ttyS0 quiet loglevel=4 panic=5 --",
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Flavour {
    type Err = String;

    fn from_str(text: &str) -> Result<Flavour, String> {
        Flavour::ALL
            .into_iter()
            .find(|flavour| flavour.name() == text)
            .ok_or_else(|| format!("{text:?} is no flavour: cloud or metal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_on_the_command_line_decides_on_the_root() {
        for flavour in Flavour::ALL {
            for word in ["root", "roothash", "slot", "init", "keelson"] {
                assert!(
                    !flavour.command_line().contains(&format!("{word}=")),
                    "{word} of {flavour}"
                );
            }
        }
    }

    #[test]
    fn names_read_back_and_sets_differ() {
        for flavour in Flavour::ALL {
            assert_eq!(flavour.name().parse(), Ok(flavour));
        }
        assert!("desktop".parse::<Flavour>().is_err());
        assert_ne!(Flavour::Cloud.package_set(), Flavour::Metal.package_set());
    }

    #[test]
    fn what_finds_the_disk_is_in_the_root_too() {
        for flavour in Flavour::ALL {
            let root: Vec<&str> = flavour
                .root_modules()
                .iter()
                .flat_map(|group| group.modules)
                .copied()
                .collect();
            for name in flavour.initrd_modules().iter().flat_map(|group| group.modules) {
                assert!(root.contains(name), "{name} of {flavour}");
            }
        }
    }
}
