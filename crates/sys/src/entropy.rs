//! The kernel's random generator: adding a seed that counts as entropy.
//!
//! Bytes written to `/dev/urandom` are mixed in without counting; `RNDADDENTROPY` counts them. Source: `random(4)`.

use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Setter, ioctl, opcode};

/// Bytes of a seed.
pub const SEED_BYTES: usize = 512;

/// `struct rand_pool_info` with room for one seed.
#[repr(C)]
struct PoolInfo {
    bits: i32,
    bytes: i32,
    seed: [u8; SEED_BYTES],
}

/// Mixes `seed` in and counts every bit of it. `random` is the open `/dev/urandom`.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
#[allow(unsafe_code, reason = "rustix has no RNDADDENTROPY")]
pub fn credit(random: impl AsFd, seed: [u8; SEED_BYTES]) -> io::Result<()> {
    let argument = PoolInfo {
        bits: SEED_BYTES as i32 * 8,
        bytes: SEED_BYTES as i32,
        seed,
    };
    const ADD: u32 = opcode::write::<[u32; 2]>(b'R', 3);
    // SAFETY: the call reads a `struct rand_pool_info` and as many bytes after it as `bytes` says, all of which the
    // argument holds.
    unsafe { ioctl(random, Setter::<ADD, PoolInfo>::new(argument)) }?;
    Ok(())
}
