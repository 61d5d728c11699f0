//! Entry points for fuzzing: any bytes, and no panic.

/// What a boot entry says of itself.
pub fn entry_release(data: &[u8]) {
    let _ = crate::entry_release::read_release(&mut std::io::Cursor::new(data));
}
