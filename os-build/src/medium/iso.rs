//! The little of an ISO 9660 volume that an optical drive is started from: volume descriptors, a boot catalog that
//! leads to the EFI system partition, and a directory with one text for whoever looks.
//!
//! Sources: ECMA-119; "El Torito" Bootable CD-ROM Format Specification 1.0; UEFI Specification 13.3.2. Pure.

/// Bytes of a sector.
const SECTOR: u64 = 2048;
/// First sector that a volume uses; what lies before belongs to the partition table.
const PRIMARY: u32 = 16;
const BOOT_RECORD: u32 = 17;
const END: u32 = 18;
const CATALOG: u32 = 19;
const PATHS_LITTLE: u32 = 20;
const PATHS_BIG: u32 = 21;
const DIRECTORY: u32 = 22;
const TEXT: u32 = 23;

const README: &[u8] = b"Installation medium of Keelson. Start a machine with UEFI firmware from it; it shows the\r\n\
machine's disks and asks which one to erase. Written to a USB stick as it is, it works the same.\r\n";
const README_NAME: &[u8] = b"README.TXT;1";

/// A sector under construction.
struct Block(Vec<u8>);

impl Block {
    fn new() -> Block {
        Block(Vec::with_capacity(SECTOR as usize))
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Block {
        self.0.extend(bytes);
        self
    }

    fn zeros(&mut self, count: usize) -> &mut Block {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// Text filled up with spaces.
    fn text(&mut self, text: &str, length: usize) -> &mut Block {
        let end = self.0.len() + length;
        self.0.extend(text.bytes().take(length));
        self.0.resize(end, b' ');
        self
    }

    fn both16(&mut self, value: u16) -> &mut Block {
        self.put(&value.to_le_bytes()).put(&value.to_be_bytes())
    }

    fn both32(&mut self, value: u32) -> &mut Block {
        self.put(&value.to_le_bytes()).put(&value.to_be_bytes())
    }

    fn done(&mut self) -> Vec<u8> {
        self.0.resize(SECTOR as usize, 0);
        std::mem::take(&mut self.0)
    }
}

/// The volume's sectors: byte offset and content. `esp_at` is the first byte of the EFI system partition.
#[must_use]
pub fn blocks(bytes: u64, esp_at: u64, time: u64) -> Vec<(u64, Vec<u8>)> {
    let sectors = u32::try_from(bytes / SECTOR).unwrap_or(u32::MAX);
    let esp = u32::try_from(esp_at / SECTOR).unwrap_or(u32::MAX);
    let stamp = Stamp::new(time);
    let volume = [
        (PRIMARY, primary(sectors, &stamp)),
        (BOOT_RECORD, boot_record()),
        (END, Block::new().put(b"\xffCD001\x01").done()),
        (CATALOG, catalog(esp)),
        (PATHS_LITTLE, path_table(DIRECTORY.to_le_bytes(), 1u16.to_le_bytes())),
        (PATHS_BIG, path_table(DIRECTORY.to_be_bytes(), 1u16.to_be_bytes())),
        (DIRECTORY, directory(&stamp)),
        (TEXT, Block::new().put(README).done()),
    ];
    volume
        .into_iter()
        .map(|(sector, block)| (u64::from(sector) * SECTOR, block))
        .collect()
}

/// ECMA-119 8.4.
fn primary(sectors: u32, stamp: &Stamp) -> Vec<u8> {
    let mut block = Block::new();
    block
        .put(b"\x01CD001\x01")
        .zeros(1)
        .text("", 32)
        .text("KEELSON", 32)
        .zeros(8);
    block
        .both32(sectors)
        .zeros(32)
        .both16(1)
        .both16(1)
        .both16(SECTOR as u16);
    block.both32(10).put(&PATHS_LITTLE.to_le_bytes()).zeros(4);
    block.put(&PATHS_BIG.to_be_bytes()).zeros(4);
    record(&mut block, DIRECTORY, SECTOR as u32, true, b"\0", stamp);
    block.text("", 128).text("", 128).text("", 128).text("", 128);
    block.text("", 37).text("", 37).text("", 37);
    block.put(&stamp.long).put(&stamp.long).put(&NEVER).put(&stamp.long);
    block.put(&[1]).done()
}

/// El Torito figure 7.
fn boot_record() -> Vec<u8> {
    let mut block = Block::new();
    block
        .put(b"\0CD001\x01")
        .put(b"EL TORITO SPECIFICATION")
        .zeros(9)
        .zeros(32);
    block.put(&CATALOG.to_le_bytes()).done()
}

/// El Torito figures 2 and 3: a catalog for EFI whose one entry reaches to the end of the volume.
fn catalog(esp: u32) -> Vec<u8> {
    const EFI: u8 = 0xef;
    const BOOTABLE: u8 = 0x88;
    let mut block = Block::new();
    // The sum of the words is zero: 0xef01 and 0xaa55 with this one.
    let sum = 0u16.wrapping_sub(0xef01).wrapping_sub(0xaa55);
    block
        .put(&[1, EFI, 0, 0])
        .zeros(24)
        .put(&sum.to_le_bytes())
        .put(&[0x55, 0xaa]);
    block.put(&[BOOTABLE, 0, 0, 0, 0, 0, 0, 0]).put(&esp.to_le_bytes());
    block.done()
}

/// ECMA-119 9.4: the root directory alone.
fn path_table(directory: [u8; 4], parent: [u8; 2]) -> Vec<u8> {
    Block::new().put(&[1, 0]).put(&directory).put(&parent).zeros(2).done()
}

fn directory(stamp: &Stamp) -> Vec<u8> {
    let mut block = Block::new();
    record(&mut block, DIRECTORY, SECTOR as u32, true, b"\0", stamp);
    record(&mut block, DIRECTORY, SECTOR as u32, true, b"\x01", stamp);
    record(&mut block, TEXT, README.len() as u32, false, README_NAME, stamp);
    block.done()
}

/// ECMA-119 9.1.
fn record(block: &mut Block, at: u32, bytes: u32, is_directory: bool, name: &[u8], stamp: &Stamp) {
    let padding = (name.len() + 1) % 2;
    let length = 33 + name.len() + padding;
    block.put(&[length as u8, 0]).both32(at).both32(bytes).put(&stamp.short);
    block.put(&[u8::from(is_directory) * 2, 0, 0]).both16(1);
    block.put(&[name.len() as u8]).put(name).zeros(padding);
}

/// No date, ECMA-119 8.4.26.1.
const NEVER: [u8; 17] = *b"0000000000000000\0";

/// A moment in both forms of ECMA-119, in UTC.
struct Stamp {
    short: [u8; 7],
    long: [u8; 17],
}

impl Stamp {
    fn new(seconds: u64) -> Stamp {
        let moment = i64::try_from(seconds)
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .unwrap_or_default();
        let time = jiff::tz::Offset::UTC.to_datetime(moment);
        let small = |value: i8| value.unsigned_abs();
        let short = [
            u8::try_from(time.year() - 1900).unwrap_or(0),
            small(time.month()),
            small(time.day()),
            small(time.hour()),
            small(time.minute()),
            small(time.second()),
            0,
        ];
        let text = format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}00\0",
            time.year(),
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        );
        Stamp {
            short,
            long: text.as_bytes().try_into().unwrap_or(NEVER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(sector: u32) -> Vec<u8> {
        let all = blocks(200 << 20, 1 << 20, 1_700_000_000);
        let found = all.into_iter().find(|(at, _)| *at == u64::from(sector) * SECTOR);
        found.unwrap().1
    }

    #[test]
    fn every_block_is_a_sector_before_the_first_partition_and_behind_the_partition_table() {
        for (at, block) in blocks(200 << 20, 1 << 20, 0) {
            assert_eq!(block.len(), SECTOR as usize);
            assert!((34 * 512..1 << 20).contains(&at), "{at}");
        }
    }

    #[test]
    fn the_catalog_adds_up_and_leads_to_the_partition() {
        let catalog = block(CATALOG);
        let words = catalog[..32]
            .chunks(2)
            .map(|word| u16::from_le_bytes([word[0], word[1]]));
        assert_eq!(words.fold(0u16, u16::wrapping_add), 0);
        assert_eq!((catalog[1], catalog[32]), (0xef, 0x88));
        assert_eq!(catalog[40..44], 512u32.to_le_bytes());
        assert_eq!(block(BOOT_RECORD)[0x47..0x4b], CATALOG.to_le_bytes());
    }

    #[test]
    fn the_primary_descriptor_has_its_fields_in_place() {
        let primary = block(PRIMARY);
        assert_eq!(primary[80..84], (100u32 << 10).to_le_bytes());
        assert_eq!(primary[128..132], [0, 8, 8, 0]);
        assert_eq!(primary[156], 34, "directory record");
        assert_eq!(primary[158..162], DIRECTORY.to_le_bytes());
        assert_eq!(&primary[813..829], b"2023111422132000");
        assert_eq!(primary[881], 1, "version of the structure");
    }
}
