//! Bonds: several links as one.

use crate::wire::{Attr, Buffer};

/// Attribute types of bonds (IFLA_BOND_*).
mod attr {
    pub const MODE: u16 = 1;
    pub const MIIMON: u16 = 3;
    pub const UPDELAY: u16 = 4;
    pub const DOWNDELAY: u16 = 5;
    pub const PRIMARY: u16 = 11;
    pub const XMIT_HASH_POLICY: u16 = 14;
    pub const MIN_LINKS: u16 = 18;
    pub const AD_LACP_RATE: u16 = 21;
}

/// Mode 4: the partner decides along (802.3ad).
const MODE_LACP: u8 = 4;

/// Settings of a bond, in the kernel's numbers (`linux/if_bonding.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BondSettings {
    /// How packets are spread.
    pub mode: u8,
    /// Milliseconds between looks at the members' carriers.
    pub miimon: u32,
    /// Milliseconds a member is up before it is used.
    pub up_delay: u32,
    /// Milliseconds a member is down before it is given up.
    pub down_delay: u32,
    /// What decides which member a packet takes.
    pub hash_policy: u8,
    /// Members with a carrier without which the bond has none.
    pub min_links: u32,
    /// How often a partner is asked for packets; the kernel has it for 802.3ad only.
    pub lacp_rate: u8,
    /// Index of the member to prefer; 0: none. It must be a member when it is set.
    pub primary: u32,
}

impl BondSettings {
    /// Everything, for a bond that is made. Its primary is no member yet.
    pub(crate) fn write(&self, data: &mut Buffer) {
        data.u8(attr::MODE, self.mode);
        self.write_rest(data);
        if self.mode == MODE_LACP {
            data.u8(attr::AD_LACP_RATE, self.lacp_rate);
        }
    }

    /// What can be changed while the bond is up and has members.
    pub(crate) fn write_changeable(&self, data: &mut Buffer) {
        self.write_rest(data);
        if self.primary != 0 {
            data.u32(attr::PRIMARY, self.primary);
        }
    }

    fn write_rest(&self, data: &mut Buffer) {
        // The delays are multiples of the interval: it comes first.
        data.u32(attr::MIIMON, self.miimon)
            .u32(attr::UPDELAY, self.up_delay)
            .u32(attr::DOWNDELAY, self.down_delay)
            .u8(attr::XMIT_HASH_POLICY, self.hash_policy)
            .u32(attr::MIN_LINKS, self.min_links);
    }

    /// What the kernel says about a bond.
    pub(crate) fn parse(data: &Attr<'_>) -> Self {
        let byte = |kind| data.nested().find(kind).and_then(|found| found.as_u8()).unwrap_or(0);
        let word = |kind| data.nested().find(kind).and_then(|found| found.as_u32()).unwrap_or(0);
        Self {
            mode: byte(attr::MODE),
            miimon: word(attr::MIIMON),
            up_delay: word(attr::UPDELAY),
            down_delay: word(attr::DOWNDELAY),
            hash_policy: byte(attr::XMIT_HASH_POLICY),
            min_links: word(attr::MIN_LINKS),
            lacp_rate: byte(attr::AD_LACP_RATE),
            primary: word(attr::PRIMARY),
        }
    }

    /// Whether a bond with `other` settings becomes this one without being made anew.
    pub fn is_reachable_from(&self, other: &Self) -> bool {
        self.mode == other.mode && (self.mode != MODE_LACP || self.lacp_rate == other.lacp_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::attributes;

    #[test]
    fn what_is_sent_is_what_is_read() {
        let settings = BondSettings {
            mode: MODE_LACP,
            miimon: 100,
            up_delay: 200,
            down_delay: 300,
            hash_policy: 1,
            min_links: 2,
            lacp_rate: 1,
            primary: 0,
        };
        let mut buffer = Buffer::new();
        buffer.nest(2, |data| settings.write(data));
        let read = attributes(buffer.bytes()).find(2).unwrap();
        assert_eq!(BondSettings::parse(&read), settings);
    }
}
