//! What the boot loader left in EFI variables: which entry it started, and from which partition it came itself.
//!
//! Source: the Boot Loader Interface of systemd ("systemd.io/BOOT_LOADER_INTERFACE"), UEFI Specification 8.2.

use std::fs;
use std::path::Path;

use keelson_image_layout::boot_entry::FRESH_TRIES;
pub use keelson_image_layout::efi_variable::text;
use keelson_image_layout::efi_variable::{ATTRIBUTES, GLOBAL, LOADER};
use keelson_image_layout::slot_state::boot::Choice;
use keelson_image_layout::{EntryName, SecureBoot, Slot};
use uuid::Uuid;

/// What is known of the loader; nothing when the firmware keeps no variables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loader {
    /// File name of the entry it started.
    pub entry: Option<String>,
    /// Identity of the partition the loader was read from.
    pub partition: Option<Uuid>,
    /// Path of the counted entry, as the loader renamed it.
    pub counted: Option<String>,
    /// Where the firmware found the loader: device and function at each PCI bridge, down to the controller.
    pub pci_path: Option<Vec<(u8, u8)>>,
}

impl Loader {
    /// Reads the loader's variables.
    #[must_use]
    pub fn read(variables: &Path) -> Loader {
        let value = |name: &str| fs::read(variables.join(format!("{name}-{LOADER}"))).ok();
        let text = |name: &str| value(name).as_deref().and_then(text);
        Loader {
            entry: text("LoaderEntrySelected"),
            partition: text("LoaderDevicePartUUID").and_then(|text| text.parse().ok()),
            counted: text("LoaderBootCountPath"),
            pci_path: super::boot_option::pci_path(variables),
        }
    }

    /// The slot whose entry was started. A short name that lost its long one still begins with the slot's stem.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        let name = self.entry.as_deref()?;
        let by_stem = || {
            let lower = name.to_ascii_lowercase();
            Slot::ALL.into_iter().find(|slot| lower.starts_with(slot.entry_stem()))
        };
        EntryName::parse(name).ok().map(|name| name.slot).or_else(by_stem)
    }

    /// Whether the loader had anything better than the entry it started. It counts on past the last try only when all
    /// entries are used up.
    #[must_use]
    pub fn choice(&self) -> Choice {
        let name = self.counted.as_deref().and_then(|path| path.rsplit(['\\', '/']).next());
        match name
            .and_then(|name| EntryName::parse(name).ok())
            .and_then(|name| name.counter)
        {
            Some(counter) if counter.left == 0 && counter.done > FRESH_TRIES => Choice::LastResort,
            _ => Choice::Open,
        }
    }
}

/// Whether the firmware starts signed programs only.
#[must_use]
pub fn secure_boot(variables: &Path) -> SecureBoot {
    let flag = |name: &str| {
        let bytes = fs::read(variables.join(format!("{name}-{GLOBAL}"))).ok()?;
        bytes.get(ATTRIBUTES).map(|value| *value == 1)
    };
    match (flag("SecureBoot"), flag("SetupMode")) {
        (Some(true), _) => SecureBoot::On,
        (Some(false), Some(true)) => SecureBoot::Setup,
        (Some(false), _) => SecureBoot::Off,
        (None, _) => SecureBoot::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variable(text: &str) -> Vec<u8> {
        let units = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
        [6, 0, 0, 0].into_iter().chain(units).collect()
    }

    #[test]
    fn variables_are_read_where_they_exist() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Loader::read(directory.path()), Loader::default());
        let id = "3F2504E0-4F89-41D3-9A0C-0305E82C3301";
        for (name, value) in [("LoaderEntrySelected", "ka+2-1.efi"), ("LoaderDevicePartUUID", id)] {
            fs::write(directory.path().join(format!("{name}-{LOADER}")), variable(value)).unwrap();
        }
        let loader = Loader::read(directory.path());
        assert_eq!(loader.slot(), Some(Slot::A));
        assert_eq!(loader.partition, id.parse().ok());
    }

    #[test]
    fn secure_boot_is_what_the_firmware_says() {
        let table = [
            (None, None, SecureBoot::Unknown),
            (Some(1), Some(0), SecureBoot::On),
            (Some(0), Some(1), SecureBoot::Setup),
            (Some(0), Some(0), SecureBoot::Off),
            (Some(0), None, SecureBoot::Off),
        ];
        for (secure, setup, expected) in table {
            let directory = tempfile::tempdir().unwrap();
            for (name, value) in [("SecureBoot", secure), ("SetupMode", setup)] {
                if let Some(value) = value {
                    fs::write(directory.path().join(format!("{name}-{GLOBAL}")), [6, 0, 0, 0, value]).unwrap();
                }
            }
            assert_eq!(secure_boot(directory.path()), expected);
        }
    }

    #[test]
    fn slots_are_known_by_every_name_the_loader_may_give() {
        let table = [
            ("ka.efi", Some(Slot::A)),
            ("kb+3-0.efi", Some(Slot::B)),
            ("KA_2-1~1.EFI", Some(Slot::A)),
            ("kb", Some(Slot::B)),
            ("auto-reboot-to-firmware-setup", None),
        ];
        for (entry, slot) in table {
            let loader = Loader {
                entry: Some(entry.to_owned()),
                ..Loader::default()
            };
            assert_eq!(loader.slot(), slot, "{entry}");
        }
    }

    #[test]
    fn a_counter_past_its_end_is_the_last_resort() {
        let table = [
            (None, Choice::Open),
            (Some("\\EFI\\Linux\\ka+2-1.efi"), Choice::Open),
            (Some("\\EFI\\Linux\\ka+0-3.efi"), Choice::Open),
            (Some("\\EFI\\Linux\\ka+0-4.efi"), Choice::LastResort),
            (Some("nonsense"), Choice::Open),
        ];
        for (counted, choice) in table {
            let loader = Loader {
                counted: counted.map(str::to_owned),
                ..Loader::default()
            };
            assert_eq!(loader.choice(), choice, "{counted:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = text(&bytes);
        }
    }
}
