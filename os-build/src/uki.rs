//! Assembly of a boot entry (unified kernel image): systemd's EFI stub with the kernel, the initramfs and a few texts
//! as further PE sections.
//!
//! `.linux` and `.initrd` come first and what changes with every release last, so that two releases with one kernel
//! differ in few bytes. Sources: UAPI Unified Kernel Image specification; Microsoft PE/COFF specification.

use object::endian::{LittleEndian as LE, U16, U32};
use object::pe::{
    IMAGE_SCN_CNT_INITIALIZED_DATA, IMAGE_SCN_MEM_READ, IMAGE_SIZEOF_SECTION_HEADER, ImageNtHeaders64,
    ImageSectionHeader,
};
use object::pod;
use object::read::pe::PeFile64;
use thiserror::Error;

/// What a boot entry is made of.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// systemd's `linuxx64.efi.stub`.
    pub stub: &'a [u8],
    /// The kernel's boot image, itself a PE file.
    pub kernel: &'a [u8],
    /// The initramfs.
    pub initrd: &'a [u8],
    /// Text of os-release; the loader sorts entries by its version.
    pub os_release: &'a str,
    /// Kernel command line.
    pub command_line: &'a str,
    /// What `uname -r` prints.
    pub uname: &'a str,
}

/// Why no boot entry could be made.
#[derive(Debug, Error)]
pub enum UkiError {
    /// The stub or the kernel is no 64-bit PE file.
    #[error("{what} is not a PE file")]
    Pe {
        /// `stub` or `kernel`.
        what: &'static str,
        /// What the reader said.
        #[source]
        source: object::read::Error,
    },
    /// The stub's headers have no room for more sections.
    #[error("the stub has room for {room} sections, {needed} are needed")]
    Room {
        /// Headers that fit.
        room: usize,
        /// Headers wanted.
        needed: usize,
    },
    /// The result would not fit the 32-bit fields of the format.
    #[error("the boot entry would be larger than 4 GiB")]
    Size,
}

struct Section<'a> {
    name: &'static [u8],
    data: &'a [u8],
    /// Bytes in memory; at least those of `data`.
    memory: usize,
}

/// Bytes of a boot entry.
///
/// # Errors
/// See [`UkiError`].
pub fn assemble(parts: &Parts<'_>) -> Result<Vec<u8>, UkiError> {
    let stub = PeFile64::parse(parts.stub).map_err(|source| UkiError::Pe { what: "stub", source })?;
    let kernel = PeFile64::parse(parts.kernel).map_err(|source| UkiError::Pe { what: "kernel", source })?;
    let kernel_memory = kernel.nt_headers().optional_header.size_of_image.get(LE) as usize;
    let sections = [
        Section {
            name: b".linux",
            data: parts.kernel,
            memory: kernel_memory.max(parts.kernel.len()),
        },
        Section::plain(b".initrd", parts.initrd),
        Section::plain(b".osrel", parts.os_release.as_bytes()),
        Section::plain(b".cmdline", parts.command_line.as_bytes()),
        Section::plain(b".uname", parts.uname.as_bytes()),
    ];
    append(parts.stub, &stub, &sections)
}

/// An addon: systemd's `addonx64.efi.stub` with words for the command line. Under Secure Boot the stub takes signed ones
/// only.
///
/// # Errors
/// See [`UkiError`].
pub fn addon(stub: &[u8], words: &str) -> Result<Vec<u8>, UkiError> {
    let parsed = PeFile64::parse(stub).map_err(|source| UkiError::Pe { what: "stub", source })?;
    append(stub, &parsed, &[Section::plain(b".cmdline", words.as_bytes())])
}

impl<'a> Section<'a> {
    const fn plain(name: &'static [u8], data: &'a [u8]) -> Section<'a> {
        Section {
            name,
            data,
            memory: data.len(),
        }
    }
}

/// Where the next section goes, in the file and in memory.
struct Place {
    file: usize,
    memory: usize,
    file_alignment: usize,
    memory_alignment: usize,
}

fn append(bytes: &[u8], stub: &PeFile64<'_>, sections: &[Section<'_>]) -> Result<Vec<u8>, UkiError> {
    let optional = &stub.nt_headers().optional_header;
    let present = stub.section_table().iter().count();
    let table_at = section_table_offset(stub);
    let room = (optional.size_of_headers.get(LE) as usize).saturating_sub(table_at) / IMAGE_SIZEOF_SECTION_HEADER;
    let needed = present + sections.len();
    if room < needed {
        return Err(UkiError::Room { room, needed });
    }
    let mut place = Place {
        file: bytes.len(),
        memory: optional.size_of_image.get(LE) as usize,
        file_alignment: optional.file_alignment.get(LE) as usize,
        memory_alignment: optional.section_alignment.get(LE) as usize,
    };
    let mut out = bytes.to_vec();
    for (index, section) in sections.iter().enumerate() {
        let header = place_section(&mut out, &mut place, section)?;
        overwrite(
            &mut out,
            table_at + (present + index) * IMAGE_SIZEOF_SECTION_HEADER,
            pod::bytes_of(&header),
        );
    }
    finish_headers(&mut out, stub, needed, place.memory, sections)?;
    Ok(out)
}

fn place_section(out: &mut Vec<u8>, place: &mut Place, section: &Section<'_>) -> Result<ImageSectionHeader, UkiError> {
    let file = place.file.next_multiple_of(place.file_alignment.max(1));
    let memory = place.memory.next_multiple_of(place.memory_alignment.max(1));
    let raw = section.data.len().next_multiple_of(place.file_alignment.max(1));
    out.resize(file, 0);
    out.extend(section.data);
    out.resize(file + raw, 0);
    place.file = file + raw;
    place.memory = (memory + section.memory).next_multiple_of(place.memory_alignment.max(1));
    let mut name = [0; 8];
    name.iter_mut().zip(section.name).for_each(|(to, from)| *to = *from);
    let none = U32::new(LE, 0);
    Ok(ImageSectionHeader {
        name,
        virtual_size: field(section.memory)?,
        virtual_address: field(memory)?,
        size_of_raw_data: field(raw)?,
        pointer_to_raw_data: field(file)?,
        pointer_to_relocations: none,
        pointer_to_linenumbers: none,
        number_of_relocations: U16::new(LE, 0),
        number_of_linenumbers: U16::new(LE, 0),
        characteristics: U32::new(LE, IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ),
    })
}

/// Counts and sizes in the headers; the time stamp becomes zero.
fn finish_headers(
    out: &mut [u8],
    stub: &PeFile64<'_>,
    count: usize,
    image_size: usize,
    sections: &[Section<'_>],
) -> Result<(), UkiError> {
    let mut headers: ImageNtHeaders64 = *stub.nt_headers();
    headers
        .file_header
        .number_of_sections
        .set(LE, u16::try_from(count).map_err(|_| UkiError::Size)?);
    headers.file_header.time_date_stamp.set(LE, 0);
    headers.optional_header.size_of_image = field(image_size)?;
    let added: usize = sections.iter().map(|section| section.data.len()).sum();
    let data = headers.optional_header.size_of_initialized_data.get(LE) as usize + added;
    headers.optional_header.size_of_initialized_data = field(data)?;
    headers.optional_header.check_sum.set(LE, 0);
    let at = stub.dos_header().e_lfanew.get(LE) as usize;
    overwrite(out, at, pod::bytes_of(&headers));
    Ok(())
}

fn section_table_offset(stub: &PeFile64<'_>) -> usize {
    let headers = stub.dos_header().e_lfanew.get(LE) as usize;
    let before_optional = size_of::<u32>() + size_of::<object::pe::ImageFileHeader>();
    headers + before_optional + stub.nt_headers().file_header.size_of_optional_header.get(LE) as usize
}

fn field(value: usize) -> Result<U32<LE>, UkiError> {
    u32::try_from(value)
        .map(|value| U32::new(LE, value))
        .map_err(|_| UkiError::Size)
}

fn overwrite(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(target) = out.get_mut(at..at + bytes.len()) {
        target.copy_from_slice(bytes);
    }
}

/// Content of a section of a boot entry, without the filling to the next alignment where its size tells.
#[must_use]
pub fn section<'a>(entry: &'a [u8], name: &str) -> Option<&'a [u8]> {
    loaded_section(entry, name).map(|(bytes, _)| bytes)
}

/// The same, and how many bytes the section has in memory: those behind its content are zeros.
#[must_use]
pub fn loaded_section<'a>(entry: &'a [u8], name: &str) -> Option<(&'a [u8], usize)> {
    let file = PeFile64::parse(entry).ok()?;
    let header = file
        .section_table()
        .iter()
        .find(|header| header.raw_name() == name.as_bytes())?;
    let offset = header.pointer_to_raw_data.get(LE) as usize;
    let memory = header.virtual_size.get(LE) as usize;
    let size = memory.min(header.size_of_raw_data.get(LE) as usize);
    Some((entry.get(offset..offset.checked_add(size)?)?, memory))
}

/// The entry with another command line of at most the old one's room in the file; for diagnosis and tests, since its
/// signature no longer holds.
#[must_use]
pub fn with_command_line(entry: &[u8], text: &str) -> Option<Vec<u8>> {
    let file = PeFile64::parse(entry).ok()?;
    let (index, header) = file
        .section_table()
        .iter()
        .enumerate()
        .find(|(_, header)| header.raw_name() == b".cmdline")?;
    let (offset, room) = (
        header.pointer_to_raw_data.get(LE) as usize,
        header.size_of_raw_data.get(LE) as usize,
    );
    let mut content = text.as_bytes().to_vec();
    let mut header = *header;
    header.virtual_size = field(content.len()).ok()?;
    content.resize(room.max(content.len()), 0);
    let at = section_table_offset(&file) + index * IMAGE_SIZEOF_SECTION_HEADER;
    let mut out = entry.to_vec();
    if content.len() > room {
        return None;
    }
    overwrite(&mut out, offset, &content);
    overwrite(&mut out, at, pod::bytes_of(&header));
    Some(out)
}

/// Name and content of every section of a boot entry; nothing if it is no PE file.
#[must_use]
pub fn sections(entry: &[u8]) -> Vec<(String, &[u8])> {
    let Ok(file) = PeFile64::parse(entry) else {
        return Vec::new();
    };
    let names = file
        .section_table()
        .iter()
        .map(|header| String::from_utf8_lossy(header.raw_name()).into_owned());
    names
        .filter_map(|name| section(entry, &name).map(|bytes| (name, bytes)))
        .collect()
}

/// Every byte of a boot entry that is in none of its [`sections`]: its head, the filling, and a signature.
#[must_use]
pub fn between_sections(entry: &[u8]) -> Vec<u8> {
    let start = entry.as_ptr() as usize;
    let mut held: Vec<(usize, usize)> = sections(entry)
        .iter()
        .map(|(_, bytes)| (bytes.as_ptr() as usize - start, bytes.len()))
        .collect();
    held.sort_unstable();
    let (mut between, mut at) = (Vec::new(), 0);
    for (from, len) in held {
        between.extend_from_slice(entry.get(at..from).unwrap_or_default());
        at = at.max(from + len);
    }
    between.extend_from_slice(entry.get(at..).unwrap_or_default());
    between
}

#[cfg(test)]
pub(crate) mod tests {
    use object::write::pe::{NtHeaders, Writer};

    use super::*;

    /// A small PE file with one section and room for more headers.
    pub(crate) fn pe(content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(true, 4096, 1024, &mut bytes);
        writer.reserve_dos_header();
        writer.reserve_nt_headers(16);
        writer.reserve_section_headers(1);
        let text = writer.reserve_text_section(content.len() as u32);
        writer.write_empty_dos_header().unwrap();
        writer.write_nt_headers(NtHeaders {
            machine: object::pe::IMAGE_FILE_MACHINE_AMD64,
            time_date_stamp: 1234,
            characteristics: object::pe::IMAGE_FILE_EXECUTABLE_IMAGE,
            major_linker_version: 0,
            minor_linker_version: 0,
            address_of_entry_point: text.virtual_address,
            image_base: 0x1_0000_0000,
            major_operating_system_version: 0,
            minor_operating_system_version: 0,
            major_image_version: 262,
            minor_image_version: 0,
            major_subsystem_version: 1,
            minor_subsystem_version: 1,
            subsystem: object::pe::IMAGE_SUBSYSTEM_EFI_APPLICATION,
            dll_characteristics: Default::default(),
            size_of_stack_reserve: 0,
            size_of_stack_commit: 0,
            size_of_heap_reserve: 0,
            size_of_heap_commit: 0,
        });
        writer.write_section_headers();
        writer.write_section(text.file_offset, content);
        bytes
    }

    fn parts<'a>(stub: &'a [u8], kernel: &'a [u8], initrd: &'a [u8], os_release: &'a str) -> Parts<'a> {
        Parts {
            stub,
            kernel,
            initrd,
            os_release,
            command_line: "quiet",
            uname: "6.12",
        }
    }

    #[test]
    fn sections_read_back_in_the_promised_order_without_overlap() {
        let (stub, kernel, initrd) = (pe(b"stub"), pe(&[7; 9000]), vec![9; 777]);
        let entry = assemble(&parts(&stub, &kernel, &initrd, "IMAGE_VERSION=1\n")).unwrap();
        assert_eq!(section(&entry, ".initrd"), Some(initrd.as_slice()));
        assert_eq!(section(&entry, ".osrel"), Some(&b"IMAGE_VERSION=1\n"[..]));
        assert_eq!(section(&entry, ".cmdline"), Some(&b"quiet"[..]));
        assert!(section(&entry, ".linux").unwrap().starts_with(&kernel));
        let file = PeFile64::parse(entry.as_slice()).unwrap();
        let names: Vec<&[u8]> = file.section_table().iter().map(|header| header.raw_name()).collect();
        assert_eq!(
            names,
            [&b".text"[..], b".linux", b".initrd", b".osrel", b".cmdline", b".uname"]
        );
        let mut end = 0;
        for header in file.section_table().iter() {
            assert!(header.virtual_address.get(LE) >= end);
            assert_eq!(header.virtual_address.get(LE) % 4096, 0);
            assert_eq!(header.pointer_to_raw_data.get(LE) % 1024, 0);
            end = header.virtual_address.get(LE) + header.virtual_size.get(LE);
        }
        let optional = &file.nt_headers().optional_header;
        assert_eq!(optional.size_of_image.get(LE), end.next_multiple_of(4096));
        assert_eq!(file.nt_headers().file_header.time_date_stamp.get(LE), 0);
    }

    #[test]
    fn sections_made_by_others_are_read_too() {
        let entry = include_bytes!("../../fuzz/seeds/boot-entry/small");
        assert_eq!(section(entry, ".uname"), Some(&b"6.12"[..]));
        assert_eq!(section(entry, ".initrd"), None);
    }

    #[test]
    fn another_command_line_takes_the_place_of_the_old() {
        let (stub, kernel) = (pe(b"stub"), pe(&[7; 9000]));
        let entry = assemble(&parts(&stub, &kernel, b"initrd", "")).unwrap();
        let other = with_command_line(&entry, "debug").unwrap();
        assert_eq!(section(&other, ".cmdline"), Some(&b"debug"[..]));
        assert_eq!(section(&other, ".uname"), Some(&b"6.12"[..]));
        assert_eq!(with_command_line(&entry, &"x".repeat(5000)), None);
    }

    #[test]
    fn a_new_release_leaves_kernel_and_modules_where_they_were() {
        let (stub, kernel, initrd) = (pe(b"stub"), pe(&[7; 9000]), vec![9; 777]);
        let first = assemble(&parts(&stub, &kernel, &initrd, "IMAGE_VERSION=1\n")).unwrap();
        let second = assemble(&parts(&stub, &kernel, &initrd, "IMAGE_VERSION=2\n")).unwrap();
        let differing = first.iter().zip(&second).filter(|(a, b)| a != b).count();
        assert_eq!((first.len(), differing), (second.len(), 1));
    }

    #[test]
    fn what_is_no_pe_file_or_has_no_room_is_refused() {
        let (stub, kernel) = (pe(b"stub"), pe(b"kernel"));
        assert!(matches!(
            assemble(&parts(b"no", &kernel, b"", "")),
            Err(UkiError::Pe { what: "stub", .. })
        ));
        assert!(matches!(
            assemble(&parts(&stub, b"no", b"", "")),
            Err(UkiError::Pe { what: "kernel", .. })
        ));
        let mut full = stub;
        for _ in 0..5 {
            match assemble(&parts(&full, &kernel, b"x", "")) {
                Ok(entry) => full = entry,
                Err(UkiError::Room { .. }) => return,
                Err(other) => panic!("{other}"),
            }
        }
        panic!("sections without end");
    }
}
