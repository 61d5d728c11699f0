//! Boot entries for tests: as much of a PE file and an initramfs as it takes to say which release one belongs to.

use keelson_image_layout::Release;

/// A frame of one stored block, as any writer of zstd may make it (RFC 8878, 3.1).
pub fn frame(content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000];
    bytes.extend((content.len() as u32).to_le_bytes());
    let mut blocks = content.chunks(100 << 10).peekable();
    while let Some(block) = blocks.next() {
        let last = u32::from(blocks.peek().is_none());
        bytes.extend(((block.len() as u32) << 3 | last).to_le_bytes().iter().take(3));
        bytes.extend(block);
    }
    bytes
}

pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files.iter().chain(&[("TRAILER!!!", &b""[..])]) {
        let mut fields = [0; 13];
        (fields[6], fields[11]) = (content.len(), name.len() + 1);
        bytes.extend(b"070701");
        fields
            .iter()
            .for_each(|field| bytes.extend(format!("{field:08x}").bytes()));
        bytes.extend(name.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// A PE file with a section before `.initrd`.
pub fn program(initrd: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 0x200];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x80;
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    bytes[0x86] = 2;
    bytes[0x94] = 16;
    let table = 0x80 + 24 + 16;
    for (index, (name, start, len)) in [("\0linux", 0x200, 512), (".initrd", 0x400, initrd.len())]
        .iter()
        .enumerate()
    {
        let at = table + index * 40;
        bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
        for (field, value) in [(8, *len), (16, len.next_multiple_of(512)), (20, *start)] {
            bytes[at + field..at + field + 4].copy_from_slice(&(value as u32).to_le_bytes());
        }
    }
    bytes.resize(0x400, 0x90);
    bytes.extend(initrd);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A boot entry of that release.
pub fn entry_of(release: &Release) -> Vec<u8> {
    let mut initrd = frame(&archive(&[("usr/module", &[7; 150_001])]));
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    let text = serde_json::to_vec(release).unwrap();
    initrd.extend(frame(&archive(&[("init", &[1; 300]), ("keelson/release.json", &text)])));
    program(&initrd)
}
