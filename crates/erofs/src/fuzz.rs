//! Entry points for fuzzing: any bytes may give errors, none may panic or run away.

use crate::Reader;

/// Opens the bytes as an image and reads everything a walk reaches.
pub fn fuzz_erofs_reader(data: &[u8]) {
    let Ok(reader) = Reader::open(data) else { return };
    let Ok(found) = reader.walk(256) else { return };
    for (_, inode) in found {
        let _ = reader.xattrs(&inode);
        let _ = reader.contents(&inode, 1 << 16);
    }
}
