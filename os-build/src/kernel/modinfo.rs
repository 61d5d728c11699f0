//! What a module says of itself: the `.modinfo` section of its ELF file.

use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};
use thiserror::Error;

/// The parts of `.modinfo` that decide on loading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModInfo {
    /// Modules it cannot be loaded without, by name.
    pub depends: Vec<String>,
    /// Patterns of devices and requests it answers to.
    pub aliases: Vec<String>,
    /// `softdep` values: `pre: a b post: c`.
    pub softdeps: Vec<String>,
    /// Firmware files it may ask for.
    pub firmware: Vec<String>,
}

/// Why bytes are no module.
#[derive(Debug, Error)]
pub enum ModInfoError {
    /// Not an ELF file.
    #[error("not an ELF file")]
    Elf(#[from] object::read::Error),
    /// No `.modinfo` section.
    #[error("no .modinfo section")]
    Section,
}

/// Reads a module's own description.
///
/// # Errors
/// The bytes are no 64-bit ELF file or have no `.modinfo`.
pub fn parse_modinfo(module: &[u8]) -> Result<ModInfo, ModInfoError> {
    let file = ElfFile64::<object::Endianness>::parse(module)?;
    let section = file.section_by_name(".modinfo").ok_or(ModInfoError::Section)?;
    Ok(parse_entries(section.data()?))
}

/// `key=value` strings, each ended by a zero.
fn parse_entries(section: &[u8]) -> ModInfo {
    let mut info = ModInfo::default();
    for entry in section.split(|byte| *byte == 0) {
        let entry = String::from_utf8_lossy(entry);
        let Some((key, value)) = entry.split_once('=') else {
            continue;
        };
        match key {
            "depends" => info
                .depends
                .extend(value.split(',').filter(|name| !name.is_empty()).map(underscored)),
            "alias" => info.aliases.push(value.to_owned()),
            "firmware" => info.firmware.push(value.to_owned()),
            "softdep" => info.softdeps.push(value.to_owned()),
            _ => {}
        }
    }
    info
}

fn underscored(name: &str) -> String {
    name.replace('-', "_")
}

impl ModInfo {
    /// Names after `pre:` in the soft dependencies: to be loaded first if they exist.
    pub fn before(&self) -> impl Iterator<Item = String> {
        self.soft("pre:")
    }

    /// Names after `post:`: useful once it is loaded.
    pub fn after(&self) -> impl Iterator<Item = String> {
        self.soft("post:")
    }

    fn soft(&self, wanted: &'static str) -> impl Iterator<Item = String> {
        self.softdeps.iter().flat_map(move |text| {
            let mut on = false;
            text.split_whitespace().filter_map(move |word| {
                if word.ends_with(':') {
                    on = word == wanted;
                    return None;
                }
                on.then(|| underscored(word))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_decides_on_loading() {
        let info = parse_entries(
            b"license=GPL\0depends=dm-bufio,reed_solomon\0alias=fs-erofs\0alias=a:b*\0\
              softdep=pre: crc32c-x post: y z\0depends=\0broken\0",
        );
        assert_eq!(info.depends, ["dm_bufio", "reed_solomon"]);
        assert_eq!(info.aliases, ["fs-erofs", "a:b*"]);
        assert_eq!(info.before().collect::<Vec<_>>(), ["crc32c_x"]);
        assert_eq!(info.after().collect::<Vec<_>>(), ["y", "z"]);
    }

    #[test]
    fn reads_the_section_of_an_elf_file() {
        let info = parse_modinfo(include_bytes!("../../../fuzz/seeds/kernel-module/small")).unwrap();
        assert_eq!(info.depends, ["dm_bufio", "reed_solomon"]);
    }

    #[test]
    fn refuses_what_is_no_module() {
        for bytes in [&b""[..], b"\x7fELF", b"not a module at all"] {
            assert!(parse_modinfo(bytes).is_err());
        }
    }
}
