//! A small generator for jitter and transaction numbers: fast, seedable in tests, never for secrets.

use std::time::Duration;

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator whose sequence depends on `seed` alone.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator seeded by the kernel.
    pub fn from_kernel() -> Self {
        Self(u64::from_ne_bytes(kernel_bytes()))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The upper half of the next 64 bits.
    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// `base`, changed by up to `percent` (at most 100) of itself in either direction.
    pub fn around(&mut self, base: Duration, percent: u32) -> Duration {
        let spread = base.as_secs_f64() * f64::from(percent.min(100)) / 100.0;
        let unit = f64::from(self.next_u32()) / f64::from(u32::MAX);
        Duration::from_secs_f64((base.as_secs_f64() + spread * (2.0 * unit - 1.0)).max(0.0))
    }
}

/// Bytes from the kernel's generator, fit for secrets and for numbers nobody must guess.
pub fn kernel_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The generator is initialised before the first service starts, so the call neither blocks nor
    // fails; zeros would only make jitter predictable.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_bounds() {
        let mut random = Random::seeded(1);
        for _ in 0..1000 {
            let value = random.around(Duration::from_secs(10), 10);
            assert!((9.0..=11.0).contains(&value.as_secs_f64()), "{value:?}");
        }
    }
}
